# SPDX-License-Identifier: LGPL-2.1-or-later
"""A session of each kind that the release before knows, for what replaces the program while they are open."""

import json
import socket

import pytest

import harness
import service
from service import WORDS, Words

PORT, BACK, UDP, UDP_BACK = 7400, 7401, 7402, 7403
ROUTES = {
    "web": {"listen": f"tcp4://127.0.0.1:{PORT}", "target": f"tcp4://127.0.0.1:{BACK}"},
    "words": WORDS,
    "datagrams": {"listen": f"udp4://127.0.0.1:{UDP}", "target": f"udp4://127.0.0.1:{UDP_BACK}", "timeout": {"idle": "10min"}},
    "framed": {"listen": "unix-dgram:///run/spliced/framed", "target": "unix://@framed?framing=length16"},
    "links": {"listen": "unix:///run/spliced/links", "target": "netlink://route?groups=link&dump=true&format=json"},
}


def unix(kind, name, listens):
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.settimeout(harness.PATIENCE)
    if listens:
        sock.bind(name)
        sock.listen()
    else:
        sock.connect(name)
    return sock


def udp(address, connects):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(harness.PATIENCE)
    if connects:
        sock.connect(address)
    else:
        sock.bind(address)
    return sock


class Sessions:
    """One of each kind, with both of its ends."""

    def __init__(self):
        self.words = Words()
        self.listening = unix(socket.SOCK_STREAM, "\0framed", True)
        self.framed = unix(socket.SOCK_DGRAM, "/run/spliced/framed", False)
        self.framed.send(b"first")
        self.framed_target = self.listening.accept()[0]
        self.framed_target.settimeout(harness.PATIENCE)
        assert self.framed_target.recv(7, socket.MSG_WAITALL) == b"\0\5first"
        self.datagrams, self.datagrams_target = udp(("127.0.0.1", UDP), True), udp(("127.0.0.1", UDP_BACK), False)
        self.links = unix(socket.SOCK_STREAM, "/run/spliced/links", False).makefile("rb")
        self.hears_links("snapshot-end")
        self.peer = None

    def hears_links(self, event):
        """Until that one is told."""
        while json.loads(self.links.readline())["event"] != event:
            pass

    def live(self):
        self.words.lives()
        self.framed.send(b"alive")
        assert self.framed_target.recv(7, socket.MSG_WAITALL) == b"\0\5alive"
        self.datagrams.send(b"alive")
        data, peer = self.datagrams_target.recvfrom(10)
        assert data == b"alive" and peer == (self.peer or peer), "it is the session that was"
        self.peer = peer
        self.datagrams_target.sendto(b"answer", peer)
        assert self.datagrams.recv(10) == b"answer"
        service.run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
        service.run("ip", "link", "del", "v0")
        self.hears_links("del")

    def ended(self):
        """And nobody is told that all were well."""
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            self.words.client.send(b"is somebody there?")
            assert self.words.client.recv(10) == b"", "it is not as if all were well"
            self.words.client.send(b"is somebody there?")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.words.__exit__(*exception)
        for sock in (self.listening, self.framed, self.framed_target, self.datagrams, self.datagrams_target, self.links):
            sock.close()
