# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the kernel told of a socket that has been closed since, in the same turn: whoever has its place now is not meant.

The worker stands still while the events gather, so that it hears of all of them at once, in their order."""

import os
import socket
import struct
import time

import pytest

import harness
from harness import Daemon, Endpoint, until

PLACES = 64
UNDISTURBED = 0.06  # s, a little longer than control.c grants
ROUNDS = 8
ABORT = struct.pack("ii", 1, 0)


def connects(client, path):
    try:
        client.connect(path)
    except BlockingIOError:  # the backlog is full
        return False
    return True


def sleeps(pid):
    """Each of its threads, twice in a row: what was queued has been taken up."""
    for _ in range(2):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/stat", encoding="utf-8") as file:
                if file.read().rsplit(")", 1)[1].split()[0] != "S":
                    return False
    return True


def abort(one):
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    one.close()


def accept(listener):
    server, _ = listener.accept()
    server.settimeout(harness.PATIENCE)
    return server


def read_to_end(one):
    """What is still said, message by message where there are such; a reset is no end."""
    found = b""
    while piece := one.recv(100):
        found += piece
    return found


class Packets:
    """A seqpacket socket of ours, as Endpoint is a stream."""

    def __init__(self, place, name):
        self.address = f"{place}/{name}"
        self.text = {"family": "unix", "type": "seqpacket", "path": self.address}

    def socket(self):
        one = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        one.settimeout(harness.PATIENCE)
        return one

    def listen(self):
        listener = self.socket()
        listener.bind(self.address)
        listener.listen(128)
        return listener

    def connect(self):
        client = self.socket()
        client.connect(self.address)
        return client


def make_route(kind, place):
    """Its ends, and the route: bytes that are relayed, or messages that are exchanged."""
    if kind == "packets":
        front, back = Packets(place, "front"), Packets(place, "back")
        return front, back, {"listen": front.text, "target": back.text}
    front, back = (Endpoint(family, place) for family in kind.split("-")[:2])
    if kind.endswith("-framed"):
        return front, back, {"listen": f"{front}?framing=line", "target": f"{back}?framing=length16"}
    return front, back, {"listen": front, "target": back}


KINDS = ("inet-inet", "inet-unix", "unix-inet", "unix-unix", "inet-inet-framed", "unix-unix-framed", "packets")


@pytest.mark.parametrize("first", ("client", "target"))
@pytest.mark.parametrize("kind", KINDS)
def test_session(place, kind, first):
    """One side ends a session; the newcomer takes its place; and then comes what the other side had told. In the newcomer's session that
    side says its last, and hears an answer."""
    front, back, route = make_route(kind, place)
    with back.listen() as listener, Daemon({"r": route}, {"workers": 1}) as daemon:
        worker = daemon.worker
        for _ in range(ROUNDS):
            client = front.connect()
            ends = [client, accept(listener)]
            until("it relays", daemon.relays)
            if first == "target":
                ends.reverse()
            with daemon.worker_held():
                abort(ends[0])
                newcomer = front.connect()
                abort(ends[1])
            ends = [newcomer, accept(listener)]
            if first == "client":
                ends.reverse()
            with ends[0], ends[1]:
                until("it relays", daemon.relays)
                ends[0].shutdown(socket.SHUT_WR)
                assert read_to_end(ends[1]) == b""
                ends[1].sendall(b"\0\6answer" if kind.endswith("-framed") and first == "target" else b"answer\n")
                ends[1].shutdown(socket.SHUT_WR)
                assert b"answer" in read_to_end(ends[0])
            until("it has ended", lambda: not daemon.sessions())
        assert daemon.worker == worker


def test_control(place):
    """The oldest that has not asked gives its place to a newcomer, and then comes that it left by itself."""
    front, back = Endpoint("inet", place), Endpoint("inet", place)
    with Daemon({"r": {"listen": front, "target": back}}, {"workers": 1}) as daemon:
        def ask(words):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(harness.PATIENCE)
            until("there is room for it", lambda: connects(client, daemon.control))
            client.sendall(words)
            return client

        for _ in range(ROUNDS):
            crowd = [ask(b'{"verb"') for _ in range(PLACES)]
            until("all sit there", lambda: sleeps(daemon.worker))
            came = time.monotonic()
            until("they may be asked to give way", lambda: time.monotonic() > came + UNDISTURBED)  # pylint: disable=cell-var-from-loop
            with daemon.worker_held():
                newcomer = ask(b'{"verb": ')
                for one in crowd:
                    one.close()
            until("it has heard of all", lambda: sleeps(daemon.worker))
            newcomer.sendall(b'"status"}\n')
            answer, how = harness.read_all(newcomer)
            assert how == "end" and answer.startswith(b'{"ok"'), (answer[:100], how)
            newcomer.close()
