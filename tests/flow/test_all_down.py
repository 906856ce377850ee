# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where all targets of a route are down one session asks, and the others wait: within the route's share of places, until `retry.total`; who
comes when no place is left is reset at once, and counted."""

import collections
import contextlib
import os
import select
import signal
import time

import pytest

import harness
from harness import Daemon, Endpoint, until

CROWD = 30
MANY = 4     # attempts, each after a longer pause
PLACES = 6
LONG = {"total": "10min"}  # nobody gives up
ROWS = ("inet", "inet6", "unix")


def target_of(daemon, number=0):
    return daemon.ctl("routes", status=None)["routes"][0]["targets"][number]


def wait_until_down(daemon, count=1):
    until("all are down", lambda: [target_of(daemon, k)["state"] for k in range(count)] == ["down"] * count)


def crowd(stack, front, count=CROWD):
    made = []
    for number in range(count):
        made.append(stack.enter_context(front.connect()))
        made[-1].sendall(b"%03d" % number)
    return made


def are_open(clients):
    return not select.select(clients, [], [], 0)[0]


def serve(listener, count):
    """Each of so many is served once; what they said."""
    heard = []
    for _ in range(count):
        server, _ = listener.accept()
        with server:
            server.settimeout(harness.PATIENCE)
            heard.append(server.recv(3))
            server.sendall(b"yes")
    return sorted(heard)


def all_are_answered(clients):
    for client in clients:
        client.settimeout(harness.PATIENCE)
        assert client.recv(3) == b"yes"


def kill(daemon):
    worker = daemon.worker
    os.kill(worker, signal.SIGKILL)
    daemon.worker_after(worker)
    until("the next one runs", daemon.runs)


def reload(daemon):
    daemon.reload({name: {**route, "limit": {"sessions": 1000}} for name, route in daemon.routes.items()})


def refuse(daemon):
    routes = daemon.routes
    daemon.write({**routes, "z": {"listen": "unix:///etc/passwd/no-directory", "target": "tcp4://127.0.0.1:9"}})
    assert daemon.ctl_run("reload").returncode == 1
    daemon.write(routes)


def all_are_reset(clients):
    for client in clients:
        assert harness.read_all(client) == (b"", "ECONNRESET")


def is_reset(front):
    try:
        with front.connect() as client:
            return harness.read_all(client) == (b"", "ECONNRESET")
    except ConnectionResetError:
        return True  # it was quicker than we


def refused(daemon):
    return daemon.ctl("routes", status=None)["routes"][0]["refused"]


@pytest.mark.parametrize("family", ROWS)
def test_one_asks_and_all_are_served(place, family):
    """... when it comes back: who came before it went, or while a worker died, a reload came or was refused."""
    front, back = Endpoint("inet", place), Endpoint(family, place)
    with Daemon({"r": {"listen": front, "target": back, "retry": LONG}}) as daemon, contextlib.ExitStack() as stack:
        clients = crowd(stack, front, 1)
        wait_until_down(daemon)
        began, failed = time.monotonic(), target_of(daemon)["failures"]
        for strike in (None, kill, reload, refuse):
            clients += crowd(stack, front)
            until("all wait", lambda: len(daemon.sessions()) == len(clients))
            if strike:
                strike(daemon)
        until("it is asked again", lambda: target_of(daemon)["failures"] >= failed + MANY)
        asked, passed = target_of(daemon)["failures"] - failed, time.monotonic() - began
        assert asked <= MANY + passed + 2, f"asked {asked} times in {passed} s"
        assert are_open(clients)
        with back.listen() as listener:
            heard = serve(listener, len(clients))
            all_are_answered(clients)
        assert collections.Counter(heard) == {b"%03d" % number: 5 if number == 0 else 4 for number in range(CROWD)}
        until("it is up", lambda: target_of(daemon)["state"] == "up")


def test_a_client_waits_by_default(place):
    """A target that is away for a moment is not felt, but for the wait."""
    front, back = Endpoint("inet", place), Endpoint("inet", place)
    with Daemon({"r": {"listen": front, "target": back}}) as daemon, front.connect() as client:
        client.sendall(b"000")
        until("it is asked more often than it takes to be down", lambda: target_of(daemon)["failures"] > 3)
        with back.listen() as listener:
            assert serve(listener, 1) == [b"000"]
            all_are_answered([client])


@pytest.mark.parametrize("pool", (1, 3))
def test_all_have_waited_long_enough(place, pool):
    """... when retry.total is over, those too who asked nobody."""
    front, backs = Endpoint("inet", place), tuple(Endpoint("unix", place) for _ in range(pool))
    with Daemon({"r": {"listen": front, "target": backs, "retry": {"total": "600ms"}}}) as daemon, contextlib.ExitStack() as stack:
        while [target_of(daemon, k)["state"] for k in range(pool)] != ["down"] * pool:
            all_are_reset(crowd(stack, front, 1))
        before = refused(daemon)
        all_are_reset(crowd(stack, front))
        assert refused(daemon) == before + CROWD


@pytest.mark.parametrize("pool", (1, 3))
@pytest.mark.parametrize("what", ("limit.sessions", "max_sessions"))
def test_nobody_waits_for_a_place_to_wait_in(place, what, pool):
    """Who finds none is reset at once, and counted; so is nobody as soon as one of the targets lives."""
    front, backs = Endpoint("inet", place), tuple(Endpoint("inet", place) for _ in range(pool))
    limit = {"limit": {"sessions": PLACES}} if what == "limit.sessions" else {}
    settings = {"max_sessions": PLACES} if what == "max_sessions" else {}
    with Daemon({"r": {"listen": front, "target": backs, "retry": LONG, **limit}}, settings) as daemon, contextlib.ExitStack() as stack:
        clients = crowd(stack, front, 1)
        wait_until_down(daemon, pool)
        clients += crowd(stack, front, PLACES - 1)
        until("they wait", lambda: len(daemon.sessions()) == PLACES)
        for _ in range(CROWD):
            assert is_reset(front)
        assert refused(daemon) == CROWD and are_open(clients)
        with backs[-1].listen() as listener:
            serve(listener, PLACES)
            all_are_answered(clients)
            until("it is up", lambda: target_of(daemon, pool - 1)["state"] == "up")
            for client in clients:
                client.close()
            late = crowd(stack, front, PLACES)
            serve(listener, PLACES)
            all_are_answered(late)


def test_who_asks_goes(place):
    """Another one asks then, though the attempt in hand had long to go."""
    front, back = Endpoint("inet", place), Endpoint("unix", place)
    with back.listen(0) as listener, contextlib.ExitStack() as stack:
        filling = stack.enter_context(back.connect())
        route = {"listen": front, "target": back, "retry": LONG, "timeout": {"connect": "100ms"}}
        with Daemon({"r": route}) as daemon:
            first = crowd(stack, front, 1)[0]
            wait_until_down(daemon)
            daemon.reload({"r": {**route, "timeout": {"connect": "10min"}}})
            harness.reset(first)
            asks = crowd(stack, front, 1)[0]
            until("it asks", lambda: [one["state"] for one in daemon.sessions()] == ["connecting"])
            clients = crowd(stack, front, 3)
            until("they wait", lambda: len(daemon.sessions()) == 4)
            harness.reset(asks)
            listener.accept()[0].close()
            filling.close()
            assert serve(listener, 3) == [b"000", b"001", b"002"]
            all_are_answered(clients)
