# SPDX-License-Identifier: LGPL-2.1-or-later
"""`expand`: each address of a name is a member of the pool, with health, weight and counters of its own. The zones of a real name server
change under load; what is known of a member survives crashes and reloads."""

import collections
import contextlib
import os
import select
import signal
import socket
import threading

import pytest

import harness
from harness import Daemon, Endpoint, free_port, until
from zones import Zones


def address_of(number):
    return f"127.9.{number // 200}.{number % 200 + 1}"


class Members:
    """Servers at these addresses, all at one port; each tells its client where it has arrived, and then echoes."""

    def __init__(self, *numbers):
        self.port, self.sockets = free_port(), {}
        for number in numbers:
            self.add(number)

    def add(self, number):
        self.sockets[number] = socket.create_server((address_of(number), self.port), backlog=128)
        threading.Thread(target=self._run, args=(number, self.sockets[number]), daemon=True).start()

    def _run(self, number, listener):
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(number, client), daemon=True).start()

    @staticmethod
    def _serve(number, client):
        with client, contextlib.suppress(OSError):
            client.sendall(b"%d\n" % number)
            while data := client.recv(100):
                client.sendall(data)

    def remove(self, number):
        listener = self.sockets.pop(number)
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for number in list(self.sockets):
            self.remove(number)


def zone(*numbers, name="app"):
    return "".join(f"{name} 1 A {address_of(number)}\n" for number in numbers)


def opened(front):
    """A session, and the number of the member that has it."""
    client = front.connect()
    line = b""
    while not line.endswith(b"\n"):
        more = client.recv(100)
        if not more:
            raise ConnectionResetError
        line += more
    return client, int(line)


def reached(front):
    client, number = opened(front)
    client.close()
    return number


def count(front, times):
    return collections.Counter(reached(front) for _ in range(times))


def members(daemon):
    """{address's number: what is told of it} of the first route."""
    told = {}
    for target in daemon.ctl("routes")["routes"][0]["targets"]:
        address = target["address"].split("://")[-1].rsplit(":", 1)[0]
        parts = address.split(".")
        told[(int(parts[2]) * 200 + int(parts[3]) - 1) if address.startswith("127.9.") else None] = target
    return told


def is_pool(daemon, *numbers):
    until(f"the pool is {numbers}", lambda: {number for number, one in members(daemon).items() if one["state"] != "left"} == set(numbers),
          harness.PATIENCE * 3)


def route(front, port, **more):
    return {"listen": front, "resolve": "1s", **more,
            "target": {"family": "inet", "host": "app.pool.test", "port": port, "name": "app", "expand": True, **more.get("target", {})}}


def refuse_reload(daemon):
    daemon.write(text="routes: {")
    assert daemon.ctl_run("reload").returncode == 1
    daemon.write()


def crash(daemon):
    worker = daemon.worker
    os.kill(worker, signal.SIGKILL)
    daemon.worker_after(worker)
    until("it runs", daemon.runs)


@pytest.fixture
def front(place):
    return Endpoint("inet", place)


def test_each_address_is_a_member(place, front):
    """In turn, exactly; one that is down is down alone; weights by hand; over a crash, a reload, one that is refused, and an upgrade."""
    other = {"listen": Endpoint("inet", place), "target": Endpoint("unix", place)}
    with Members(1, 2, 3) as servers, Zones(place, {"pool.test": zone(1, 2, 3)}) as zones:
        routes = {"r": route(front, servers.port, passive={"failures": 1, "retry": "1h"})}
        with Daemon(routes, wrap=zones.wrap) as daemon:
            is_pool(daemon, 1, 2, 3)
            assert count(front, 30) == {1: 10, 2: 10, 3: 10}
            assert {one["name"] for one in members(daemon).values()} == {"app#1", "app#2", "app#3"}
            servers.remove(2)
            until("it is down", lambda: reached(front) and members(daemon)[2]["state"] == "down")
            assert count(front, 20) == {1: 10, 3: 10}
            daemon.ctl("weight", "r/" + members(daemon)[3]["name"], "3")
            for act in (lambda: None, lambda: crash(daemon), lambda: daemon.reload({**routes, "s": other}), lambda: refuse_reload(daemon),
                        lambda: daemon.ctl("upgrade")):
                act()
                assert count(front, 40) == {1: 10, 3: 30}
                assert members(daemon)[2]["state"] == "down" and members(daemon)[2]["downs"] == 1
            assert daemon.ctl("wait", "r/" + members(daemon)[1]["name"], "up")["ok"]
            told = daemon.status()["verdict"].split("; by hand")[0]
            assert told.count("app#") == 1 and members(daemon)[2]["name"] in told


def test_members_come_and_go_under_load(place, front):
    """No client fails. One that is gone from the zone gets no new session, and keeps those that it has; its place is given to no other
    meanwhile, and is its own when it comes back."""
    stop, failed, seen = threading.Event(), [], collections.Counter()

    def load():
        while not stop.is_set():
            try:
                seen[reached(front)] += 1
            except OSError as error:
                failed.append(error)

    with Members(*range(1, 7)) as servers, Zones(place, {"pool.test": zone(1, 2)}) as zones, \
            Daemon({"r": route(front, servers.port)}, wrap=zones.wrap) as daemon:
        is_pool(daemon, 1, 2)
        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            held, number = opened(front)
            name = members(daemon)[number]["name"]
            rest = {1, 2} - {number}
            for numbers in ({3, 4}, {4, 5, 6}, {3, 5}, {6}):
                zones.change("pool.test", zone(*rest, *numbers))
                is_pool(daemon, *rest, *numbers)
                assert members(daemon)[number]["state"] == "left" and members(daemon)[number]["name"] == name
                seen.clear()
                until("there is load", lambda numbers=numbers: set(seen) >= numbers | rest)
            crash(daemon)
            held.sendall(b"still here")
            assert held.recv(100) == b"still here"
            assert number not in count(front, 20)
            zones.change("pool.test", zone(1, 2))
            is_pool(daemon, 1, 2)
            assert members(daemon)[number]["name"] == name
            held.close()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not failed, failed[:3]
        zones.change("pool.test", zone(*rest))
        is_pool(daemon, *rest)
        until("nothing is left", lambda: set(members(daemon)) == rest)


def test_what_is_known_stays_while_there_is_no_good_answer(place, front):
    with Members(1, 2) as servers, Zones(place, {"pool.test": zone(1, 2)}) as zones, \
            Daemon({"r": route(front, servers.port)}, wrap=zones.wrap) as daemon:
        is_pool(daemon, 1, 2)
        for text in ("other 1 A 127.0.0.1\n", None):
            zones.change("pool.test", text)
            lines = daemon.log().count("the last addresses are kept")
            until("it is noticed", lambda lines=lines: daemon.log().count("the last addresses are kept") > lines, harness.PATIENCE * 3)
            crash(daemon)
            assert count(front, 10) == {1: 5, 2: 5}
            zones.change("pool.test", zone(1, 2))
            until("it resolves", lambda text=text: daemon.log().count("resolves again") > (text is None), harness.PATIENCE * 3)


def test_more_addresses_than_places(place, front):
    """The first 64 are members, and remain, in whatever order the next answer has them; the log says so once."""
    numbers = range(500)
    with Members(*numbers[:1]) as servers, Zones(place, {"pool.test": zone(*numbers)}) as zones:
        servers.remove(0)
        with socket.create_server(("0.0.0.0", servers.port), backlog=256) as listener, \
                Daemon({"r": route(front, servers.port)}, wrap=zones.wrap) as daemon:
            until("they are known", lambda: len(members(daemon)) == 64, harness.PATIENCE * 3)
            before = set(members(daemon))
            crash(daemon)
            zones.change("pool.test", zone(*reversed(numbers)))
            assert "app.pool.test has 500 addresses, and 436 of them have no place" in daemon.log()
            listener.settimeout(harness.PATIENCE)
            seen = set()
            for _ in range(128):
                with front.connect():
                    server, _ = listener.accept()
                    parts = server.getsockname()[0].split(".")
                    seen.add(int(parts[2]) * 200 + int(parts[3]) - 1)
                    server.close()
            assert seen == before == set(members(daemon))


def test_each_member_is_checked(place, front):
    with Members(1, 2) as servers, Zones(place, {"pool.test": zone(1, 2, 3)}) as zones:
        health = {"interval": "100ms", "rise": 1, "fall": 1}
        with Daemon({"r": route(front, servers.port, health=health)}, wrap=zones.wrap) as daemon:
            is_pool(daemon, 1, 2, 3)
            until("one is down", lambda: members(daemon)[3]["state"] == "down")
            until("the others are up", lambda: {members(daemon)[number]["check"]["state"] for number in (1, 2)} == {"up"})
            assert count(front, 10) == {1: 5, 2: 5}
            servers.add(3)
            until("it is up", lambda: members(daemon)[3]["state"] == "up")
            assert count(front, 30) == {1: 10, 2: 10, 3: 10}


def test_another_name_under_the_same(place, front):
    """A reload names another host, which never resolves: the addresses of the first are not its own."""
    with Members(1) as servers, Zones(place, {"pool.test": zone(1)}) as zones:
        with Daemon({"r": route(front, servers.port)}, wrap=zones.wrap) as daemon:
            is_pool(daemon, 1)
            assert reached(front) == 1
            for expand in (True, False):
                daemon.reload({"r": route(front, servers.port, retry={"attempts": 1, "total": "1s"}, target={"host": "nobody.pool.test", "expand": expand})})
                with pytest.raises(ConnectionResetError):
                    reached(front)
                only, = daemon.ctl("routes")["routes"][0]["targets"]
                assert only["state"] == "down" and only["why"] == "its name does not resolve"
                assert "its name does not resolve" in daemon.status()["verdict"]


def sent_to(sender, listen, receivers):
    """The member that gets one message; the next is sent when this one has arrived."""
    sender.sendto(b"hello", listen)
    readable, _, _ = select.select(receivers.values(), [], [], harness.PATIENCE)
    number, = [number for number, receiver in receivers.items() if receiver in readable]
    assert receivers[number].recv(10) == b"hello"
    return number


def test_messages_one_way(place):
    """Each message goes to the next member, also of those that come later."""
    listen, port = ("127.0.0.1", free_port()), free_port()
    with Zones(place, {"pool.test": zone(1, 2)}) as zones, contextlib.ExitStack() as stack:
        receivers = {}
        for number in (1, 2, 3):
            receivers[number] = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            receivers[number].bind((address_of(number), port))
        one_way = route(f"udp4://{listen[0]}:{listen[1]}", port, replies=0, target={"type": "dgram"})
        daemon = stack.enter_context(Daemon({"r": one_way}, {"workers": 1}, wrap=zones.wrap))
        sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        for numbers in ((1, 2), (1, 2, 3)):
            zones.change("pool.test", zone(*numbers))
            is_pool(daemon, *numbers)
            assert {sent_to(sender, listen, receivers) for _ in numbers} == set(numbers)
