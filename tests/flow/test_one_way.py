# SPDX-License-Identifier: LGPL-2.1-or-later
"""Datagrams that nobody answers (replies = 0): nothing is kept for a sender. Each message goes to the next member of the pool, whoever says it;
a stream target has one connection a thread."""

import collections
import os
import signal
import socket

import pytest

import harness
from harness import Daemon, until
from messages import End, route

SETTINGS = {"workers": 1, "log": {"to": "stderr", "level": "info"}}
SENDERS = 300
MESSAGES = 200
FRONTS = ("udp4", "udp6", "unix-dgram")
BACKS = ("udp4", "unix-dgram", "unix-seqpacket")


class Pool:
    """Members that take messages, and count them."""

    def __init__(self, kind, place, count):
        self.ends = [End(kind, place) for _ in range(count)]
        self.servers = [end.server() for end in self.ends]
        self.heard = [[] for _ in self.ends]
        self.connections = [[] for _ in self.ends]
        for server in self.servers:
            server.setblocking(False)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)

    def listen(self):
        """All that has come."""
        for number, server in enumerate(self.servers):
            if server is None:
                continue
            if self.ends[number].is_datagram:
                self.take(number, server)
                continue
            try:
                while True:
                    self.connections[number].append(server.accept()[0])
                    self.connections[number][-1].setblocking(False)
            except BlockingIOError:
                pass
            for one in self.connections[number]:
                self.take(number, one)
        return sum(map(len, self.heard))

    def take(self, number, sock):
        try:
            while data := sock.recv(1 << 16):
                self.heard[number].append(data)
        except (BlockingIOError, ConnectionError):
            pass

    def counts(self):
        self.listen()
        return [len(one) for one in self.heard]

    def die(self, number):
        self.servers[number].close()
        self.servers[number] = None
        for one in self.connections[number]:
            one.close()
        if self.ends[number].kind.startswith("unix"):
            os.unlink(self.ends[number].address)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for server in self.servers:
            if server is not None:
                server.close()


def one_way(front, pool, **options):
    return {"r": {"listen": str(front), "target": tuple(map(str, pool.ends)), "replies": 0, **options}}


@pytest.mark.parametrize("overflow", (None, "block"))
@pytest.mark.parametrize("back", BACKS)
@pytest.mark.parametrize("front", FRONTS)
def test_senders_cost_nothing_and_members_take_turns(place, front, back, overflow):
    front = End(front, place)
    with Pool(back, place, 3) as pool, Daemon(one_way(front, pool, **({"overflow": overflow} if overflow else {})), SETTINGS) as daemon:
        for number in range(SENDERS):
            with front.client() as client:
                client.say(b"%d" % number)
            # In step: what a socket has no room for is dropped.
            until(f"message {number} came", lambda number=number: pool.listen() > number)
        assert sorted(int(data) for heard in pool.heard for data in heard) == list(range(SENDERS))
        assert pool.counts() == [SENDERS // 3] * 3
        assert len(daemon.sessions()) == 3 and {one["peer"] for one in daemon.sessions()} == {"(any)"}
        counted = route(daemon, "r")
        assert counted["received"]["from_client"] == counted["messages"]["to_target"] == SENDERS and not counted["dropped"]


@pytest.mark.parametrize("change", ("nothing", "kill", "reload"))
def test_one_sender_is_spread(place, change):
    front = End("udp4")
    with Pool("udp4", place, 4) as pool, Daemon(one_way(front, pool), SETTINGS) as daemon, front.client() as client:
        for number in range(MESSAGES):
            if number == MESSAGES // 2:
                worker = daemon.worker
                if change == "kill":
                    os.kill(worker, signal.SIGKILL)
                    daemon.worker_after(worker)
                elif change == "reload":
                    daemon.reload({**daemon.routes, "more": {"listen": str(End("udp4")), "target": str(pool.ends[0])}})
            client.say(b"%d" % number)
            until("it came", lambda number=number: pool.listen() > number)
        assert pool.counts() == [MESSAGES // 4] * 4
        assert len([one for one in daemon.sessions() if one["route"] == "r"]) == 4


@pytest.mark.parametrize("back", ("udp4", "unix-dgram"))
def test_a_dead_member_is_passed_over(place, back):
    front = End("unix-dgram", place)
    with Pool(back, place, 2) as pool, Daemon(one_way(front, pool), SETTINGS) as daemon, front.client() as client:
        for number in range(4):
            client.say(b"%d" % number)
            until("it came", lambda number=number: pool.listen() > number)
        pool.die(0)
        until("it is known to be down", lambda: client.say(b"x") or "down" in daemon.status()["verdict"])
        pool.listen()
        before = len(pool.heard[1])
        for number in range(20):
            client.say(b"%d" % number)
            until("it came", lambda number=number: pool.listen() and len(pool.heard[1]) > before + number)


@pytest.mark.parametrize("kind", ("tcp4", "unix"))
def test_a_stream_has_one_connection(place, kind):
    """Not one a sender. One that ends is made anew."""
    front, back = End("udp4"), End(kind, place)
    server = back.server()
    server.settimeout(harness.PATIENCE)
    routes = {"r": {"listen": str(front), "target": f"{back}?framing=line", "replies": 0}}
    with server, Daemon(routes, SETTINGS) as daemon:
        for turn in range(2):
            file = None
            for number in range(50):
                with front.client() as client:
                    client.say(b"%d" % number)
                if file is None:
                    sock = server.accept()[0]
                    sock.settimeout(harness.PATIENCE)
                    file = sock.makefile("rb")
                assert file.readline() == b"%d\n" % number
            assert len(daemon.sessions()) == 1
            file.close()
            sock.close()
            until("it has ended", lambda: not daemon.sessions())
            assert turn < 2
        server.settimeout(0.05)
        with pytest.raises(TimeoutError):
            server.accept()


def test_who_may_not_is_refused_each_time(place):
    front = End("udp4")
    with Pool("udp4", place, 2) as pool, Daemon(one_way(front, pool, deny=["127.0.0.9"]), SETTINGS) as daemon:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as denied, front.client() as client:
            denied.bind(("127.0.0.9", 0))
            for number in range(20):
                denied.sendto(b"no", front.address)
                client.say(b"%d" % number)
                until("it came", lambda number=number: pool.listen() > number)
            until("all were looked at", lambda: route(daemon, "r")["received"]["from_client"] == 40)
            assert route(daemon, "r")["dropped"] == {"denied": 20}
            assert collections.Counter(data for heard in pool.heard for data in heard)[b"no"] == 0


def test_fewer_places_than_members(place):
    """All goes by the lanes that there are; none takes another's place."""
    front = End("udp4")
    with Pool("udp4", place, 3) as pool, Daemon(one_way(front, pool, limit={"sessions": 2}), SETTINGS) as daemon, front.client() as client:
        for number in range(60):
            client.say(b"%d" % number)
            until("it came", lambda number=number: pool.listen() > number)
        assert len(daemon.sessions()) == 2 and route(daemon, "r")["sessions"]["total"] == 2
