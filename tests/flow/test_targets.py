# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which target a session gets, and what a client sees when there is none: a reset, never an end that looks clean."""

import collections
import contextlib
import select
import socket
import threading
import time

import pytest

import harness
from harness import Daemon, Endpoint, ask, until


class Answering:
    """A target that says its name to whoever connects, and closes."""

    def __init__(self, endpoint, name):
        self.listener = endpoint.listen()
        self.name = name.encode()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        self.listener.settimeout(None)
        while True:
            try:
                server, _ = self.listener.accept()
            except OSError:
                return
            server.sendall(self.name)
            server.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


def full(endpoint):
    """A listener whose backlog is full, so that it does not answer, and the connections that fill it."""
    listener = endpoint.listen(0)
    filling = []
    while True:
        sock = endpoint.socket()
        sock.setblocking(False)
        filling.append(sock)
        try:
            sock.connect(endpoint.address)
        except BlockingIOError:
            if endpoint.family == socket.AF_UNIX:
                return listener, filling
            # A SYN that the full queue drops gets no answer; one that is taken gets it at once on the loopback.
            if not select.select([], [sock], [], 0.2)[1]:
                return listener, filling


@pytest.mark.parametrize("families", (("inet", "inet", "inet"), ("inet", "unix", "inet6")), ids="-".join)
def test_by_turns(place, families):
    front, backs = Endpoint("inet", place), [Endpoint(family, place) for family in families]
    with Answering(backs[0], "0"), Answering(backs[1], "1"), Answering(backs[2], "2"), \
            Daemon({"r": {"listen": front, "target": tuple(backs)}}, {"workers": 1}):
        seen = collections.Counter(ask(front)[0] for _ in range(12))
    assert seen == {b"0": 4, b"1": 4, b"2": 4}


def test_the_next_when_one_refuses(place):
    front, backs = Endpoint("inet", place), [Endpoint(family, place) for family in ("inet", "inet6", "unix")]
    with Answering(backs[2], "alive"), Daemon({"r": {"listen": front, "target": tuple(backs)}}):
        for _ in range(12):
            assert ask(front) == (b"alive", "end")


def test_a_target_that_comes_back_is_used_again(place):
    """Without health checks, failed connects mark a target down for a while; when all are down all are tried."""
    front, back = Endpoint("inet", place), Endpoint("unix", place)
    with Daemon({"r": {"listen": front, "target": back, "retry": {"attempts": 1}}}) as daemon:
        for _ in range(5):
            assert ask(front)[1] == "ECONNRESET"
        with Answering(back, "back"):
            assert ask(front) == (b"back", "end")
        assert daemon.process.poll() is None


@pytest.mark.parametrize("family", ("inet", "inet6"))
@pytest.mark.parametrize("target", ("inet", "inet6", "unix"))
@pytest.mark.parametrize("says", ("nothing", "data", "data-and-fin"))
def test_no_target_is_a_reset(place, family, target, says):
    front, back = Endpoint(family, place), Endpoint(target, place)
    retry = {"attempts": 2, "backoff": "200ms"}
    with Daemon({"r": {"listen": front, "target": back, "retry": retry}}), front.connect() as client:
        try:
            if says != "nothing":
                client.sendall(b"hello?")
            if says == "data-and-fin":
                client.shutdown(socket.SHUT_WR)
        except ConnectionResetError:
            return  # it was quicker than we
        assert harness.read_all(client) == (b"", "ECONNRESET")


def test_no_target_for_a_unix_client(place):
    """UNIX has no reset of its own: the end, or ECONNRESET where the daemon left data unread."""
    front, back = Endpoint("unix", place), Endpoint("inet", place)
    retry = {"attempts": 2, "backoff": "200ms"}
    with Daemon({"r": {"listen": front, "target": back, "retry": retry}}), front.connect() as client:
        client.sendall(b"hello?")
        assert harness.read_all(client) in ((b"", "ECONNRESET"), (b"", "end"))


@pytest.mark.parametrize("kind", ("stale", "file", "datagram"))
def test_a_unix_target_that_is_none(place, kind):
    front, back = Endpoint("inet", place), Endpoint("unix", place)
    if kind == "stale":
        back.listen().close()
    elif kind == "file":
        with open(back.address, "w", encoding="utf-8") as file:
            file.write("not a socket")
    other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if kind == "datagram":
        other.bind(back.address)
    with other, Daemon({"r": {"listen": front, "target": back, "retry": {"attempts": 1}}}):
        assert ask(front) == (b"", "ECONNRESET")


@pytest.mark.parametrize("family", ("inet", "inet6"))
def test_a_target_that_does_not_answer(place, family):
    front, back = Endpoint("inet", place), Endpoint(family, place)
    listener, filling = full(back)
    route = {"listen": front, "target": back, "timeout": {"connect": "400ms"}, "retry": {"attempts": 1}}
    with listener, Daemon({"r": route}):
        start = time.monotonic()
        assert ask(front) == (b"", "ECONNRESET")
        assert 0.35 <= time.monotonic() - start < 0.4 + harness.PATIENCE / 2
    del filling


def test_the_next_when_one_does_not_answer(place):
    front, slow, good = Endpoint("inet", place), Endpoint("inet", place), Endpoint("inet", place)
    listener, filling = full(slow)
    with listener, Answering(good, "good"), \
            Daemon({"r": {"listen": front, "target": (slow, good), "timeout": {"connect": "200ms"}}}):
        for _ in range(4):
            assert ask(front) == (b"good", "end")
    del filling


def test_a_unix_target_with_a_full_backlog_is_waited_for(place):
    """connect() says EAGAIN there, and nothing tells when it would not: it is tried again."""
    front, back = Endpoint("inet", place), Endpoint("unix", place)
    listener, filling = full(back)
    retry = {"attempts": 500, "backoff": "10ms", "max_backoff": "50ms"}
    with listener, Daemon({"r": {"listen": front, "target": back, "retry": retry}}), front.connect() as client:
        client.sendall(b"through")
        for _ in filling[:-1]:
            listener.accept()[0].close()
        server, _ = listener.accept()
        server.settimeout(harness.PATIENCE)
        assert server.recv(100) == b"through"
        server.close()


def test_many_wait_for_a_full_backlog(place):
    """It is asked seldom, for many may wait, and for long; each is served in the end."""
    front, back = Endpoint("inet", place), Endpoint("unix", place)
    listener, filling = full(back)
    waiting = {"timeout": {"connect": "1min"}}
    with listener, Daemon({"r": {"listen": front, "target": back, **waiting}}) as daemon, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(front.connect()) for _ in range(3)]
        for client in clients:
            client.sendall(b"through")
        until("all wait", lambda: [one["state"] for one in daemon.sessions()] == ["connecting"] * len(clients))
        daemon.at_rest(parts=("cpu",))
        for _ in filling[:-1]:
            listener.accept()[0].close()
        for _ in clients:
            server, _ = listener.accept()
            with server:
                server.settimeout(harness.PATIENCE)
                assert server.recv(100) == b"through"


WAITING = {"attempts": 1000, "backoff": "10ms", "max_backoff": "20ms", "total": "30s"}


@pytest.mark.parametrize("family", ("inet", "unix"))
@pytest.mark.parametrize("says", ("nothing", "data", "data-and-fin", "fin"))
def test_retry_until_the_target_appears(place, family, says):
    """What the client says before there is a target, its FIN too, is what the target hears."""
    front, back = Endpoint(family, place), Endpoint("unix", place)
    with Daemon({"r": {"listen": front, "target": back, "retry": WAITING}}) as daemon, front.connect() as client:
        if "data" in says:
            client.sendall(b"early")
        if "fin" in says:
            client.shutdown(socket.SHUT_WR)
        harness.until("the session waits", lambda: len(daemon.sessions()) == 1)
        with back.listen() as listener:
            server, _ = listener.accept()
            server.settimeout(harness.PATIENCE)
            if "fin" in says:
                assert harness.read_all(server) == (b"early" if "data" in says else b"", "end")
            elif says == "data":
                assert server.recv(100) == b"early"
            server.sendall(b"late")
            server.close()
        assert harness.read_all(client) == (b"late", "end")


def test_a_client_that_gives_up_waiting(place):
    """A reset before there is a target ends the session: nobody connects for it."""
    front, back = Endpoint("inet", place), Endpoint("unix", place)
    with Daemon({"r": {"listen": front, "target": back, "retry": WAITING}}) as daemon:
        client = front.connect()
        client.sendall(b"early")
        harness.until("the session waits", lambda: len(daemon.sessions()) == 1)
        harness.reset(client)
        harness.until("the session is gone", lambda: not daemon.sessions())


def test_retry_total_is_the_limit(place):
    front, back = Endpoint("inet", place), Endpoint("unix", place)
    retry = {"attempts": 1000, "backoff": "10ms", "max_backoff": "20ms", "total": "300ms"}
    with Daemon({"r": {"listen": front, "target": back, "retry": retry}}):
        start = time.monotonic()
        assert ask(front) == (b"", "ECONNRESET")
        assert time.monotonic() - start < 0.3 + harness.PATIENCE / 2
