# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whoever reads late, gets all: the other end has sent everything and closed, and the session is over, before the first byte
is read. Every kind of stream that is at hand, in all pairs, both directions, with workers that die meanwhile and in the
middle of closing."""

import os
import signal
import socket
import tempfile
import threading

import pytest

import harness
from harness import Daemon, Endpoint, Injected, until

KINDS = ["inet", "unix"] + ["inet6"] * harness.has_ipv6() + ["mptcp"] * harness.has_mptcp()
PAIRS = [(front, back) for front in KINDS for back in KINDS]
DEATHS = list(dict.fromkeys([(kind, other) for kind in KINDS for other in (kind, "unix")]))
SIZES = (600_000, 5_000_000)
CLIENTS = 8       # that come at once, so that each thread hears of one
CLIENTS_MAX = 256
HELD_UP_US = 20_000_000
SLOW_ACCEPT = ("accept4:delay_enter=20000",)  # of the thread that has the session: so that the other one is asked

PATTERN = os.urandom(1 << 16)


def text(size):
    return (PATTERN * (size // len(PATTERN) + 1))[:size]


class Routes:
    """One daemon with a route a pair of kinds."""

    def __init__(self, directory, pairs):
        self.directory = directory
        self.front, self.listener = {}, {}
        routes = {}
        for number, pair in enumerate(pairs):
            back = Endpoint(pair[1], self.directory)
            self.front[pair] = Endpoint(pair[0], self.directory)
            self.listener[pair] = back.listen()
            routes[f"r{number}"] = {"listen": self.front[pair], "target": back}
        self.daemon = Daemon(routes)

    def session(self, pair):
        client = self.front[pair].connect()
        server, _ = self.listener[pair].accept()
        server.settimeout(harness.PATIENCE)
        client.sendall(b"hello")  # and the thread has a pipe, whose making closes descriptors too
        assert read_some(server, 5) == b"hello"
        return client, server


@pytest.fixture(scope="module")
def routes():
    with tempfile.TemporaryDirectory(prefix="late-") as directory:
        made = Routes(directory, PAIRS)
        with made.daemon:
            yield made


@pytest.fixture
def route(place, pair):
    made = Routes(place, [pair])
    with made.daemon:
        yield made


def kill_worker(daemon):
    worker = daemon.worker
    os.kill(worker, signal.SIGKILL)
    daemon.worker_after(worker)


class Sender(threading.Thread):
    """Sends all and closes at once, while nobody reads."""

    def __init__(self, sock, data):
        super().__init__()
        self.sock, self.data = sock, data
        self.start()

    def run(self):
        try:
            self.sock.sendall(self.data)
        finally:
            self.sock.close()


def in_flight(daemon, least):
    """Whether so many bytes have come through one of its sessions, or it is over already."""
    found = daemon.sessions()
    return not found or any(sum(one["bytes"].values()) >= least for one in found)


def read_some(sock, size):
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        assert part, f"the end after {len(data)} bytes"
        data += part
    return data


@pytest.mark.parametrize("kills", (False, True), ids=("", "kills"))
@pytest.mark.parametrize("early_end", (False, True), ids=("end-after", "end-before"))
@pytest.mark.parametrize("late", ("client", "target"))
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_everything_arrives(routes, pair, late, early_end, kills):
    """The late end says its own FIN before, or after it has read all."""
    for size in SIZES:
        data = text(size)
        client, server = routes.session(pair)
        reader, writer = (client, server) if late == "client" else (server, client)
        if early_end:
            reader.shutdown(socket.SHUT_WR)
            assert harness.read_all(writer) == (b"", "end")
        sender = Sender(writer, data)
        until("bytes are on their way", lambda: in_flight(routes.daemon, 10_000))
        if size == SIZES[0]:
            sender.join(0.05)  # what fits is sent, and the writer gone, before anybody reads
        if kills:
            kill_worker(routes.daemon)
        got = read_some(reader, 100_000)
        if kills:
            kill_worker(routes.daemon)
        rest, ending = harness.read_all(reader)
        sender.join()
        reader.close()
        assert len(got + rest) == size and got + rest == data, f"{len(got + rest)} of {size} bytes, then {ending}"
        assert ending == "end"


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair[0] != "unix"], ids="-".join)
def test_what_came_before_a_reset_arrives_before_it(routes, pair):
    """The target speaks, reads nothing and closes: a reset, behind all that it said. The client begins to read only then, so that not
    all of it has found room with him yet."""
    data = text(150_000)
    client, server = routes.session(pair)
    with client:
        client.sendall(b"nobody reads this")
        until("the target has it", lambda: server.recv(1, socket.MSG_PEEK))
        server.sendall(data)
        until("all of it is on its way", lambda: any(one["bytes"]["from_target"] == len(data) for one in routes.daemon.sessions()))
        server.close()
        got, how = harness.read_all(client)
    assert len(got) == len(data) and got == data
    assert how == "ECONNRESET"


def open_sockets(daemon):
    return sum(name.startswith("socket:") for name in harness.descriptors(daemon.worker).values())


class Accepting:
    """The thread that does not have the session, in the middle of accept(2): it has accepted a client, and nobody knows yet;
    others may wait behind it."""

    def __init__(self, routes, pair):
        self.daemon, self.front, self.listener = routes.daemon, routes.front[pair], routes.listener[pair]
        (session,) = self.daemon.sessions()
        self.injected = Injected(self.daemon, "accept4", f"delay_exit={HELD_UP_US}:when=1", thread=1 - session["thread"])
        self.clients, self.servers = {}, {}

    def __enter__(self):
        self.injected.__enter__()
        # Whom the kernel gives which client is its own choice.
        try:
            while not self.left():
                assert len(self.clients) < CLIENTS_MAX, "the other thread accepts nobody"
                self.come()
        except BaseException:
            self.__exit__()
            raise

    def come(self):
        """Some clients at once, of whom those that are served are known by what they say."""
        for _ in range(CLIENTS):
            name = f"newcomer {len(self.clients):03}".encode()
            self.clients[name] = self.front.connect()
            self.clients[name].sendall(name)
        self.listener.settimeout(0.3)
        try:
            while self.left():
                server, _ = self.listener.accept()
                server.settimeout(harness.PATIENCE)
                self.servers[read_some(server, 12)] = server
        except TimeoutError:
            pass
        self.listener.settimeout(harness.PATIENCE)

    def left(self):
        return {name: sock for name, sock in self.clients.items() if name not in self.servers}

    def let_go(self):
        """The tracer holds its thread, and with it the dead worker, as long as it lives."""
        self.injected.process.kill()

    def __exit__(self, *exception):
        self.let_go()
        self.injected.__exit__(*exception)
        for sock in [*self.clients.values(), *self.servers.values()]:
            sock.close()


def is_served(route, pair, accepting):
    """Each newcomer has become a session, and nobody else has."""
    while accepting.left():
        server, _ = route.listener[pair].accept()
        server.settimeout(harness.PATIENCE)
        accepting.servers[read_some(server, 12)] = server
    until("there is no other session", lambda: len(route.daemon.sessions()) == len(accepting.clients))


def is_dead(pid):
    return harness.process_state(pid) in (None, "Z")


@pytest.mark.parametrize("which", (1, 2), ids=("first", "second"))
@pytest.mark.parametrize("first", ("client", "server"))
@pytest.mark.parametrize("pair", DEATHS, ids="-".join)
def test_a_death_at_the_close(route, pair, first, which):
    """A worker dies when a socket is out of its record and not closed yet, while its other thread has just accepted: the heir
    takes the one for a session, and closes the other."""
    daemon = route.daemon
    before = open_sockets(daemon)
    client, server = route.session(pair)
    one, other = (client, server) if first == "client" else (server, client)
    worker = daemon.worker
    (session,) = daemon.sessions()
    accepting = Accepting(route, pair)
    with Injected(daemon, "close", f"signal=KILL:when={which}", thread=session["thread"], more=SLOW_ACCEPT), accepting:
        one.shutdown(socket.SHUT_WR)
        assert harness.read_all(other) == (b"", "end")
        other.sendall(b"the last word")
        other.close()
        until("the worker is dead", lambda: is_dead(worker))
        accepting.let_go()
        assert harness.read_all(one) == (b"the last word", "end")
        one.close()
        daemon.worker_after(worker)
        is_served(route, pair, accepting)
    until("all are over", lambda: not daemon.sessions())
    until("all sockets are closed", lambda: open_sockets(daemon) == before)


@pytest.mark.parametrize("pair", DEATHS, ids="-".join)
def test_a_number_that_comes_back(route, pair):
    """One thread has closed a socket and does not know it yet, the other accepts and gets its number: that one is new."""
    daemon = route.daemon
    before = open_sockets(daemon)
    client, server = route.session(pair)
    worker = daemon.worker
    (session,) = daemon.sessions()
    accepting = Accepting(route, pair)
    with Injected(daemon, "close", f"delay_exit={HELD_UP_US}:when=1", thread=session["thread"], more=SLOW_ACCEPT) as closing:
        client.shutdown(socket.SHUT_WR)
        server.close()
        assert harness.read_all(client) == (b"", "end")
        client.close()
        with accepting:
            os.kill(worker, signal.SIGKILL)
            until("the worker is dead", lambda: is_dead(worker))
            accepting.let_go()
            closing.process.kill()
            daemon.worker_after(worker)
            is_served(route, pair, accepting)
    until("all are over", lambda: not daemon.sessions())
    until("all sockets are closed", lambda: open_sockets(daemon) == before)
