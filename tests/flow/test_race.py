# SPDX-License-Identifier: LGPL-2.1-or-later
"""A name with several addresses, some of which do not answer (RFC 8305): the next is tried beside those that are silent, a few at a time,
and the first that is connected has the session."""

import contextlib
import os
import select
import signal
import socket
import time

import pytest

import harness
from harness import Daemon, Endpoint, free_port, until
from test_names import Files

SYN_SENT = "02"


class Hole:
    """A listener whose queue is full, so that it does not answer, until it is drained."""

    def __init__(self, address, port):
        self.socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address, port))
        self.socket.listen(0)
        self.socket.settimeout(harness.PATIENCE)
        self.filling = []
        while True:
            sock = socket.socket(self.socket.family)
            sock.setblocking(False)
            self.filling.append(sock)
            with contextlib.suppress(BlockingIOError):
                sock.connect((address, port))
            if not select.select([], [sock], [], 0.2)[1]:
                return

    def drain(self):
        for sock in self.filling:
            sock.close()
        self.filling = []

    def accept(self):
        """The first that is no filling: it says something."""
        while True:
            client, _ = self.socket.accept()
            client.settimeout(harness.PATIENCE)
            with contextlib.suppress(ConnectionResetError):
                if client.recv(5) == b"hello":
                    return client
            client.close()

    def close(self):
        self.drain()
        self.socket.close()


class Race:
    """A route to a name with these addresses, whose time to connect is an hour: it is not by waiting that a client is served."""

    def __init__(self, place, stack, addresses, holes, scheme="tcp4", **more):
        files = Files(place)
        files.write("".join(f"{address} race.test\n" for address in addresses))
        self.port = free_port()
        self.holes = {address: Hole(address, self.port) for address in holes}
        for hole in self.holes.values():
            stack.callback(hole.close)
        self.front = Endpoint("inet", place)
        route = {"listen": self.front, "target": f"{scheme}://race.test:{self.port}", "timeout": {"connect": "1h"},
                 "retry": {"total": "1h", "attempts": 1}, **more}
        self.daemon = stack.enter_context(Daemon({"r": route}, wrap=files.wrap))
        until("the name is known", lambda: self.daemon.ctl("routes")["routes"][0]["targets"][0]["state"] == "up")

    def client(self, stack):
        client = stack.enter_context(self.front.connect())
        client.sendall(b"hello")
        return client

    def under_way(self):
        """How many connections the daemon is trying to make."""
        own = {sock.getsockname()[1] for hole in self.holes.values() for sock in hole.filling}
        count = 0
        for name in ("tcp", "tcp6"):
            with open("/proc/net/" + name, encoding="ascii") as table:
                for line in list(table)[1:]:
                    _, here, there, state = line.split()[:4]
                    ports = [int(end.rsplit(":", 1)[1], 16) for end in (here, there)]
                    count += state == SYN_SENT and ports[1] == self.port and ports[0] not in own
        return count

    def goes_on(self, count):
        until(f"{count} attempts are under way", lambda: self.under_way() == count)


def served(client, server):
    with server:
        server.sendall(b"world")
        assert client.recv(5) == b"world"


@pytest.fixture
def stack():
    with contextlib.ExitStack() as one:
        yield one


HOLES = [f"127.0.3.{number}" for number in range(1, 6)]


def test_the_next_is_tried_beside_those_that_are_silent(place, stack):
    """Never more than three at a time, however many there are; the others are closed, and the next client begins where one answered."""
    good = "127.0.3.100"
    race = Race(place, stack, [*HOLES, good], HOLES)
    listener = stack.enter_context(socket.create_server((good, race.port)))
    listener.setblocking(False)
    client, most = race.client(stack), 0
    limit = time.monotonic() + harness.PATIENCE * 3
    while not select.select([listener], [], [], 0.05)[0]:
        with race.daemon.worker_held():  # the table is no snapshot
            most = max(most, race.under_way())
        assert time.monotonic() < limit
    assert 2 <= most <= 3
    listener.settimeout(harness.PATIENCE)
    server, _ = listener.accept()
    assert server.recv(5) == b"hello"
    race.goes_on(0)
    served(client, server)
    other = race.client(stack)
    server, _ = listener.accept()
    assert server.recv(5) == b"hello" and not race.under_way()
    served(other, server)
    assert race.daemon.ctl("routes")["routes"][0]["connect_errors"] == 0


@pytest.mark.parametrize("last", ("silent", "refused", "killed"))
def test_an_earlier_one_wins(place, stack, last):
    """... while the newest is silent, too; after all others were refused; after a crash."""
    addresses = HOLES[:2] if last != "refused" else [HOLES[0], "127.0.3.9"]
    race = Race(place, stack, addresses, [address for address in addresses if address in HOLES])
    client = race.client(stack)
    race.goes_on(2 if last != "refused" else 1)
    if last == "refused":
        until("the session is there", race.daemon.sessions)
    if last == "killed":
        os.kill(race.daemon.worker, signal.SIGKILL)
        race.goes_on(2)
    race.holes[HOLES[0]].drain()
    server = race.holes[HOLES[0]].accept()
    race.goes_on(0)
    served(client, server)
    assert len(race.daemon.sessions()) <= 1


def test_nobody_answers(place, stack):
    """The time to connect is for all of them together; that is one failure of the target, and nothing is left."""
    race = Race(place, stack, HOLES[:4], HOLES[:4], timeout={"connect": "2s"})
    client = race.client(stack)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    race.goes_on(0)
    assert race.daemon.ctl("routes")["routes"][0]["connect_errors"] == 1


def test_a_client_that_leaves(place, stack):
    race = Race(place, stack, HOLES[:3], HOLES[:3])
    client = race.client(stack)
    race.goes_on(3)
    harness.reset(client)
    race.goes_on(0)
    until("the session is gone", lambda: not race.daemon.sessions())


def test_both_families(place, stack):
    """By turns, so that one that is broken costs one delay, not one for each of its addresses."""
    if not harness.has_ipv6():
        raise harness.Skip("no IPv6 here")
    race = Race(place, stack, ["::1", "127.0.0.1"], ["::1"], scheme="tcp")
    listener = stack.enter_context(socket.create_server(("127.0.0.1", race.port)))
    listener.settimeout(harness.PATIENCE)
    client = race.client(stack)
    server, _ = listener.accept()
    served(client, server)
    race.goes_on(0)
