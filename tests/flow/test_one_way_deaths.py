# SPDX-License-Identifier: LGPL-2.1-or-later
"""Members of a one-way pool (replies = 0) that are absent, go, and come back. What a member has not taken goes to another: nothing is dropped
while one lives, and every message is accounted for."""

import os
import signal
import socket
import struct

import pytest

import harness
from harness import Daemon, until
from messages import STREAMS, End, frame, route

SETTINGS = {"workers": 1, "log": {"to": "stderr", "level": "warning"}}
FRONTS = ("udp4", "unix-dgram")
BACKS = ("tcp4", "tcp6", "unix", "unix-seqpacket", "unix-dgram")  # the rows that are reliable
DEATHS = ("close", "reset", "kill")
STEPS = 8
BURST = 40
QUEUE = 9  # of a unix-dgram socket that nobody reads meanwhile: net.unix.max_dgram_qlen


@pytest.fixture(autouse=True)
def with_ipv6(request):
    if "tcp6" in request.node.callspec.params.values() and not harness.has_ipv6():
        pytest.skip("no IPv6 here")


class Member:
    """Takes messages while it lives. heard: all, over its lives."""

    def __init__(self, kind, place, lives=True):
        self.end = End(kind, place)
        self.heard, self.server, self.connections = [], None, {}
        if lives:
            self.begin()

    @property
    def target(self):
        return self.end.framed

    def begin(self):
        self.server = self.end.server()
        self.server.setblocking(False)

    def listen(self):
        if self.server is None:
            return
        if self.end.is_datagram:
            self._take(self.server)
            return
        try:
            while True:
                sock = self.server.accept()[0]
                sock.setblocking(False)
                self.connections[sock] = b""
        except BlockingIOError:
            pass
        for sock in list(self.connections):
            self._take(sock)

    def _take(self, sock):
        try:
            while data := sock.recv(1 << 18):
                if self.end.kind in STREAMS:
                    self._unframe(sock, data)
                else:
                    self.heard.append(data)
        except (BlockingIOError, ConnectionError):
            pass

    def _unframe(self, sock, data):
        data = self.connections[sock] + data
        while len(data) >= 2 and len(data) >= 2 + struct.unpack(">H", data[:2])[0]:
            size = 2 + struct.unpack(">H", data[:2])[0]
            self.heard.append(data[2:size])
            data = data[size:]
        self.connections[sock] = data

    def end_connections(self, reset):
        for sock in self.connections:
            if reset and self.end.kind.startswith("tcp"):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        self.connections = {}

    def dies(self, how="kill"):
        """close, reset: its connections end, and it takes others, unless it has none; kill: all of it is gone."""
        self.end_connections(how == "reset")
        if how == "kill" or self.end.is_datagram:
            self.gone()

    def gone(self):
        self.end_connections(False)
        if self.server is not None:
            self.server.close()
            self.server = None


class Pool:
    def __init__(self, front, kind, place, count=3, absent=(), **options):
        self.front = End(front, place)
        self.members = [Member(kind, place, number not in absent) for number in range(count)]
        self.said = 0
        targets = tuple(member.target for member in self.members)
        self.routes = {"r": {"listen": str(self.front), "target": targets, "replies": 0, **options}}

    def __enter__(self):
        self.daemon = Daemon(self.routes, SETTINGS).__enter__()
        self.client = self.front.client()
        return self

    def __exit__(self, kind, value, trace):
        self.client.close()
        for member in self.members:
            member.gone()
        self.daemon.__exit__(kind, value, trace)

    def burst(self):
        self.say(QUEUE if self.members[0].end.is_datagram else BURST)

    def say(self, count=1):
        for _ in range(count):
            self.client.say(b"%d" % self.said)
            self.said += 1

    def heard(self):
        for member in self.members:
            member.listen()
        return [int(data) for member in self.members for data in member.heard]

    def lanes(self):
        return len(self.daemon.sessions())

    def step(self):
        """One message, which somebody hears."""
        before = len(self.heard())
        self.say()
        until(f"message {self.said - 1} came; {self.counts()}", lambda: len(self.heard()) > before)

    def counts(self):
        return {key: value for key, value in route(self.daemon, "r").items() if key in ("received", "messages", "dropped", "waiting")}

    def accounted(self):
        """All that was said is sent on, dropped, or waits."""
        told = route(self.daemon, "r")
        assert told["received"]["from_client"] == told["messages"]["to_target"] + sum(told["dropped"].values()) + told["waiting"], told
        return told

    def settled(self):
        until(f"all is on its way: {self.counts()}", lambda: route(self.daemon, "r")["received"]["from_client"] == self.said and
              not route(self.daemon, "r")["waiting"])
        told = self.accounted()
        assert not any(told["dropped"].values()), told
        return told

    def all_heard(self):
        """Nothing is lost, and nothing came twice."""
        self.settled()
        until(f"all came: {self.counts()}", lambda: len(self.heard()) >= self.said)
        assert sorted(self.heard()) == list(range(self.said))


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("kind", BACKS)
def test_a_member_that_is_not_there_costs_nothing(place, kind, front):
    """From the first message on, in bursts and one by one, before it is known to be down and after."""
    with Pool(front, kind, place, absent=(0, 2)) as pool:
        pool.burst()
        pool.all_heard()
        for _ in range(STEPS):
            pool.step()
        pool.all_heard()
        assert len(pool.members[1].heard) == pool.said


@pytest.mark.parametrize("how", DEATHS)
@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("kind", BACKS)
def test_a_member_that_goes_costs_nothing_that_it_had_not_taken(place, kind, front, how):
    """Its connection's end is heard, or not before the next message is sent: what the socket refuses is for another."""
    with Pool(front, kind, place) as pool:
        for _ in range(6):
            pool.step()
        pool.all_heard()
        lanes = pool.lanes()
        pool.members[1].dies(how)
        if not pool.members[1].end.is_datagram:
            until("its lane has ended", lambda: pool.lanes() < lanes)
        for _ in range(STEPS):
            pool.step()
        pool.all_heard()
        assert len(pool.members[1].heard) == 2 or how != "kill"


@pytest.mark.parametrize("kind", BACKS)
def test_a_member_that_returns_has_its_share(place, kind):
    """Before it is known to be down: at its next turn."""
    with Pool("udp4", kind, place) as pool:
        for _ in range(6):
            pool.step()
        pool.members[1].dies()
        if not pool.members[1].end.is_datagram:
            until("its lane has ended", lambda: pool.lanes() < 3)
        for _ in range(3):
            pool.step()
        pool.members[1].begin()
        before = len(pool.members[1].heard)
        for _ in range(6):
            pool.step()
        pool.all_heard()
        assert len(pool.members[1].heard) >= before + 2


@pytest.mark.parametrize("how", DEATHS)
@pytest.mark.parametrize("kind", BACKS)
def test_a_member_that_goes_unheard(place, kind, how):
    """The worker stands still meanwhile: its next act is to send what is there. Only what the dead one's socket took is lost."""
    with Pool("udp4", kind, place) as pool:
        for _ in range(6):
            pool.step()
        worker = pool.daemon.hold_worker()
        try:
            pool.burst()
            pool.members[1].dies(how)
        finally:
            os.kill(worker, signal.SIGCONT)
        told = pool.settled()
        taken = told["messages"]["to_target"]
        assert taken == pool.said
        heard = lambda: len(set(pool.heard()))  # noqa: E731
        until("what the living have taken came", lambda: heard() >= pool.said - BURST // 3 - 1)
        if not kind.startswith("tcp"):
            # Nobody takes anything for a UNIX socket that is closed.
            pool.all_heard()


@pytest.mark.parametrize("kind", ("tcp4", "unix-seqpacket", "unix-dgram"))
def test_all_are_dead_and_one_returns(place, kind):
    """Nothing goes round for ever; what is dropped is counted, and the one that returns is found."""
    with Pool("udp4", kind, place, absent=(0, 1, 2), retry={"backoff": "20ms", "max_backoff": "50ms"}) as pool:
        for _ in range(STEPS):
            pool.say()
        until("all are taken", lambda: route(pool.daemon, "r")["received"]["from_client"] == pool.said)
        pool.accounted()
        pool.members[2].begin()
        until("it is heard of", lambda: pool.say() or pool.heard())
        until("all is on its way", lambda: pool.heard() and not route(pool.daemon, "r")["waiting"])
        told = pool.accounted()
        until("and came", lambda: len(pool.heard()) == told["messages"]["to_target"])
        assert len(set(pool.heard())) == len(pool.heard())
