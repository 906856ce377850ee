# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an operator does to routes and targets by hand: drain, disable, enable, hold, release, weight, wait. It holds over every change of the
worker and the keeper until it is undone, and status says so."""

import collections
import contextlib
import os
import select
import signal
import socket
import subprocess
import threading

import harness
import programs
from harness import Endpoint, ask, until
from kept import BY_HAND, Kept
from messages import End

SETTINGS = {"workers": 2, "log": {"to": "stderr", "level": "notice", "sessions": False}}


class Echoes:
    """Targets that say their name to whoever connects, and then what he says, until he ends. One thread serves all."""

    def __init__(self, **ends):
        self.names = {end.listen(): name.encode() for name, end in ends.items()}
        self.clients = set()
        self.wake, self.woken = socket.socketpair()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            for sock in select.select([*self.names, *self.clients, self.woken], [], [])[0]:
                if sock is self.woken:
                    return
                with contextlib.suppress(OSError):
                    self.serve(sock)

    def serve(self, sock):
        if sock in self.names:
            client, _ = sock.accept()
            client.sendall(self.names[sock])
            self.clients.add(client)
            return
        data = b""
        with contextlib.suppress(OSError):
            data = sock.recv(1 << 16)
        if data:
            sock.sendall(data)
        else:
            self.clients.discard(sock)
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.wake.close()
        self.thread.join()
        for sock in (*self.names, *self.clients, self.woken):
            sock.close()


def route(daemon, name="r"):
    return next(one for one in daemon.ctl("routes")["routes"] if one["name"] == name)


def by_hand(daemon):
    """What status lists; its verdict has the same in words."""
    status = daemon.status()
    for one in status["hand"]:
        assert one["name"] in status["verdict"] and (one["state"] or "weight") in status["verdict"], status
    assert bool(status["hand"]) == ("by hand" in status["verdict"]), status
    return {one["name"]: one["weight"] if one["state"] is None else one["state"] for one in status["hand"]}


def name_of(client, size=1):
    return client.recv(size, socket.MSG_WAITALL)


def alive(client):
    client.sendall(b"ping")
    return client.recv(4, socket.MSG_WAITALL) == b"ping"


def whom(front, clients=6):
    """Whom so many clients get, one after the other."""
    seen = collections.Counter()
    for _ in range(clients):
        with front.connect() as client:
            seen[name_of(client).decode()] += 1
            assert alive(client)
    return seen


def refused(daemon, *words):
    done = daemon.ctl_run(*words)
    assert done.returncode == 1, done
    return done.stdout + done.stderr


def kill_worker(daemon):
    worker = daemon.worker
    os.kill(worker, signal.SIGKILL)
    until("an heir runs", lambda: daemon.status()["worker"]["pid"] != worker and daemon.status()["worker"]["state"] == "running")


def refuse_reload(daemon):
    daemon.write(text="routes: {")
    assert daemon.ctl_run("reload").returncode == 1
    daemon.write()


def upgrade(daemon):
    assert daemon.ctl_run("upgrade").returncode == 0, daemon.log()


CHANGES = (kill_worker, lambda daemon: daemon.reload({**daemon.routes, "r": {**daemon.routes["r"], "title": "another"}}), refuse_reload, upgrade,
           Kept.restart)


def pool(front, *ends):
    return {"listen": front, "target": tuple({"family": "unix", "path": end.address, "name": name} for end, name in zip(ends, "abc")),
            "retry": {"total": "30s", "backoff": "10ms"}}


def test_targets(place):
    """Each verb both ways, over each change; who is drained keeps his sessions, who is disabled does not."""
    front, a, b, c = Endpoint("inet", place), *(Endpoint("unix", place) for _ in range(3))
    with Echoes(a=a, b=b, c=c), Kept({"r": pool(front, a, b, c)}, SETTINGS) as daemon, contextlib.ExitStack() as stack:
        clients = {}
        while len(clients) < 3:
            client = stack.enter_context(front.connect())
            clients[name_of(client)] = client
        assert by_hand(daemon) == {}
        assert daemon.ctl("drain", "r/a")["hand"] == "drained"
        answer = daemon.ctl("disable", "r/b")
        assert (answer["name"], answer["hand"], answer["changed"], answer["weight"]) == ("r/b", "disabled", True, 0)
        assert daemon.ctl("weight", "r/c", "7")["weight"] == 7
        said, end = harness.read_all(clients.pop(b"b"))
        assert not said and end in ("ECONNRESET", "end")
        for change in CHANGES:
            change(daemon)
            assert by_hand(daemon) == {"r/a": "drained", "r/b": "disabled", "r/c": 7}, change
            assert all(alive(client) for client in clients.values()), change
            assert whom(front, 2) == {"c": 2}, change
        assert [one["hand"] for one in route(daemon)["targets"]] == ["drained", "disabled", None]
        assert not daemon.ctl("drain", "r/a")["changed"] and not daemon.status()["degraded"]
        assert daemon.log().count("target r/a: drained by hand") == 1

        daemon.ctl("enable", "r/a")
        assert set(whom(front, 16)) == {"a", "c"}
        daemon.ctl("drain", "r/b")
        assert by_hand(daemon) == {"r/b": "drained", "r/c": 7}
        daemon.ctl("enable", "r/b")
        daemon.ctl("weight", "r/c", "configured")
        for change in (None, kill_worker, upgrade):
            if change:
                change(daemon)
            assert by_hand(daemon) == {} and set(whom(front, 9)) == set("abc")
        assert all(alive(client) for client in clients.values())


def test_weight(place):
    front, a, b = Endpoint("inet", place), *(Endpoint("unix", place) for _ in range(2))
    with Echoes(a=a, b=b), Kept({"r": pool(front, a, b)}, SETTINGS) as daemon:
        assert whom(front, 8) == {"a": 4, "b": 4}
        daemon.ctl("weight", "r/a", "3")
        assert whom(front, 8) == {"a": 6, "b": 2}
        daemon.ctl("weight", "r/a", "0")
        assert whom(front, 4) == {"b": 4}
        daemon.ctl("weight", "r/a", "configured")
        assert whom(front, 8) == {"a": 4, "b": 4}


def test_blue_and_green(place):
    """From one version to the other and back, without one failed session."""
    front, a, b = Endpoint("inet", place), *(Endpoint("unix", place) for _ in range(2))
    ends, stop = collections.Counter(), threading.Event()

    def clients():
        while not stop.is_set():
            with front.connect() as client:
                name = name_of(client)
                ends[(name, alive(client))] += 1

    def go_to(name):
        before = ends[(name, True)]
        until("the other has some", lambda: ends[(name, True)] > before + 20)

    with Echoes(a=a, b=b), Kept({"r": pool(front, a, b)}, SETTINGS) as daemon, front.connect() as long:
        first = name_of(long)
        daemon.ctl("drain", "r/b")
        threads = [threading.Thread(target=clients) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for new, old in (("b", "a"), ("a", "b")) * 2:
                daemon.ctl("enable", "r/" + new)
                daemon.ctl("drain", "r/" + old)
                go_to(new.encode())
                if first.decode() == old:
                    assert alive(long)
                kill_worker(daemon)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        # A client of the moment between two words may still get the old one; none gets nothing.
        assert {alive for _, alive in ends} == {True} and {name for name, _ in ends} == {b"a", b"b"}
        assert alive(long)
        assert not route(daemon)["refused"]


def test_routes(place):
    """A drained route resets who is new, a held one lets him wait; both let the others go on."""
    front, a, other = Endpoint("inet", place), Endpoint("unix", place), Endpoint("inet", place)
    with Echoes(a=a), Kept({"r": pool(front, a), "s": {"listen": other, "target": a}}, SETTINGS) as daemon, front.connect() as old:
        assert name_of(old) == b"a"
        daemon.ctl("drain", "r")
        for change in CHANGES:
            change(daemon)
            assert by_hand(daemon) == {"r": "drained"}, change
            assert alive(old) and ask(front) == (b"", "ECONNRESET"), change
            assert whom(other, 1) == {"a": 1}
        assert [one for one in daemon.status()["refused"] if one["reason"] == "drained"][0]["route"] == "r"
        daemon.ctl("enable", "r")
        assert whom(front, 2) == {"a": 2} and by_hand(daemon) == {}

        daemon.ctl("hold", "r")
        waiting = [front.connect() for _ in range(8)]
        for change in CHANGES:
            change(daemon)
            assert by_hand(daemon) == {"r": "held"}, change
            assert alive(old) and not select.select(waiting, [], [], 0.05)[0], change
        assert not daemon.status()["degraded"] and route(daemon)["sessions"]["active"] == 1
        until("it is told", lambda: any(one["state"] == "paused" and one["reason"] == "held by the operator"
                                        for one in daemon.ctl("listeners")["listeners"]))
        daemon.ctl("release", "r")
        for client in waiting:
            assert name_of(client) == b"a" and alive(client)
            client.close()
        assert by_hand(daemon) == {} and whom(front, 2) == {"a": 2}

        # Who waits at a route that is removed is let in.
        daemon.ctl("hold", "r")
        with front.connect() as last:
            daemon.reload({"s": daemon.routes["s"]})
            assert name_of(last) == b"a" and alive(last)


def test_disabled_while_it_connects(place):
    """Who is on his way to a target that is disabled then, gets another."""
    front, full, a = Endpoint("inet", place), Endpoint("unix", place), Endpoint("unix", place)
    routes = {"r": {**pool(front, full, a), "balance": "roundrobin", "timeout": {"connect": "60s"}}}
    with Echoes(b=a), full.listen(0) as listener, full.connect(), Kept(routes, {**SETTINGS, "workers": 1}) as daemon:
        daemon.ctl("drain", "r/b")
        with front.connect() as client:
            until("it connects", lambda: [one["target"] for one in daemon.sessions()] == ["a"])
            daemon.ctl("enable", "r/b")
            daemon.ctl("disable", "r/a")
            assert name_of(client) == b"b" and alive(client)
        listener.close()


def test_wait(place):
    """Asynchronous: others are answered meanwhile, and an heir answers."""
    front, a, b = Endpoint("inet", place), *(Endpoint("unix", place) for _ in range(2))
    routes = {"r": {**pool(front, a, b), "passive": {"failures": 1, "retry": "1s"}}}
    with Kept(routes, SETTINGS) as daemon:
        def begin(*words):
            return subprocess.Popen([programs.splicectl(), "-s", daemon.control, "wait", *words], stderr=subprocess.PIPE, text=True)

        assert daemon.ctl("wait", "r/a", "up")["state"] == "up"
        down = begin("r/a", "down", "--timeout", "5min")
        kill_worker(daemon)
        assert down.poll() is None
        with front.connect():
            assert down.wait(harness.PATIENCE) == 0
        up = [begin("r/a", "up", "--timeout", "5min") for _ in range(3)]
        assert "still down" in refused(daemon, "wait", "r/a", "up", "--timeout", "10ms")
        upgrade(daemon)
        with Echoes(a=a):
            with front.connect() as client:
                assert name_of(client) == b"a"
            for one in up:
                assert one.wait(harness.PATIENCE) == 0
        with socket.socket(socket.AF_UNIX) as gone:
            gone.connect(daemon.control)
            gone.sendall(b'{"verb": "wait", "name": "r/a", "state": "down", "timeout": "1h"}\n')
            until("it waits", lambda: daemon.status()["records"]["controls"] >= 2)
        until("it is forgotten", lambda: daemon.status()["records"]["controls"] <= 1)
        removed = begin("r/b", "up" if route(daemon)["targets"][1]["state"] == "down" else "down", "--timeout", "1h")
        until("it waits", lambda: daemon.status()["records"]["controls"] >= 2)
        daemon.reload({"r": pool(front, a)})
        assert removed.wait(harness.PATIENCE) == 1 and "removed" in removed.stderr.read()


def test_words(place):
    """What there is not, the nearest; what a verb does not take."""
    front, a = Endpoint("inet", place), Endpoint("unix", place)
    with Kept({"r": {"listen": front, "target": {"family": "unix", "path": a.address, "name": "blue"}}}, SETTINGS) as daemon:
        assert 'did you mean \\"blue\\"' in refused(daemon, "drain", "r/bluo")
        assert "no route" in refused(daemon, "hold", "else") and "r" in refused(daemon, "hold", "else")
        assert "its targets are blue" in refused(daemon, "enable", "r/something")
        assert "ROUTE/TARGET" in refused(daemon, "disable", "r")
        assert "not one of its targets" in refused(daemon, "hold", "r/blue") and "not one of its targets" in refused(daemon, "release", "r/blue")
        for weight in ("65536", "1.5", "many", ""):
            assert "0 to 65535" in refused(daemon, "weight", "r/blue", weight)
        assert "up or down" in refused(daemon, "wait", "r/blue", "sideways") and "--timeout" in refused(daemon, "wait", "r/blue", "up",
                                                                                                       "--timeout", "soon")
        for words in (["drain"], ["weight", "r/blue"], ["hold", "r", "s"], ["drain", "r", "--timeout", "3s"]):
            assert daemon.ctl_run(*words).returncode == 64, words
        assert by_hand(daemon) == {}


def test_datagrams(place):
    """With sessions: old peers go on where their target is drained; a drained route drops who is new, a held one leaves him in the queue."""
    front, a, b = (End("udp4", place) for _ in range(3))
    routes = {"r": {"listen": str(front), "target": ({"family": "inet", "type": "dgram", "host": "127.0.0.1", "port": end.port, "name": name}
                                                     for end, name in ((a, "a"), (b, "b")))}}
    routes["r"]["target"] = tuple(routes["r"]["target"])
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for name in "ab"}
        for name, end in (("a", a), ("b", b)):
            servers[name].bind(end.address)
            servers[name].settimeout(harness.PATIENCE)

        def peer():
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.connect(front.address)
            return sock

        def heard(sock, word):
            """Who gets it."""
            sock.send(word)
            ready = select.select(list(servers.values()), [], [], harness.PATIENCE)[0]
            assert [one.recv(100) for one in ready] == [word]
            return next(name for name, one in servers.items() if one in ready)

        daemon = stack.enter_context(Kept(routes, {**SETTINGS, "workers": 1}))
        old = peer()
        first = heard(old, b"1")
        second = "b" if first == "a" else "a"
        daemon.ctl("drain", "r/" + first)
        assert [heard(peer(), b"2") for _ in range(4)] == [second] * 4 and heard(old, b"3") == first
        daemon.ctl("disable", "r/" + first)
        until("its session is gone", lambda: all(one["target"] != first for one in daemon.sessions()))
        assert heard(old, b"4") == second
        daemon.ctl("enable", "r/" + first)
        daemon.ctl("drain", "r")
        new = peer()
        new.send(b"lost")
        until("it is counted", lambda: route(daemon)["dropped"].get("drained") == 1)
        assert heard(old, b"5") == second
        daemon.ctl("enable", "r")
        daemon.ctl("hold", "r")
        new.send(b"waits")
        kill_worker(daemon)
        assert not select.select(list(servers.values()), [], [], 0.2)[0]
        daemon.ctl("release", "r")
        ready = select.select(list(servers.values()), [], [], harness.PATIENCE)[0]
        assert [one.recv(100) for one in ready] == [b"waits"]


def test_one_way(place):
    """Messages of a one-way route pass over who is drained, and go on when he is back."""
    front, a, b = (End("udp4", place) for _ in range(3))
    routes = {"r": {"listen": str(front), "replies": 0, "target": tuple(
        {"family": "inet", "type": "dgram", "host": "127.0.0.1", "port": end.port, "name": name} for end, name in ((a, "a"), (b, "b")))}}
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)]
        for server, end in zip(servers, (a, b)):
            server.bind(end.address)
        client = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        client.connect(front.address)
        daemon = stack.enter_context(Kept(routes, {**SETTINGS, "workers": 1}))

        def spread(count):
            seen = []
            for number in range(count):
                client.send(b"%d" % number)
                ready = select.select(servers, [], [], harness.PATIENCE)[0]
                assert [one.recv(100) for one in ready] == [b"%d" % number]
                seen.append(servers.index(ready[0]))
            return collections.Counter(seen)

        assert spread(8) == {0: 4, 1: 4}
        for verb in ("drain", "disable"):
            daemon.ctl(verb, "r/a")
            assert spread(8) == {1: 8}
            kill_worker(daemon)
            assert spread(8) == {1: 8}
            daemon.ctl("enable", "r/a")
            assert 2 <= spread(8)[0] <= 6  # what an heir adopts may take a turn
        daemon.ctl("drain", "r")
        client.send(b"lost")
        until("it is counted", lambda: route(daemon)["dropped"].get("drained") == 1)
        daemon.ctl("enable", "r")
        assert sum(spread(4).values()) == 4


def damage(store, offset, data):
    os.pwrite(store.others[BY_HAND], data, offset)


def test_keeper_killed(place):
    """It takes the ledger with it. What was set by hand is with the service manager, is valid again, and stays undone where it was undone."""
    front, other, a, b, c = Endpoint("inet", place), Endpoint("inet", place), *(Endpoint("unix", place) for _ in range(3))
    name = {"family": "inet", "host": "localhost", "port": 9, "name": "many", "expand": True}
    routes = {"r": pool(front, a, b, c), "s": {"listen": other, "target": a}, "n": {"listen": Endpoint("inet", place), "target": name}}
    with Echoes(a=a, b=b, c=c), Kept(routes, SETTINGS) as daemon:
        # A place of a name may have another address then.
        daemon.ctl("drain", "n/many#1")
        daemon.restart()
        assert by_hand(daemon) == {"n/many#1": "drained"}
        daemon.killed()
        assert by_hand(daemon) == {}
        for words in (("drain", "r/a"), ("disable", "r/b"), ("weight", "r/c", "7"), ("hold", "s")):
            daemon.ctl(*words)
        expected = {"r/a": "drained", "r/b": "disabled", "r/c": 7, "s": "held"}
        for change in (Kept.killed, Kept.killed, kill_worker, Kept.killed, upgrade, Kept.killed, Kept.restart, Kept.killed):
            change(daemon)
            assert by_hand(daemon) == expected, change
            assert whom(front, 2) == {"c": 2}, change
            assert len(daemon.store.others) <= 1
        with other.connect() as held:
            assert not select.select([held], [], [], 0.2)[0]
            daemon.ctl("release", "s")
            assert name_of(held) == b"a"
        daemon.ctl("enable", "r/b")
        expected = {"r/a": "drained", "r/c": 7}
        for change in (Kept.killed, Kept.restart, Kept.killed):
            change(daemon)
            assert by_hand(daemon) == expected and set(whom(front, 16)) == {"b", "c"}, change

        daemon.write({**routes, "r": pool(front, a, b)})
        daemon.killed()
        assert by_hand(daemon) == {"r/a": "drained"}
        assert "does not have any more are forgotten: r/c\n" in daemon.log()
        daemon.reload(routes)
        assert by_hand(daemon) == {"r/a": "drained"}
        for verb in ("weight", "r/b", "3"), ("enable", "r/a"), ("weight", "r/b", "configured"):
            daemon.ctl(*verb)
        daemon.killed()
        assert by_hand(daemon) == {} and set(whom(front, 9)) == set("abc")


def test_damaged(place):
    """Of a record that is not whole, or of another release, nothing is believed, and the log says so; and the next settings are kept again."""
    front, a = Endpoint("inet", place), Endpoint("unix", place)
    half = 1 << 20
    with Echoes(a=a), Kept({"r": pool(front, a)}, SETTINGS) as daemon:
        for what, said in ((lambda store: [damage(store, at, os.urandom(4096)) for at in (0, half)], "is damaged"),
                           (lambda store: [damage(store, at + 32, b"\xff") for at in (0, half)], "is damaged"),
                           (lambda store: [damage(store, at + 8, b"\2") for at in (0, half)], "is of another release"),
                           (lambda store: store.keep(BY_HAND, os.memfd_create("other")), "is damaged"),
                           (lambda store: store.keep(BY_HAND, os.open("/dev/null", os.O_RDWR)), "is damaged")):
            count = daemon.log().count(said)
            daemon.ctl("drain", "r/a")
            daemon.killed()
            assert by_hand(daemon) == {"r/a": "drained"} and daemon.log().count(said) == count
            daemon.store.read()
            what(daemon.store)
            daemon.killed()
            assert by_hand(daemon) == {} and whom(front, 2) == {"a": 2}
            assert daemon.log().count("set by hand before this start is forgotten: its record " + said) == count + 1
