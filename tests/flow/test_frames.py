# SPDX-License-Identifier: LGPL-2.1-or-later
"""Frames of an interface to and from every kind of socket."""

import os
import socket
import subprocess

import pytest

import harness
from harness import Daemon
from messages import KINDS, Echo, End
from namespace import Namespace, ip

# Nobody else speaks this: IEEE 802, local experiments.
TYPE = b"\x88\xb5"
FILTER = "ether proto 0x88b5"


def frame(text):
    return b"\xff" * 6 + b"\x02\0\0\0\0\x01" + TYPE + text + bytes(46)


@pytest.fixture
def far():
    """The far end of v0, which the routes have: a socket that says and hears frames."""
    if os.geteuid() != 0:
        pytest.skip("packet sockets take root")
    with Namespace():
        ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")
        for name in ("v0", "v1"):
            ip("link", "set", name, "up")
            subprocess.run(["ethtool", "-K", name, "tx", "off", "gso", "off", "gro", "off"], check=True, capture_output=True)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(0x88b5)) as sock:
            sock.bind(("v1", 0x88b5))
            sock.settimeout(harness.PATIENCE)
            yield sock


def end(interface="v0"):
    return {"family": "packet", "interface": interface, "filter": FILTER}


@pytest.mark.parametrize("kind", KINDS)
def test_frames_for_every_kind_of_client(place, far, kind):
    front = End(kind, place)
    with Daemon({"r": {"listen": front.framed, "target": end()}}), front.client() as client:
        for text in (b"one", b"two"):
            client.say(frame(text))
            assert far.recv(2048) == frame(text)
        for text in (b"three", b"four"):
            far.send(frame(text))
            assert client.hear() == frame(text)


@pytest.mark.parametrize("kind", KINDS)
def test_frames_for_every_kind_of_target(place, far, kind):
    back = End(kind, place)
    with Echo(back), Daemon({"r": {"listen": end(), "target": back.framed}}) as daemon:
        harness.until("it relays", daemon.relays)
        for text in (b"one", b"two", b"three"):
            far.send(frame(text))
            assert far.recv(2048) == frame(text)


def test_frames_between_interfaces(far):
    ip("link", "add", "w0", "type", "veth", "peer", "name", "w1")
    ip("link", "set", "w0", "up")
    ip("link", "set", "w1", "up")
    with Daemon({"r": {"listen": end(), "target": end("w0")}}) as daemon, \
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(0x88b5)) as other:
        other.bind(("w1", 0x88b5))
        other.settimeout(harness.PATIENCE)
        harness.until("it relays", daemon.relays)
        far.send(frame(b"there"))
        assert other.recv(2048) == frame(b"there")
        other.send(frame(b"back"))
        assert far.recv(2048) == frame(b"back")
