# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules by users in a user namespace that does not map all of them: who cannot be known is not let in by mistake."""

import os
import shutil
import subprocess
import sys

import pytest

import harness
from harness import Daemon, Endpoint, Skip
from test_access import NOBODY, admitted, admitted_as, target  # noqa: F401, pylint: disable=unused-import

STRANGER, OTHER = 4711, 4712
CLONE_NEWUSER = 0x10000000
# Enters a user namespace with the ids from 0 to a count, which a helper outside of it writes, and becomes the command.
ENTER = f"""
import ctypes, os, sys
entered, told = os.pipe()
helper = os.fork()
if helper == 0:
    os.close(told)
    os.read(entered, 1)
    for kind in "ug":
        with open(f"/proc/{{os.getppid()}}/{{kind}}id_map", "w") as file:
            file.write(f"0 0 {{sys.argv[1]}}")
    os._exit(0)
if ctypes.CDLL(None, use_errno=True).unshare({CLONE_NEWUSER}):
    sys.exit(os.strerror(ctypes.get_errno()))
os.close(told)
if os.waitpid(helper, 0)[1]:
    sys.exit("no map")
os.execvp(sys.argv[2], sys.argv[2:])
"""


def unmapped(count=1):
    """What runs a command in a user namespace of the ids from 0 to `count`."""
    if os.getuid() != 0:
        raise Skip("only root can connect as somebody else")
    wrap = (sys.executable, "-c", ENTER, str(count))
    done = subprocess.run([*wrap, "true"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skip(f"no user namespace: {done.stderr.strip()}")
    return wrap


class Unmapped(Daemon):
    """What enters the namespace becomes the daemon: there is no other process in between."""

    @property
    def keeper(self):
        return self.process.pid


RULES = {"uid": "uid:%d", "gid": "gid:%d", "list": "@some"}


@pytest.mark.parametrize("key", ("allow", "deny"))
@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize("number", (STRANGER, NOBODY))
def test_a_rule_that_nobody_can_meet_is_refused(place, target, key, kind, number):
    wrap = unmapped()
    front = Endpoint("unix", place)
    rule = RULES[kind] % number if "%" in RULES[kind] else RULES[kind]
    daemon = Daemon({"r": {"listen": front, "target": target, key: [rule]}}, top={"lists": {"some": [f"uid:{number}"]}})
    done = subprocess.run([*wrap, harness.spliced(), "-t", "-c", daemon.file], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"{daemon.file}:" in done.stderr and f"{number}, which is not mapped in spliced's user namespace" in done.stderr, done.stderr
    whole = subprocess.run([harness.spliced(), "-t", "-c", daemon.file], capture_output=True, text=True, check=False)
    assert whole.returncode == 0, whole.stderr
    shutil.rmtree(daemon.directory)


@pytest.mark.parametrize("name", ("user:nobody", "group:nogroup"))
def test_nobody_is_not_everybody(place, target, name):
    """The overflow id, mapped too, is what everybody has who is not."""
    wrap = unmapped(NOBODY + 1)
    daemon = Daemon({"r": {"listen": Endpoint("unix", place), "target": target, "allow": [name]}})
    done = subprocess.run([*wrap, harness.spliced(), "-t", "-c", daemon.file], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "is not mapped in spliced's user namespace" in done.stderr, done.stderr
    shutil.rmtree(daemon.directory)


# Who comes, as (uid, gid), and whether a daemon that maps only root lets him in.
ADMITTED = {
    "allow-uid": ({"allow": ["uid:0"]}, {(0, 0): True, (STRANGER, OTHER): False}),
    "deny-uid": ({"deny": ["uid:0"]}, {(0, 0): False, (STRANGER, OTHER): False}),
    "allow-gid": ({"allow": ["gid:0"]}, {(OTHER, 0): True, (STRANGER, OTHER): False}),
    "deny-gid": ({"deny": ["gid:0"]}, {(OTHER, 0): False, (STRANGER, OTHER): False}),
    "allow-user": ({"allow": ["user:root"]}, {(0, 0): True, (STRANGER, OTHER): False}),
    "deny-in-an-allow": ({"allow": ["gid:0"], "deny": ["uid:0"]}, {(0, 0): False, (STRANGER, 0): False}),
    "no-rules": ({}, {(STRANGER, OTHER): True}),
}


@pytest.mark.parametrize("name", ADMITTED)
def test_who_is_not_mapped(place, target, name):
    wrap = unmapped()
    rules, expected = ADMITTED[name]
    front = Endpoint("unix", place)
    listen = {"family": "unix", "path": front.address, "mode": "0666"}
    os.chmod(os.path.dirname(front.address), 0o755)
    with Unmapped({"r": {"listen": listen, "target": target, **rules}}, wrap=wrap):
        harness.until("it listens", front.listening)
        assert {who: admitted_as(front, *who) for who in expected} == expected


KINDS = {
    "none": ({}, False), "address": ({"allow": ["127.0.0.0/8"]}, False), "uid": ({"allow": ["uid:0"]}, True),
    "deny-uid": ({"deny": ["uid:4711"]}, True), "gid": ({"allow": ["gid:0"]}, True), "deny-gid": ({"deny": ["gid:4711"]}, True),
    "user": ({"allow": ["user:root"]}, True), "group": ({"allow": ["group:root"]}, True),
    "list": ({"deny": ["@some"]}, True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_drop_in_changes_a_rule(place, target, kind):
    """What harden prints for each kind of rule: with users in it, nothing that takes them away."""
    rules, by_user = KINDS[kind]
    front = Endpoint("inet" if kind == "address" else "unix", place)
    with Daemon({"r": {"listen": front, "target": target, **rules}}, top={"lists": {"some": ["uid:4711"]}}) as daemon:
        done = subprocess.run([harness.splicectl(), "--socket", daemon.control, "harden"], capture_output=True, text=True, check=True)
        assert "[Service]" in done.stdout and "ProcSubset=pid" in done.stdout, done.stdout
        assert ("PrivateUsers" not in done.stdout) == by_user, done.stdout
        assert "AF_UNIX" in done.stdout, "names are looked up through it"


def test_who_is_in_more_groups_than_are_read(place, target):
    """A peer with 2,000 groups, of which any may be one that is denied."""
    if os.getuid() != 0:
        raise Skip("only root has groups to give")
    front = Endpoint("unix", place)
    with Daemon({"r": {"listen": front, "target": target, "deny": [f"gid:{OTHER}"]}}):
        harness.until("it listens", front.listening)
        before = os.getgroups()
        try:
            for groups, expected in (([], True), ([OTHER], False), (range(OTHER - 1999, OTHER + 1), False)):
                os.setgroups(list(groups))
                assert admitted(front) == expected
        finally:
            os.setgroups(before)
