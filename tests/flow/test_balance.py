# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who gets the next client: weights, backups, and what is left by members that are dead. How exact the arithmetic is, tests/unit/test_balance
says; here is that sessions of several threads, and of workers that follow each other, all get what it says."""

import collections
import contextlib
import os
import select
import signal
import socket
import threading
import time

import pytest

import harness
from harness import Daemon, Endpoint, ask, until

SETTINGS = {"workers": 2, "log": {"to": "stderr", "level": "warning", "sessions": False}}


class Members:
    """Targets that say their name to whoever connects, and close. One thread serves all; what a client says is not waited for."""

    def __init__(self, **ends):
        self.listeners = {end.listen(): name for name, end in ends.items()}
        self.held, self.holds = [], False
        self.wake, self.woken = socket.socketpair()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            for sock in select.select([*self.listeners, self.woken], [], [])[0]:
                if sock is self.woken:
                    return
                with contextlib.suppress(OSError):
                    client, _ = sock.accept()
                    if self.holds:  # asked first: who has heard the name may change it
                        self.held.append(client)
                    client.sendall(self.listeners[sock].encode())
                    if client not in self.held:
                        client.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.wake.close()
        self.thread.join()
        for sock in (*self.listeners, *self.held, self.woken):
            sock.close()


def target(end, **options):
    """The same endpoint with options of its own."""
    return {"family": "unix", "path": end.address, **options}


def count(front, clients):
    """Whom so many clients get, one after the other."""
    seen = collections.Counter()
    for _ in range(clients):
        said, end = ask(front)
        assert end == "end", (said, end)
        seen[said.decode()] += 1
    return seen


def count_at_once(front, clients):
    seen = collections.Counter()
    threads = [threading.Thread(target=lambda: seen.update(count(front, 1))) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def targets(daemon, route="r"):
    return [one for one in daemon.ctl("targets")["targets"] if one["route"] == route]


def alike(seen, least, names):
    return all(abs(seen[name] - least) <= 1 for name in names)


def test_weights(place):
    """Over threads, a kill, and a reload; what was refused changes nothing. A weight of 0 takes nobody new, and ends nobody."""
    front, a, b, c, idle = Endpoint("inet", place), *(Endpoint("unix", place) for _ in range(4))

    def routes(*weights, **more):
        return {"r": {"listen": front, "target": tuple(target(end, weight=weight) for end, weight in zip((a, b, c), weights))
                      + (target(idle, backup=True),), **more}}

    with Members(a=a, b=b, c=c, idle=idle) as members, Daemon(routes(3, 2, 1), SETTINGS) as daemon:
        seen = count(front, 66)
        os.kill(daemon.worker, signal.SIGKILL)
        seen += count(front, 66)
        daemon.reload(routes(3, 2, 1, title="another"))
        seen += count_at_once(front, 48)
        # A worker that is killed may take a turn with it.
        assert sum(seen.values()) == 180
        assert abs(seen["a"] - 90) <= 2 and abs(seen["b"] - 60) <= 2 and abs(seen["c"] - 30) <= 2 and not seen["idle"]
        assert [(one["weight"], one["backup"]) for one in targets(daemon)] == [(3, False), (2, False), (1, False), (1, True)]

        members.holds = True
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(front.connect()) for _ in range(6)]
            names = [client.recv(1) for client in clients]
            members.holds = False
            assert [one["active"] for one in targets(daemon)] == [3, 2, 1, 0]
            with pytest.raises(AssertionError):
                daemon.reload(routes(0, 1, 1 << 20))
            assert alike(count(front, 12), 4, "b") and targets(daemon)[0]["weight"] == 3
            daemon.reload(routes(0, 1, 1))
            assert count(front, 12) == {"b": 6, "c": 6}
            os.kill(daemon.worker, signal.SIGKILL)
            until("an heir has them", lambda: [one["active"] for one in targets(daemon)] == [3, 2, 1, 0])
            assert sum(count(front, 12)[name] for name in "bc") == 12
            for sock in members.held:
                sock.sendall(b"!")
            assert [client.recv(1) for client in clients] == [b"!"] * 6 and names.count(b"a") == 3
            for sock in members.held:
                sock.close()
        until("they are gone", lambda: not any(one["active"] for one in targets(daemon)))


@pytest.mark.parametrize("at_once", (False, True), ids=("in-a-row", "at-once"))
@pytest.mark.parametrize("passive", ({"failures": 0}, {}, {"failures": 1, "retry": "1h"}), ids=("off", "default", "first"))
def test_what_the_dead_leave_goes_to_all_that_live(place, passive, at_once):
    """Also by a retry, wherever in the list they are: those that live get the same, or as much as their weights say."""
    dead, ends = [Endpoint("unix", place) for _ in range(2)], [Endpoint("unix", place) for _ in range(3)]
    a, b, c = ends
    pools = {"dab": (dead[0], a, b), "ddab": (*dead, a, b), "dadb": (dead[0], a, dead[1], b), "addb": (a, *dead, b), "ddabc": (*dead, a, b, c)}
    fronts = {name: Endpoint("inet", place) for name in (*pools, "heavy")}
    routes = {name: {"listen": fronts[name], "target": tuple(pool), "passive": passive} for name, pool in pools.items()}
    routes["heavy"] = {"listen": fronts["heavy"], "passive": passive,
                       "target": (target(dead[0], weight=9), target(dead[1]), target(a, weight=2), target(b))}
    ask_all = count_at_once if at_once else count
    with Members(a=a, b=b, c=c), Daemon(routes, SETTINGS) as daemon:
        for name in pools:
            seen = ask_all(fronts[name], 60)
            living = "abc" if name == "ddabc" else "ab"
            spread = 2 + 2 * at_once  # two sequences, each exact to one; at once they meet in any order, and a member marks down midway
            assert all(abs(seen[one] - 60 // len(living)) <= spread for one in living), (name, seen)
        seen = ask_all(fronts["heavy"], 60)
        assert abs(seen["a"] - 40) <= 4, seen
        failures = [one["failures"] for one in targets(daemon, "ddab")[:2]]
        if passive.get("failures") == 0:
            assert min(failures) > 10 and all(one["state"] == "up" for name in pools for one in targets(daemon, name))
        elif passive and not at_once:
            assert failures == [1, 1]


def test_backups(place):
    """They have clients while all others are down, and only then; nobody is sent back and forth."""
    front, a, b, spare = Endpoint("inet", place), *(Endpoint("unix", place) for _ in range(3))
    routes = {"r": {"listen": front, "target": (target(spare, backup=True), target(a), target(b)), "passive": {"failures": 1, "retry": "200ms"}}}
    with Daemon(routes, SETTINGS) as daemon, Members(spare=spare):
        assert count(front, 6) == {"spare": 6}
        assert [(one["state"], one["since"] is None) for one in targets(daemon)] == [("up", True), ("down", False), ("down", False)]
        with Members(b=b):
            until("it is found again", lambda: count(front, 1)["b"])
            assert (targets(daemon)[2]["state"], targets(daemon)[2]["since"] is None) == ("up", False)
            assert count(front, 6) == {"b": 6}
            os.kill(daemon.worker, signal.SIGKILL)
            assert count(front, 6) == {"b": 6}
        assert count(front, 6) == {"spare": 6}
        assert [one["state"] for one in targets(daemon)] == ["up", "down", "down"]


@pytest.mark.parametrize("balance", ("roundrobin", "leastconn", "source", "random", "first"))
@pytest.mark.parametrize("dead", (1, 2, 9))
def test_a_backup_is_the_last_attempt(place, balance, dead):
    """Targets that do not answer, but are not known to be down: a client is not sent to them again while there is a backup."""
    front, spare, ends = Endpoint("inet", place), Endpoint("unix", place), [Endpoint("unix", place) for _ in range(dead)]
    routes = {"r": {"listen": front, "balance": balance, "passive": {"failures": 0}, "retry": {"attempts": dead + 1},
                    "target": (target(spare, backup=True), *(target(end) for end in ends))}}
    with Daemon(routes, SETTINGS) as daemon, Members(spare=spare):
        assert count(front, 6) == {"spare": 6}
        os.kill(daemon.worker, signal.SIGKILL)
        assert count(front, 6) == {"spare": 6}
        until("none is left", lambda: not any(one["active"] for one in targets(daemon)))


def connect(front):
    """A client whose member holds the session, and that member's name."""
    client = front.connect()
    return client, client.recv(1).decode()


def test_the_least_connections(place):
    """What an heir adopts counts as what it has begun itself."""
    front, a, b, c = Endpoint("inet", place), *(Endpoint("unix", place) for _ in range(3))
    routes = {"r": {"listen": front, "balance": "leastconn", "target": (target(a), target(b), target(c, weight=2))}}
    with Members(a=a, b=b, c=c) as members, Daemon(routes, SETTINGS) as daemon, contextlib.ExitStack() as stack:
        assert set(count(front, 12)) == set("abc")
        until("they are gone", lambda: not any(one["active"] for one in targets(daemon)))
        members.holds = True
        clients = [connect(front) for _ in range(16)]
        for client, _ in clients:
            stack.enter_context(client)
        assert collections.Counter(name for _, name in clients) == {"a": 4, "b": 4, "c": 8}
        for client, name in clients:
            if name == "a":
                harness.reset(client)
        until("those of a are gone", lambda: [one["active"] for one in targets(daemon)] == [0, 4, 8])
        os.kill(daemon.worker, signal.SIGKILL)
        until("an heir has the others", lambda: [one["active"] for one in targets(daemon)] == [0, 4, 8])
        for _ in range(3):
            client, name = connect(front)
            stack.enter_context(client)
            assert name == "a"


def test_the_first(place):
    front, a, b = Endpoint("inet", place), *(Endpoint("unix", place) for _ in range(2))
    routes = {"r": {"listen": front, "balance": "first", "target": (target(a), target(b)), "passive": {"failures": 1, "retry": "100ms"}}}
    with Members(b=b), Daemon(routes, SETTINGS):
        with Members(a=a):
            assert count(front, 6) == {"a": 6}
        assert count(front, 6) == {"b": 6}
        with Members(a=a):
            until("it is found again", lambda: count(front, 1)["a"])
            assert count(front, 6) == {"a": 6}


PEERS = [f"127.0.1.{i}" for i in range(1, 41)]


def whom(front, peer):
    """The member that a client of this address gets, whatever its port."""
    with front.socket() as client:
        client.bind((peer, 0))
        client.connect(front.address)
        said, end = harness.read_all(client)
        assert end == "end"
        return said.decode()


def test_the_source(place):
    """A peer stays where it is, over a kill and a reload; who is gone moves his own peers alone, and has them again when he is back."""
    front, a, b, c = Endpoint("inet", place), *(Endpoint("unix", place) for _ in range(3))
    ends = {"a": a, "b": b, "c": c}

    def routes(**more):
        return {"r": {"listen": front, "balance": "source", "passive": {"failures": 1, "retry": "100ms"},
                      "target": tuple(target(end, name=name) for name, end in ends.items()), **more}}

    with Members(a=a, c=c), Daemon(routes(), SETTINGS) as daemon:
        with Members(b=b):
            before = {peer: whom(front, peer) for peer in PEERS}
            assert set(before.values()) == set(ends)
            os.kill(daemon.worker, signal.SIGKILL)
            assert before == {peer: whom(front, peer) for peer in PEERS}
            daemon.reload(routes(title="another"))
            assert before == {peer: whom(front, peer) for peer in PEERS}
        during = {peer: whom(front, peer) for peer in PEERS}
        assert all(now in "ac" if before[peer] == "b" else now == before[peer] for peer, now in during.items())
        with Members(b=b):
            until("it is found again", lambda: targets(daemon)[1]["state"] == "up" or not count(front, 1))
            assert before == {peer: whom(front, peer) for peer in PEERS}


def test_messages_of_a_sender_go_one_way(place):
    """Also where nothing is kept for senders, whom the source tells."""
    front, ends = Endpoint("inet", place), [Endpoint("unix", place) for _ in range(3)]
    routes = {"r": {"listen": {"family": "inet", "type": "dgram", "host": "127.0.0.1", "port": front.address[1]}, "replies": 0, "balance": "source",
                    "target": tuple({"family": "unix", "type": "dgram", "path": end.address} for end in ends)}}
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) for _ in ends]
        for sock, end in zip(socks, ends):
            sock.bind(end.address)
        daemon, got = stack.enter_context(Daemon(routes, SETTINGS)), collections.defaultdict(set)

        def hear():
            for sock in select.select(socks, [], [], 0)[0]:
                got[sock.recv(64).decode()].add(sock)
            return got

        for part in range(2):
            for peer in PEERS:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                    client.bind((peer, 0))
                    client.sendto(peer.encode(), front.address)
                until("it has arrived", lambda peer=peer: peer in hear())
            if not part:
                first = {peer: set(socks) for peer, socks in got.items()}
                got.clear()
                os.kill(daemon.worker, signal.SIGKILL)
        assert got == first and all(len(one) == 1 for one in got.values()) and len(set().union(*got.values())) == 3


def test_a_slow_start(place):
    """One that was down begins with next to nothing; a kill does not make it jump. The share that it has after a while, the unit test tells."""
    front, a, b = Endpoint("inet", place), *(Endpoint("unix", place) for _ in range(2))

    def routes(slow_start):
        return {"r": {"listen": front, "target": (target(a), target(b, slow_start=slow_start)), "passive": {"failures": 1, "retry": "100ms"}}}

    with Members(a=a), Daemon(routes("10h"), SETTINGS) as daemon:
        assert count(front, 4) == {"a": 4} and targets(daemon)[1]["state"] == "down"
        with Members(b=b):
            until("it is found again", lambda: count(front, 1)["b"])
            assert count(front, 20)["b"] <= 1
            os.kill(daemon.worker, signal.SIGKILL)
            assert count(front, 20)["b"] <= 1
            daemon.reload(routes("10ms"))
            assert alike(count(front, 20), 10, "ab")


def black_hole(end):
    """A listener whose queue is full, so that it does not answer, and what fills it."""
    listener, filling = end.listen(0), []
    while True:
        sock = end.socket()
        sock.setblocking(False)
        filling.append(sock)
        try:
            sock.connect(end.address)
        except BlockingIOError:
            if not select.select([], [sock], [], 0.2)[1]:
                return listener, filling


def test_only_one_waits_for_a_black_hole(place):
    """Once it is known as one: each time that its `retry` is over a single client finds out whether it answers; no other fails there."""
    front, hole, a, b = Endpoint("inet", place), Endpoint("inet", place), *(Endpoint("unix", place) for _ in range(2))
    retry = 0.5
    routes = {"r": {"listen": front, "target": (hole, a, b), "passive": {"failures": 1, "retry": "500ms"}, "timeout": {"connect": "1s"}}}
    listener, filling = black_hole(hole)
    with Members(a=a, b=b), Daemon(routes, SETTINGS) as daemon:
        until("it is down", lambda: count(front, 1) and targets(daemon)[0]["state"] == "down")
        began, done, stop = time.monotonic(), collections.Counter(), threading.Event()

        def clients():
            while not stop.is_set():
                done.update(count(front, 1))

        threads = [threading.Thread(target=clients) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            until("it was tried again, and again", lambda: targets(daemon)[0]["failures"] >= 4)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        passed = time.monotonic() - began
        failures = targets(daemon)[0]["failures"]
        route = daemon.ctl("routes")["routes"][0]
        assert failures <= 2 + passed / retry and route["connect_errors"] == failures
        assert sum(done.values()) > 10 * failures  # the others never waited
        for sock in (listener, *filling):
            sock.close()
        with Members(hole=hole):
            until("it is up", lambda: count(front, 1)["hole"])
            assert alike(count(front, 12), 4, ("hole", "a", "b"))
