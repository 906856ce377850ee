# SPDX-License-Identifier: LGPL-2.1-or-later
"""The heart of a thread beats for each thing that it does, however many there are in a turn: one that has much to do on a slow machine is
not taken for hung. What came while the worker stood still is there at once, and makes one turn of it, or two."""

import contextlib
import socket

import pytest

import harness
from daemon import Daemon
from harness import Endpoint, until
from messages import End
from namespace import Namespace, ip_batch
from tables import Ledger

MANY = 60


class Streams:
    """Many sessions, each with a word to say."""

    def __init__(self, place):
        self.front, back = Endpoint("inet", place), Endpoint("unix", place)
        self.listener = back.listen()
        self.routes = {"r": {"listen": self.front, "target": back}}

    def open(self, _):
        self.clients = [self.front.connect() for _ in range(MANY)]
        self.servers = [self.listener.accept()[0] for _ in range(MANY)]

    def say(self):
        for client in self.clients:
            client.sendall(b"a word")
        return MANY

    def heard(self, _):
        for server in self.servers:
            server.settimeout(harness.PATIENCE)
            assert server.recv(10) == b"a word"

    def close(self):
        for sock in (self.listener, *self.clients, *self.servers):
            sock.close()


class Messages:
    """As many messages as wait in one socket's queue: a session's, or a listener's."""

    def __init__(self, place, kind):
        self.front, back = End(kind, place), End("udp4", place)
        self.server = back.server()
        self.routes = {"r": {"listen": self.front.text, "target": back.text}}

    def open(self, daemon):
        self.client = self.front.socket()
        self.client.connect(self.front.address)
        self.client.send(b"first")
        self.server.settimeout(harness.PATIENCE)
        assert self.server.recv(10) == b"first"
        until("it relays", daemon.relays)

    def say(self):
        for count in range(MANY):
            try:
                self.client.send(b"a word", socket.MSG_DONTWAIT)
            except BlockingIOError:
                return count
        return MANY

    def heard(self, count):
        for _ in range(count):
            assert self.server.recv(10) == b"a word"

    def close(self):
        self.client.close()
        self.server.close()


class Feed:
    """Many changes, told to whoever follows them."""

    def __init__(self, _):
        self.port = harness.free_port()
        feed = {"family": "netlink", "protocol": "route", "groups": ["addr"], "dump": True, "format": "json"}
        self.routes = {"r": {"listen": f"tcp4://127.0.0.1:{self.port}", "target": feed}}

    def open(self, _):
        self.client = socket.create_connection(("127.0.0.1", self.port), harness.PATIENCE)
        self.file = self.client.makefile("rb")
        while b'"snapshot-end"' not in self.file.readline():
            pass

    def say(self):
        ip_batch(f"addr add 10.1.0.{number}/32 dev lo" for number in range(1, MANY + 1))
        return MANY

    def heard(self, count):
        assert all(b'"10.1.0.' in self.file.readline() for _ in range(count))

    def close(self):
        self.file.close()
        self.client.close()


@pytest.mark.parametrize("kind", ("streams", "unix-seqpacket", "unix-dgram", "feed"))
def test_it_beats_for_each(place, kind):
    case = {"streams": Streams, "feed": Feed}.get(kind, lambda where: Messages(where, kind))(place)
    with Namespace() if kind == "feed" else contextlib.nullcontext(), Daemon(case.routes, settings={"workers": 1}) as daemon:
        case.open(daemon)
        ledger = Ledger(daemon.keeper)
        with daemon.worker_held():
            before = ledger.beats(0)
            count = case.say()
        case.heard(count)
        beats = ledger.beats(0) - before
        assert count >= 10 and beats >= count, f"{beats} beats for {count}"
        ledger.file.close()
        case.close()
