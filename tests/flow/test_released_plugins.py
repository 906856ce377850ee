# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plugins as they were compiled with the header of a release, tests/plugins/fixtures/NAME-ABI-MACHINE.so.xz: those of this major version
of the ABI load and forward in every later build, those of another one are refused with the remedy. They are examples of doc/examples."""

import glob
import lzma
import os
import platform
import subprocess
import threading
import tty

import pytest

import harness
from harness import Daemon, Endpoint

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "plugins", "fixtures")
MAJOR = 2
RETRY = {"retry": {"backoff": "20ms", "max_backoff": "100ms"}}


def released(name):
    """The ABI versions of this plugin that there are for this machine."""
    found = [os.path.basename(path).split("-")[1] for path in glob.glob(os.path.join(FIXTURES, f"{name}-*-{platform.machine()}.so.xz"))]
    return sorted(found) or [None]


def install(directory, name, version):
    if version is None:
        pytest.skip(f"no compiled {name} for {platform.machine()}")
    path = os.path.join(directory, name + ".so")
    with lzma.open(os.path.join(FIXTURES, f"{name}-{version}-{platform.machine()}.so.xz")) as packed, open(path, "wb") as file:
        file.write(packed.read())
    os.chmod(path, 0o755)


@pytest.mark.parametrize("version", released("serial"))
def test_of_this_major_version(place, version):
    """A line says something to a target, which answers."""
    harness.copy_families(place)
    install(place, "serial", version)
    assert int(version.split(".")[0]) == MAJOR
    back = Endpoint("unix", place)
    ours, device = os.openpty()
    try:
        tty.setraw(device)
        with back.listen() as listener:
            listener.settimeout(harness.PATIENCE)
            with Daemon({"r": {"dial": {"family": "serial", "path": os.ttyname(device)}, "target": str(back), **RETRY}},
                        {"plugin_dir": place}):
                client, _ = listener.accept()
                with client:
                    client.settimeout(harness.PATIENCE)
                    os.write(ours, b"question")
                    assert client.recv(100) == b"question"
                    client.sendall(b"answer")
                    heard = []
                    reader = threading.Thread(target=lambda: heard.append(os.read(ours, 100)), daemon=True)
                    reader.start()
                    reader.join(harness.PATIENCE)
                    assert heard == [b"answer"]
    finally:
        os.close(ours)
        os.close(device)


@pytest.mark.parametrize("version", released("tipc"))
def test_of_another_major_version(place, version):
    harness.copy_families(place)
    install(place, "tipc", version)
    done = subprocess.run([harness.spliced(), "--plugin-dir", place, "--describe", "tipc"], capture_output=True, text=True, check=False)
    assert done.returncode and f"built for ABI {version}, this spliced supports {MAJOR}." in done.stderr, done.stderr
    assert "compile the plugin again with this release's <spliced/plugin.h>" in done.stderr, done.stderr
