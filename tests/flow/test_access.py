# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may come in: by address on IP, by user on UNIX sockets. Refused is a reset, and no target hears of it."""

import os

import pytest

import harness
from harness import Daemon, Endpoint, Skip

NOBODY = 65534


@pytest.fixture
def target(place):
    """A server that says hello, and counts."""
    back = Endpoint("unix", place)
    with harness.Serve(f"greet+{back}"):
        yield back


def admitted(front, source=None):
    """Whether the target speaks to a client from there. Refused means reset, or on UNIX perhaps the end."""
    with front.socket() as client:
        client.settimeout(harness.PATIENCE)
        if source:
            client.bind((source, 0))
        try:
            client.connect(front.address)
            return len(client.recv(8)) > 0
        except ConnectionResetError:
            return False


RULES = {
    "none": ({}, {"127.0.0.1": True, "127.0.0.2": True}),
    "allow-one": ({"allow": ["127.0.0.2"]}, {"127.0.0.1": False, "127.0.0.2": True}),
    "deny-one": ({"deny": ["127.0.0.2"]}, {"127.0.0.1": True, "127.0.0.2": False}),
    "address-before-prefix": ({"allow": ["127.0.0.0/8"], "deny": ["127.0.0.2"]},
                              {"127.0.0.1": True, "127.0.0.2": False}),
    "allow-inside-deny": ({"allow": ["127.0.0.2"], "deny": ["127.0.0.0/8"]},
                          {"127.0.0.1": False, "127.0.0.2": True}),
    "longer-prefix": ({"allow": ["127.0.0.0/8", "127.1.2.0/24"], "deny": ["127.1.0.0/16"]},
                      {"127.0.0.1": True, "127.1.1.1": False, "127.1.2.3": True}),
    "deny-on-a-tie": ({"allow": ["127.0.0.2"], "deny": ["127.0.0.2"]}, {"127.0.0.2": False}),
    "nobody": ({"allow": []}, {"127.0.0.1": False}),
    "by-list": ({"allow": ["@office"]}, {"127.0.0.1": False, "127.5.0.1": True}),
}


@pytest.mark.parametrize("name", RULES)
def test_by_address(place, target, name):
    rules, expected = RULES[name]
    front = Endpoint("inet", place)
    with Daemon({"r": {"listen": front, "target": target, **rules}},
                top={"lists": {"office": ["127.5.0.0/16"]}}):
        assert {source: admitted(front, source) for source in expected} == expected


def test_refused_is_a_reset_and_counted(place, target):
    front = Endpoint("inet", place)
    with Daemon({"r": {"listen": front, "target": target, "deny": ["127.0.0.1"]}}) as daemon:
        for _ in range(3):
            assert harness.ask(front) == (b"", "ECONNRESET")
        harness.until("the refusals are counted",
                      lambda: daemon.ctl("routes")["routes"][0]["refused"] == 3)


def test_by_ipv6_prefix(place, target):
    if not harness.has_ipv6():
        raise Skip("no IPv6 here")
    allowed, denied = Endpoint("inet6", place), Endpoint("inet6", place)
    with Daemon({"a": {"listen": allowed, "target": target, "allow": ["::/64"]},
                 "d": {"listen": denied, "target": target, "deny": ["::1"]}}):
        assert admitted(allowed)
        assert not admitted(denied)


def admitted_as(front, uid, gid):
    """Connects as another user, in a child."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            os._exit(0 if admitted(front) else 1)
        except BaseException:
            os._exit(2)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 1), "the child could not even connect"
    return status == 0


USERS = {
    "allow-uid": ({"allow": ["uid:0"]}, True, False),
    "deny-uid": ({"deny": ["uid:65534"]}, True, False),
    "allow-user": ({"allow": ["user:root"]}, True, False),
    "allow-gid": ({"allow": ["gid:65534"]}, False, True),
    "uid-before-gid": ({"allow": ["uid:65534", "gid:0"], "deny": ["gid:65534"]}, True, True),
}


@pytest.mark.parametrize("name", USERS)
def test_by_user(place, target, name):
    if os.getuid() != 0:
        raise Skip("only root can connect as somebody else")
    rules, root, nobody = USERS[name]
    front = Endpoint("unix", place)
    listen = {"family": "unix", "path": front.address, "mode": "0666"}
    with Daemon({"r": {"listen": listen, "target": target, **rules}}):
        harness.until("it listens", front.listening)
        assert admitted_as(front, 0, 0) == root
        assert admitted_as(front, NOBODY, NOBODY) == nobody
