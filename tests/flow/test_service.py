# SPDX-License-Identifier: LGPL-2.1-or-later
"""Names of services: the SRV records of a real name server have the ports, priorities and weights of a pool's members. They change under
load; what is known of them survives crashes and reloads."""

import collections
import contextlib
import socket
import threading

import pytest

import harness
from harness import Daemon, Endpoint, free_port, until
from test_expand import Members, address_of, count, crash, members, opened, reached, refuse_reload, sent_to
from zones import Zones


def zone(*records, alias=False):
    """A record: (member's number, port, priority, weight)."""
    name = "_real._tcp" if alias else "_app._tcp"
    return ("_app._tcp 1 CNAME _real._tcp\n" if alias else "") + \
        "".join(f"{name} 1 SRV {priority} {weight} {port} h{number}\n" for number, port, priority, weight in records) + \
        "".join(f"h{number} 1 A {address_of(number)}\n" for number in sorted({record[0] for record in records}))


def route(front, **more):
    return {"listen": front, "resolve": "1s", **more,
            "target": {"family": "inet", "host": "_app._tcp.pool.test", "name": "app", **more.get("target", {})}}


def is_pool(daemon, *numbers):
    until(f"the pool is {numbers}", lambda: {number for number, one in members(daemon).items() if one["state"] != "left"} == set(numbers),
          harness.PATIENCE * 3)


def turns(daemon, front, times, expected):
    """In whole turns, exactly."""
    got = count(front, times)
    assert got == expected, (got, members(daemon))


@pytest.fixture
def front(place):
    return Endpoint("inet", place)


def test_ports_weights_and_priorities(place, front):
    """By weight among the lowest priority; the next one when no member of it lives; a client that finds that out first does not fail. Over a
    crash, a reload, one that is refused, and an upgrade."""
    other = {"listen": Endpoint("inet", place), "target": Endpoint("unix", place)}
    with Members(1, 2) as first, Members(3, 4) as second:
        text = zone((1, first.port, 10, 3), (2, first.port, 10, 1), (3, second.port, 20, 0), (4, second.port, 20, 0))
        routes = {"r": route(front, passive={"failures": 1, "retry": "1h"})}
        with Zones(place, {"pool.test": text}) as zones, Daemon(routes, wrap=zones.wrap) as daemon:
            acts = (lambda: None, lambda: crash(daemon), lambda: daemon.reload({**routes, "s": other}), lambda: refuse_reload(daemon),
                    lambda: daemon.ctl("upgrade"))
            is_pool(daemon, 1, 2, 3, 4)
            for act in acts:
                act()
                turns(daemon, front, 40, {1: 30, 2: 10})
            assert {number: (one["weight"], one["priority"]) for number, one in members(daemon).items()} == \
                {1: (3, 10), 2: (1, 10), 3: (1, 20), 4: (1, 20)}
            first.remove(1)
            assert set(count(front, 8)) == {2} and members(daemon)[1]["state"] == "down"
            first.remove(2)
            assert reached(front) in (3, 4)
            for act in acts:
                act()
                turns(daemon, front, 20, {3: 10, 4: 10})
            daemon.ctl("weight", "r/" + members(daemon)[4]["name"], "4")
            turns(daemon, front, 20, {3: 4, 4: 16})


def test_a_client_tries_the_priorities_in_order(place, front):
    """Nobody knows yet that the first are gone: one client finds out, and is served by the third; a backup is after all of them."""
    with Members(3, 4, 5) as servers:
        closed = free_port()
        text = zone((3, servers.port, 30, 1), (4, servers.port, 40, 1), (1, closed, 10, 1), (2, closed, 20, 1))
        backup = {"family": "inet", "host": address_of(5), "port": servers.port, "name": "spare", "backup": True}
        config = route(front)
        config["target"] = (config["target"], backup)
        with Zones(place, {"pool.test": text}) as zones, Daemon({"r": config}, wrap=zones.wrap) as daemon:
            is_pool(daemon, 1, 2, 3, 4, 5)
            assert reached(front) == 3
            assert all(members(daemon)[number]["failures"] == 1 for number in (1, 2))
            for number, then in ((3, 4), (4, 5)):
                servers.remove(number)
                assert reached(front) == then


def test_priorities_follow_checks(place, front):
    """Back to the first priority as soon as one of it is up."""
    with Members(1) as first, Members(2) as second:
        text = zone((1, first.port, 1, 1), (2, second.port, 2, 1))
        config = route(front, health={"interval": "100ms", "rise": 1, "fall": 1}, passive={"failures": 0})
        with Zones(place, {"pool.test": text}) as zones, Daemon({"r": config}, wrap=zones.wrap) as daemon:
            is_pool(daemon, 1, 2)
            until("both are up", lambda: {one["check"]["state"] for one in members(daemon).values()} == {"up"})
            turns(daemon, front, 5, {1: 5})
            first.remove(1)
            until("it is down", lambda: members(daemon)[1]["state"] == "down")
            turns(daemon, front, 5, {2: 5})
            first.add(1)
            until("it is up", lambda: members(daemon)[1]["state"] == "up")
            turns(daemon, front, 5, {1: 5})


def test_records_change_under_load(place, front):
    """Ports, priorities, weights, hosts: no client fails, and no session ends."""
    stop, failed, seen = threading.Event(), [], collections.Counter()

    def load():
        while not stop.is_set():
            try:
                seen[reached(front)] += 1
            except OSError as error:
                failed.append(error)

    with Members(1, 2, 3) as one, Members(1, 4) as other, Zones(place, {"pool.test": zone((1, one.port, 10, 1))}) as zones, \
            Daemon({"r": route(front)}, wrap=zones.wrap) as daemon:
        is_pool(daemon, 1)
        held, _ = opened(front)
        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for records, used in ((((2, one.port, 10, 1), (3, one.port, 10, 9)), {2, 3}),
                                  (((2, one.port, 20, 1), (3, one.port, 10, 9)), {3}),
                                  (((2, one.port, 5, 0), (3, one.port, 10, 9)), {2}),
                                  (((4, other.port, 65535, 65535),), {4}),
                                  (((1, other.port, 1, 0), (4, other.port, 1, 0)), {1, 4})):
                zones.change("pool.test", zone(*records, alias=len(records) == 1))

                def follows(used=used):
                    seen.clear()
                    until("there is load", lambda: sum(seen.values()) >= 20)
                    return set(seen) == used

                until(f"{used} are used", follows, harness.PATIENCE * 3)
            crash(daemon)
            held.sendall(b"still here")
            assert held.recv(100) == b"still here"
            held.close()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not failed, failed[:3]


def test_a_service_that_is_not_offered(place, front):
    """Down, and that is why; so it stays while there is no other answer, and over a crash and a reload. Sessions go on."""
    config = route(front, retry={"attempts": 1, "total": "1s"})

    def refuses():
        only, = [one for number, one in members(daemon).items() if number is None or one["state"] == "down"]
        assert (only["state"], only["why"]) == ("down", "its service is not offered")
        assert "its service is not offered" in daemon.status()["verdict"]
        with pytest.raises(ConnectionResetError):
            reached(front)

    with Members(1) as servers, Zones(place, {"pool.test": zone((1, servers.port, 1, 1))}) as zones, \
            Daemon({"r": config}, wrap=zones.wrap) as daemon:
        is_pool(daemon, 1)
        held, _ = opened(front)
        zones.change("pool.test", "_app._tcp 1 SRV 0 0 0 .\n")
        until("it is told", lambda: "_app._tcp.pool.test is not offered" in daemon.log(), harness.PATIENCE * 3)
        refuses()
        held.sendall(b"still here")
        assert held.recv(100) == b"still here"
        zones.change("pool.test", None)
        until("it is noticed", lambda: "_app._tcp.pool.test does not resolve" in daemon.log(), harness.PATIENCE * 3)
        crash(daemon)
        daemon.reload({"r": config, "s": {"listen": Endpoint("inet", place), "target": Endpoint("unix", place)}})
        refuses()
        zones.change("pool.test", zone((1, servers.port, 1, 1)))
        until("it is told", lambda: "_app._tcp.pool.test is offered again" in daemon.log(), harness.PATIENCE * 3)
        is_pool(daemon, 1)
        assert reached(front) == 1
        held.close()


# What becomes of a zone whose service was offered by host 1.
FAILURES = {"gone": "other 1 A 127.0.0.1\n", "servfail": None, "empty": "_app._tcp 1 TXT nothing\n",
            "host": "_app._tcp 1 SRV 1 1 1 nobody\n", "elsewhere": "_app._tcp 1 SRV 1 1 1 h.lost.test.\n"}


def test_the_last_good_answer_stays(place, front):
    """Where the records, or the addresses of their hosts, are not to be had."""
    with Members(1, 2) as servers, Zones(place, {"pool.test": zone((1, servers.port, 1, 1)), "lost.test": None}) as zones, \
            Daemon({"r": route(front)}, wrap=zones.wrap) as daemon:
        is_pool(daemon, 1)
        for case, text in FAILURES.items():
            lines = daemon.log().count("the last addresses are kept"), daemon.log().count("resolves again")
            zones.change("pool.test", text)
            until(f"{case} is noticed", lambda lines=lines: daemon.log().count("the last addresses are kept") > lines[0], harness.PATIENCE * 3)
            turns(daemon, front, 5, {1: 5})
            zones.change("pool.test", zone((1, servers.port, 1, 1)))
            until("it resolves", lambda lines=lines: daemon.log().count("resolves again") > lines[1], harness.PATIENCE * 3)
        # One host of two is not known now: what was known of it stays beside the other.
        zones.change("lost.test", f"h 1 A {address_of(1)}\n")
        both = f"_app._tcp 1 SRV 1 1 {servers.port} h.lost.test.\n" + zone((2, servers.port, 1, 1))
        zones.change("pool.test", both)
        is_pool(daemon, 1, 2)
        kept = daemon.log().count("the last addresses are kept")
        zones.change("lost.test", None)
        until("that is noticed", lambda: daemon.log().count("the last addresses are kept") > kept, harness.PATIENCE * 3)
        turns(daemon, front, 10, {1: 5, 2: 5})


def test_the_ttl_and_the_weight_of_the_target(place, front):
    """The TTL is the records', however long `resolve` is; the target's weight is a factor; other targets of the pool are beside it; 100
    records are one TCP answer, of which the 64 of the lowest priorities are used."""
    with Members(1, 2, 3) as servers:
        config = route(front, resolve="1d", target={"weight": 2})
        config["target"] = (config["target"], {"family": "inet", "host": address_of(3), "port": servers.port, "name": "other", "weight": 6})
        with Zones(place, {"pool.test": zone((1, servers.port, 7, 3))}) as zones, Daemon({"r": config}, wrap=zones.wrap) as daemon:
            is_pool(daemon, 1, 3)
            turns(daemon, front, 20, {1: 10, 3: 10})
            zones.change("pool.test", zone((2, servers.port, 7, 9)))
            is_pool(daemon, 2, 3)
            turns(daemon, front, 20, {2: 15, 3: 5})
            zones.change("pool.test", zone(*((100 + i, servers.port, 100 - i, 1) for i in range(99)), (1, servers.port, 0, 3)))
            until("they are too many", lambda: "has 100 records; 64 of them are used" in daemon.log(), harness.PATIENCE * 3)
            is_pool(daemon, 1, 3, *range(136, 199))
            turns(daemon, front, 20, {1: 10, 3: 10})


def test_messages_one_way(place):
    listen, ports = ("127.0.0.1", free_port()), {number: free_port() for number in (1, 2, 3)}
    text = zone(*((number, port, number // 3, 1) for number, port in ports.items()))
    with Zones(place, {"pool.test": text}) as zones, contextlib.ExitStack() as stack:
        receivers = {}
        for number, port in ports.items():
            receivers[number] = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            receivers[number].bind((address_of(number), port))
        one_way = {"listen": f"udp4://{listen[0]}:{listen[1]}", "replies": 0, "resolve": "1s", "target": "udp4://_app._tcp.pool.test"}
        daemon = stack.enter_context(Daemon({"r": one_way}, {"workers": 1}, wrap=zones.wrap))
        sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        is_pool(daemon, 1, 2, 3)
        for used in ((1, 2), (3,)):
            assert {sent_to(sender, listen, receivers) for _ in used} == set(used)
            zones.change("pool.test", zone((3, ports[3], 0, 1), (1, ports[1], 1, 1)))
            is_pool(daemon, 1, 3)
