# SPDX-License-Identifier: LGPL-2.1-or-later
"""Packages that are installed as an administrator installs them. $SPLICED_PACKAGES is the directory with this release's,
$SPLICED_PREVIOUS_PACKAGES that with those of the release before."""

import glob
import os

import service

PACKAGES = os.environ["SPLICED_PACKAGES"]
PREVIOUS = os.environ.get("SPLICED_PREVIOUS_PACKAGES")

service.CONF = "/etc/spliced/spliced.conf"

# A host of containers has one that lets no package start a service.
if os.path.exists("/usr/sbin/policy-rc.d"):
    os.unlink("/usr/sbin/policy-rc.d")


def files(directory, *names):
    return [path for name in names for path in glob.glob(os.path.join(directory, f"{name}_*.deb"))]


def install(*names, directory=PACKAGES):
    """What dpkg says of it."""
    paths = files(directory, *names)
    assert len(paths) == len(names), names
    # The tests have changed spliced.conf, and a release may do so, too: dpkg would ask which one is to stay.
    done = service.run("dpkg", "--force-confold", "-i", *paths, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
