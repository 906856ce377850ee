# SPDX-License-Identifier: LGPL-2.1-or-later
"""max_sessions of a target, exact over threads and workers that follow each other, and the queue of those that wait for a place there."""

import contextlib
import os
import random
import select
import signal
import socket
import threading
import time

import pytest

import harness
from harness import Daemon, Endpoint, until
from messages import Echo, End

SETTINGS = {"workers": 3, "log": {"to": "stderr", "level": "info"}}


class Server:
    """Accepts whoever comes; each client says its number, a byte. `came` has them in order."""

    def __init__(self, end):
        self.listener = end.listen()
        self.open, self.came = {}, []
        self.most = 0

    def look(self):
        """Takes in what is there now: who has gone, whoever has come."""
        while select.select([self.listener], [], [], 0)[0]:
            connection, _ = self.listener.accept()
            connection.settimeout(harness.PATIENCE)
            self.open[connection.recv(1)[0]] = connection
        return self.open

    def hear(self, count):
        """Waits for so many more; returns their numbers."""
        before = set(self.open)
        until(f"{count} more come", lambda: len(self.look()) >= len(before) + count)
        new = [number for number in self.open if number not in before]
        assert len(new) == count
        self.came += new
        return new

    def end(self, clients, number):
        """The session of that client, from both sides."""
        clients.open.pop(number).close()
        self.open.pop(number).close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for sock in (self.listener, *self.open.values()):
            sock.close()


class Clients:
    def __init__(self, front):
        self.front, self.open = front, {}

    def add(self, number):
        client = self.open[number] = self.front.connect()
        client.sendall(bytes((number,)))
        return client

    def end_of(self, number):
        """How it ends."""
        return harness.read_all(self.open.pop(number))[1]

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for client in self.open.values():
            client.close()


def target(end, name, **options):
    return {"family": "unix", "path": end.address, "name": name, **options}


def route(daemon, name="r"):
    return next(one for one in daemon.ctl("routes")["routes"] if one["name"] == name)


def queued(daemon, name="r"):
    return route(daemon, name)["sessions"]["queued"]


def refused(daemon, name="r"):
    return sum(one["count"] for one in daemon.status()["refused"] if one["route"] == name and one["reason"] == "full")


def wait_in_line(daemon, clients, numbers):
    """One after the other, so that their order is known."""
    before = queued(daemon)
    for count, number in enumerate(numbers, 1):
        clients.add(number)
        until(f"{number} waits", lambda count=count: queued(daemon) == before + count)


def is_reset(front):
    """At once, be it before connect(2) returns."""
    with pytest.raises(ConnectionResetError), front.connect() as client:
        client.recv(1)


def kill(daemon):
    worker = daemon.worker
    os.kill(worker, signal.SIGKILL)
    daemon.worker_after(worker)
    until("the heir runs", daemon.runs)


def test_first_come_first_served(place):
    """Over threads, a kill, a reload and an upgrade, one for each place that becomes free; who finds the queue full is reset and counted. A
    backup is for those whom nobody answers."""
    front, back, spare = Endpoint("inet", place), Endpoint("unix", place), Endpoint("unix", place)

    def routes(places, **more):
        return {"r": {"listen": front, "target": (target(back, "b", max_sessions=places, queue=10), target(spare, "spare", backup=True)),
                      "timeout": {"connect": "10min"}, **more}}

    with Server(spare) as nobody, Server(back) as server, Clients(front) as clients, Daemon(routes(2), SETTINGS) as daemon:
        for number in (100, 101):
            clients.add(number)
        server.hear(2)
        wait_in_line(daemon, clients, range(10))
        waiting = [one for one in daemon.sessions() if one["waits_for"] == "a place at a target"]
        assert len({one["thread"] for one in waiting}) > 1 and len(waiting) == 10
        is_reset(front)
        assert refused(daemon) == 1 and "all targets are full" in daemon.log()
        assert "r: all targets are full" in daemon.status()["verdict"]
        assert [(one["active"], one["max_sessions"]) for one in route(daemon)["targets"]] == [(2, 2), (0, 0)]

        changes = [lambda: kill(daemon), lambda: daemon.reload(routes(2, title="another")), lambda: daemon.ctl("upgrade"), lambda: kill(daemon)]
        for number in range(6):
            if number < len(changes):
                changes[number]()
                assert queued(daemon) == 10 - number
            server.end(clients, server.came[number])
            assert server.hear(1) == [number]
        # One that leaves is passed over.
        harness.reset(clients.open.pop(6))
        until("it has left", lambda: queued(daemon) == 3)
        server.end(clients, server.came[6])
        assert server.hear(1) == [7]
        # The line goes on for those that come later, and more places are places, too.
        wait_in_line(daemon, clients, (10, 11))
        daemon.reload(routes(5))
        assert sorted(server.hear(3)) == [8, 9, 10]
        server.end(clients, 8)
        assert server.hear(1) == [11]
        assert not queued(daemon) and len(server.look()) == 5 and route(daemon)["targets"][0]["active"] == 5
        daemon.reload(routes(1))
        wait_in_line(daemon, clients, (12,))
        for number in list(server.look())[1:]:
            server.end(clients, number)
        until("those have ended", lambda: route(daemon)["targets"][0]["active"] == 1)
        assert queued(daemon) == 1
        server.end(clients, next(iter(server.look())))
        assert server.hear(1) == [12]
        # Those that come after a crash stand behind those from before it.
        wait_in_line(daemon, clients, (13, 14))
        kill(daemon)
        wait_in_line(daemon, clients, (15, 16))
        for number in (12, 13):
            server.end(clients, number)
            assert server.hear(1) == [number + 1]
        # Without a limit nobody waits.
        daemon.reload({"r": {"listen": front, "target": target(back, "b"), "timeout": {"connect": "10min"}}})
        assert sorted(server.hear(2)) == [15, 16]
        assert not nobody.look()


def test_nobody_comes_between(place):
    """A place becomes free, and in the same turn somebody comes: it is for who has waited."""
    front, back = Endpoint("inet", place), Endpoint("unix", place)
    routes = {"r": {"listen": front, "target": target(back, "b", max_sessions=1, queue=5), "timeout": {"connect": "10min"}}}
    with Server(back) as server, Clients(front) as clients, Daemon(routes, {**SETTINGS, "workers": 1}) as daemon:
        clients.add(0)
        assert server.hear(1) == [0]
        wait_in_line(daemon, clients, (1,))
        with daemon.worker_held():
            harness.reset(clients.open.pop(0))
            clients.add(2)
        until("one has gone, and one has come", lambda: len(server.look()) == 2 and queued(daemon) == 1)
        assert list(server.open) == [0, 1]


def test_no_place_in_time(place):
    """Who waits is reset after timeout.connect, and the place is another's; with no queue nobody waits."""
    front, none, back = Endpoint("inet", place), Endpoint("inet", place), Endpoint("unix", place)
    one = {"timeout": {"connect": "300ms"}, "retry": {"total": "10min"}}
    routes = {"r": {"listen": front, "target": target(back, "b", max_sessions=1, queue=2), **one},
              "none": {"listen": none, "target": target(back, "b", max_sessions=1), **one}}
    with Server(back) as server, Clients(front) as clients, Clients(none) as others, Daemon(routes, SETTINGS) as daemon:
        clients.add(0)
        others.add(50)
        server.hear(2)
        clients.add(1)
        before = time.monotonic()
        assert clients.end_of(1) == "ECONNRESET" and time.monotonic() - before > 0.1
        is_reset(none)
        assert (refused(daemon), refused(daemon, "none")) == (1, 1)
        # A worker that dies does not begin the time anew.
        clients.add(2)
        kill(daemon)
        assert clients.end_of(2) == "ECONNRESET" and refused(daemon) == 2
        server.end(clients, 0)
        until("there is a place", lambda: route(daemon)["targets"][0]["active"] == 0)
        clients.add(3)
        assert server.hear(1) == [3]


@pytest.mark.parametrize("change", (None, kill), ids=("", "kill"))
def test_every_algorithm_passes_over_the_full(place, change):
    """Whatever the balance, each member has its own number of sessions, and the last one the rest."""
    algorithms = ("roundrobin", "leastconn", "source", "random", "first")
    ends = {(how, name): Endpoint("unix", place) for how in algorithms for name in "abc"}
    fronts = {how: Endpoint("inet", place) for how in algorithms}
    places = {"a": 1, "b": 3, "c": 0}
    routes = {how: {"listen": fronts[how], "balance": how,
                    "target": tuple(target(ends[how, name], name, max_sessions=most, weight=3) for name, most in places.items())}
              for how in algorithms}
    with contextlib.ExitStack() as stack:
        servers = {key: stack.enter_context(Server(end)) for key, end in ends.items()}
        clients = {how: stack.enter_context(Clients(front)) for how, front in fronts.items()}
        daemon = stack.enter_context(Daemon(routes, SETTINGS))
        for how in algorithms:
            for number in range(20):
                clients[how].add(number)
                if change and number == 8:
                    until("all are there", lambda how=how: sum(len(servers[how, name].look()) for name in "abc") == 9)
                    change(daemon)
            until("all are there", lambda how=how: sum(len(servers[how, name].look()) for name in "abc") == 20)
            seen = [len(servers[how, name].open) for name in "abc"]
            # One client has one address: it keeps to its own member as long as that has places.
            assert seen[0] <= 1 and seen[1] <= 3 and sum(seen) == 20, (how, seen)
            if how != "source":
                assert seen == [1, 3, 16], how
            assert [one["active"] for one in route(daemon, how)["targets"]] == seen


def test_a_target_that_comes_back_is_a_place(place):
    """By hand, or because it answers again: who waits for another is served at once."""
    front, a, b = Endpoint("inet", place), Endpoint("unix", place), Endpoint("unix", place)
    routes = {"r": {"listen": front, "target": (target(a, "a", max_sessions=1, queue=9), target(b, "b", max_sessions=1)), "timeout": {"connect": "10min"},
                    "health": {"interval": "300ms", "fall": 1, "rise": 1}}}
    with Server(a) as server, Clients(front) as clients, Daemon(routes, SETTINGS) as daemon:
        until("b is down", lambda: route(daemon)["targets"][1]["state"] == "down")
        clients.add(0)
        until("it has come", lambda: _drop_checks(server) == [0])
        wait_in_line(daemon, clients, (1, 2))
        with Server(b) as other:
            until("b has one", lambda: _drop_checks(other) == [1])
            assert queued(daemon) == 1
            daemon.ctl("drain", "r/b")
            other.end(clients, 1)
            until("it has left", lambda: route(daemon)["targets"][1]["active"] == 0)
            assert queued(daemon) == 1 and _drop_checks(other) == []
            daemon.ctl("enable", "r/b")
            until("b has the next", lambda: _drop_checks(other) == [2])


def _drop_checks(server):
    """A health check connects, and says nothing."""
    while select.select([server.listener], [], [], 0)[0]:
        connection, _ = server.listener.accept()
        connection.settimeout(harness.PATIENCE)
        said = connection.recv(1)
        if said:
            server.open[said[0]] = connection
        else:
            connection.close()
    return list(server.open)


def test_messages_wait_too(place):
    """The second peer of a datagram listener gets its session when the first one's is over, and no message of it is lost."""
    front, back = End("udp4"), End("udp4")
    routes = {"r": {"listen": str(front), "target": f"{back}?max_sessions=1&queue=1&name=b", "timeout": {"idle": "500ms", "connect": "1min"}}}
    with Echo(back), Daemon(routes, SETTINGS) as daemon:
        first, second, third = front.client(), front.client(), front.client()
        first.say(b"first")
        assert first.hear() == b"first"
        second.say(b"second")
        until("it waits", lambda: queued(daemon) == 1)
        third.say(b"third")
        until("the third is refused", lambda: refused(daemon) == 1)
        kill(daemon)
        assert second.hear() == b"second"
        for wire in (first, second, third):
            wire.close()


class Crowd:
    """A target that counts how many are connected at a time: those that are gone are not counted."""

    def __init__(self, end):
        self.listener, self.connections, self.most, self.count = end.listen(512), [], 0, 0
        self.stop = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def serve(self, connection):
        """False: it is over."""
        try:
            said = connection.recv(100, socket.MSG_DONTWAIT)
            if said:
                connection.send(said)
            return bool(said)
        except BlockingIOError:
            return True
        except OSError:
            return False

    def run(self):
        while not self.stop:
            readable = select.select([self.listener, *self.connections], [], [], 0.1)[0]
            if self.listener in readable:
                self.connections.append(self.listener.accept()[0])
                self.count += 1
            # Whoever went before that one came is seen now.
            left = [one for one in self.connections if not self.serve(one)]
            self.connections = [one for one in self.connections if one not in left]
            for one in left:
                one.close()
            self.most = max(self.most, len(self.connections))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop = True
        self.thread.join()
        for sock in (self.listener, *self.connections):
            sock.close()


def serve_crowd(daemon, front, crowds, between):
    """Many clients at a time; all are served, while `between` happens a few times. Returns who was connected at most, by target."""
    clients, rounds, ended = 24, 12, []

    def run(seed):
        chance = random.Random(seed)
        for number in range(rounds):
            with front.connect() as client:
                client.settimeout(harness.PATIENCE * 2)
                client.sendall(b"%d" % number)
                assert client.recv(100) == b"%d" % number
                if chance.random() < 0.3:
                    harness.reset(client)
        ended.append(seed)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(clients)]
    for thread in threads:
        thread.start()
    for what in between:
        until("some have been served", lambda before=crowds[0].count: crowds[0].count > before + 5 or len(ended) == clients)
        what(daemon)
    for thread in threads:
        thread.join()
    assert sorted(ended) == list(range(clients))
    until("nobody is left", lambda: not daemon.sessions())
    assert not any(one["active"] for one in route(daemon)["targets"]) and route(daemon)["sessions"]["active"] == 0
    return [crowd.most for crowd in crowds]


def test_never_more_than_max_sessions(place):
    """Of many clients at a time, by four threads, while workers are killed: all are served, and no target ever has more than its number."""
    front, ends = Endpoint("inet", place), [Endpoint("unix", place) for _ in range(2)]
    routes = {"r": {"listen": front, "balance": "leastconn", "target": tuple(target(end, name, max_sessions=3, queue=500) for end, name in zip(ends, "ab")),
                    "timeout": {"connect": "10min"}, "retry": {"total": "10min"}}}
    with Crowd(ends[0]) as a, Crowd(ends[1]) as b, Daemon(routes, {**SETTINGS, "workers": 4}) as daemon:
        assert serve_crowd(daemon, front, (a, b), [kill] * 4) == [3, 3]
        assert not queued(daemon) and not refused(daemon)


def test_never_more_than_limit_sessions(place):
    """The same of a route's: the rest wait in the kernel's queue, and status says so. A reload changes it for those that come."""
    front, end = Endpoint("inet", place), Endpoint("unix", place)

    def routes(sessions, **more):
        return {"r": {"listen": front, "target": target(end, "a"), "limit": {"sessions": sessions}, **more}}

    with Crowd(end) as crowd, Daemon(routes(3), {**SETTINGS, "workers": 4}) as daemon:
        assert serve_crowd(daemon, front, (crowd,), [kill, lambda one: one.reload(routes(3, title="another")), kill]) == [3]
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                stack.enter_context(front.connect()).sendall(b"x")
            until("three are there", lambda: len(crowd.connections) == 3)
            until("status says so", lambda: "r: limit.sessions reached (3 of" in daemon.status()["verdict"])
            kill(daemon)
            until("status says so again", lambda: "r: limit.sessions reached (3 of" in daemon.status()["verdict"])
            assert len(crowd.connections) == 3
            daemon.reload(routes(4))
            until("four are there", lambda: len(crowd.connections) == 4)
            daemon.reload(routes(1))
            stack.enter_context(front.connect()).sendall(b"y")
            until("status says so", lambda: "r: limit.sessions reached (4 of" in daemon.status()["verdict"])
        until("the last was served", lambda: crowd.count >= 5 and not daemon.sessions())
