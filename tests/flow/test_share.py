# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whoever floods one route: the others, feeds, dials and the operator get what they need at once."""

import os
import selectors
import signal
import socket
import threading

import pytest

import harness
from harness import Daemon, Endpoint, free_port, until
from messages import route

QUIET = {"log": {"to": "stderr", "level": "notice"}}


class EchoServer:
    """Echoes on a UNIX stream and on UDP whatever comes, of however many."""

    def __init__(self, place):
        self.stream = Endpoint("unix", place)
        self.listener = self.stream.listen(512)
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams.bind(("127.0.0.1", 0))
        self.udp = f"udp4://127.0.0.1:{self.datagrams.getsockname()[1]}"
        self.ended = False
        self.thread = threading.Thread(target=self.run)

    def serve(self, sock):
        if sock is self.listener:
            client = self.listener.accept()[0]
            client.setblocking(False)
            self.selector.register(client, selectors.EVENT_READ)
            return
        try:
            if sock is self.datagrams:
                data, peer = sock.recvfrom(65536)
                sock.sendto(data, peer)
                return
            data = sock.recv(65536)
            if data:
                sock.send(data)
                return
        except BlockingIOError:
            return
        except OSError:
            if sock is self.datagrams:
                return
        self.selector.unregister(sock)
        sock.close()

    def run(self):
        with selectors.DefaultSelector() as self.selector:
            self.selector.register(self.listener, selectors.EVENT_READ)
            self.selector.register(self.datagrams, selectors.EVENT_READ)
            while not self.ended:
                for key, _ in self.selector.select(0.05):
                    self.serve(key.fileobj)
            for key in list(self.selector.get_map().values()):
                key.fileobj.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.ended = True
        self.thread.join()


def asks(front, words=b"may I?"):
    """A client that is served: it hears what it says."""
    with front.connect() as client:
        client.sendall(words)
        heard = b""
        while len(heard) < len(words):
            part = client.recv(100)
            assert part, f"{front} ended"
            heard += part
        assert heard == words


def asks_udp(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        client.connect(("127.0.0.1", port))

        def answered():
            client.send(b"may I?")
            try:
                return client.recv(100) == b"may I?"
            except TimeoutError:
                return False

        # What a death has in hand, and what the server behind a flood has no room for, may be lost: a client asks again.
        until("there is an answer", answered)


class Silent:
    """A target that accepts nothing: connects to it never end."""

    def __init__(self):
        self.end = Endpoint("inet", "")
        self.listener = self.end.listen(0)
        self.fill = [self.end.socket() for _ in range(4)]
        for sock in self.fill:
            sock.setblocking(False)
            sock.connect_ex(self.end.address)

    def close(self):
        for sock in self.fill + [self.listener]:
            sock.close()


class Flood:
    """Clients of one route that come and stay."""

    def __init__(self, front, count, words=b""):
        self.clients = []
        for _ in range(count):
            client = front.socket()
            client.setblocking(False)
            client.connect_ex(front.address)
            self.clients.append(client)
        if words:
            until("they are connected", lambda: self.say(words))

    def say(self, words):
        for client in self.clients:
            try:
                client.send(words)
            except (BlockingIOError, BrokenPipeError):
                pass
            except OSError:
                return False
        return True

    def close(self):
        """Resets: a client that only says its last waits for its target still."""
        for client in self.clients:
            harness.reset(client)


class House:
    """One route to flood, and all the others: `quiet` ones of streams, datagrams, a feed, a dial."""

    def __init__(self, place, server, quiet, flooded):
        self.place, self.server = place, server
        self.hog = Endpoint("inet", place)
        self.quiet = [Endpoint("unix" if number % 2 else "inet", place) for number in range(quiet)]
        self.port = free_port()
        self.routes = {"hog": {"listen": self.hog, "target": server.stream, **flooded}}
        self.routes.update({f"quiet{number}": {"listen": front, "target": server.stream} for number, front in enumerate(self.quiet)})
        self.routes["datagrams"] = {"listen": f"udp4://127.0.0.1:{self.port}", "target": server.udp, "replies": 1}
        self.routes["feed"] = {"listen": "netlink://route?groups=rule&format=json", "target": str(server.stream)}
        self.routes["dial"] = {"dial": str(server.stream), "target": str(server.stream)}

    def ask_all(self, daemon):
        for front in self.quiet:
            asks(front)
        asks_udp(self.port)
        until("feed and dial relay", lambda: {one["route"] for one in daemon.sessions() if one["state"] == "relaying"} >= {"feed", "dial"})
        assert daemon.status()["sessions"]["active"] <= daemon.status()["sessions"]["limit"]

    def is_limited(self, daemon, name="hog", why=("its share of the sessions reached",)):
        return any(f"{name}: {one}" in daemon.status()["verdict"] for one in why)


def goes_through_changes(house, daemon):
    """What the others get lasts over whatever happens to the daemon."""
    worker = daemon.worker
    os.kill(worker, signal.SIGKILL)
    daemon.worker_after(worker)
    house.ask_all(daemon)
    until("the flood is at its share again", lambda: house.is_limited(daemon))
    more = Endpoint("inet", house.place)
    assert daemon.reload({**house.routes, "more": {"listen": more, "target": house.server.stream}})["ok"]
    asks(more)
    house.ask_all(daemon)
    daemon.write({**house.routes, "bad": {"listen": "unix:///etc/passwd/no-directory", "target": house.server.stream}})
    assert daemon.ctl("reload", status=None)["ok"] is False
    asks(more)
    house.ask_all(daemon)
    assert daemon.reload(house.routes)["ok"]
    house.ask_all(daemon)
    until("the flood is at its share again", lambda: house.is_limited(daemon))


def comes_to_rest(daemon):
    until("only feed and dial are left", lambda: {one["route"] for one in daemon.sessions()} == {"feed", "dial"})
    until("all is well again", lambda: daemon.status()["verdict"] == "OK")


@pytest.mark.parametrize("kind,workers,quiet", (("stay", 1, 1), ("stay", 4, 40), ("talk", 2, 10), ("unanswered", 1, 10), ("framed", 2, 1)))
def test_a_flood_of_clients(place, kind, workers, quiet):
    silent = Silent() if kind == "unanswered" else None
    with EchoServer(place) as server:
        flooded = {"target": silent.end, "timeout": {"connect": "1min"}} if silent else {}
        if kind == "framed":
            flooded = {"listen": (f"{Endpoint('inet', place)}",), "target": server.udp}
        house = House(place, server, quiet, flooded)
        if kind == "framed":
            house.routes["hog"]["listen"] = f"{house.hog}?framing=line"
        with Daemon(house.routes, {**QUIET, "workers": workers, "max_sessions": 20 + 4 * quiet}) as daemon:
            flood = Flood(house.hog, 3 * (20 + 4 * quiet), {"talk": b"hear me", "framed": b"half a li"}.get(kind, b""))
            until("the flood is at its share", lambda: house.is_limited(daemon))
            house.ask_all(daemon)
            goes_through_changes(house, daemon)
            flood.close()
            comes_to_rest(daemon)
            asks(house.quiet[0])
    if silent:
        silent.close()


def test_few_descriptors(place):
    """RLIMIT_NOFILE allows for less than max_sessions: what is left is shared all the same, and the operator has his own."""
    with EchoServer(place) as server:
        house = House(place, server, 3, {})
        with Daemon(house.routes, QUIET, limit_nofile=256) as daemon:
            places = daemon.status()["sessions"]["limit"]
            assert 10 < places < 64
            flood = Flood(house.hog, 300, b"hear me")
            until("the flood is at its share", lambda: house.is_limited(daemon))
            house.ask_all(daemon)
            goes_through_changes(house, daemon)
            held = daemon.status()["descriptors"]
            assert held["open"] < held["limit"] - 16, held
            flood.close()
            comes_to_rest(daemon)


def test_two_that_flood(place):
    """The more flood, the less each has; who comes last finds a place still."""
    with EchoServer(place) as server:
        house = House(place, server, 3, {})
        with Daemon(house.routes, {**QUIET, "max_sessions": 100}) as daemon:
            # Two that come at once may take the last common place between them; then that is what the later one is told.
            limits = ("its share of the sessions reached", "max_sessions reached")
            floods = []
            for name, front in (("hog", house.hog), ("quiet0", house.quiet[0]), ("quiet1", house.quiet[1])):
                floods.append(Flood(front, 200))
                until(f"{name} is at a limit", lambda name=name: house.is_limited(daemon, name, limits))
                # Of 100 places two are the feed's and the dial's; five routes have a tenth of the rest each in reserve.
                assert route(daemon, name)["sessions"]["active"] >= 98 // 10
            asks(house.quiet[2])
            asks_udp(house.port)
            for flood in floods:
                flood.close()
            comes_to_rest(daemon)


def test_one_route_alone_may_take_all(place):
    with EchoServer(place) as server:
        front = Endpoint("inet", place)
        with Daemon({"r": {"listen": front, "target": server.stream}}, {**QUIET, "max_sessions": 20}) as daemon:
            flood = Flood(front, 40)
            until("every place is taken", lambda: daemon.status()["sessions"]["active"] == 20)
            until("it is told", lambda: "r: max_sessions reached" in daemon.status()["verdict"])
            flood.close()
            until("none is", lambda: daemon.status()["sessions"]["active"] == 0)


# ---- datagrams ----


def sources(port):
    """Messages of peers without end, each from an address of its own."""
    number = 0
    while True:
        number += 1
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((f"127.{1 + number % 200}.{1 + number // 200 % 200}.1", 0))
            sock.sendto(b"flood", ("127.0.0.1", port))
        yield number


@pytest.mark.parametrize("workers,quiet", ((1, 1), (2, 10), (4, 40)))
def test_a_flood_of_sources(place, workers, quiet):
    with EchoServer(place) as server:
        house = House(place, server, quiet, {})
        port = free_port()
        house.routes["hog"] = {"listen": f"udp4://127.0.0.1:{port}", "target": server.udp}
        with Daemon(house.routes, {**QUIET, "workers": workers, "max_sessions": 20 + 4 * quiet}) as daemon:
            flood = sources(port)
            until("the oldest give way", lambda: next(flood) and route(daemon, "hog")["sessions"]["evicted"] > 10)
            house.ask_all(daemon)
            goes_through_changes_with(flood, house, daemon)
            assert "were evicted for new peers" in daemon.log()
            before = route(daemon, "hog")["sessions"]["active"]
            assert before <= 20 + 4 * quiet
            daemon.reload({name: one for name, one in house.routes.items() if name != "hog"})
            house.ask_all(daemon)


def goes_through_changes_with(flood, house, daemon):
    """As with clients; but these do not stay, so that each step has its own."""
    def more():
        for _ in range(300):
            next(flood)
        house.ask_all(daemon)

    worker = daemon.worker
    os.kill(worker, signal.SIGKILL)
    daemon.worker_after(worker)
    more()
    house.routes["more"] = {"listen": Endpoint("inet", house.place), "target": house.server.stream}
    assert daemon.reload(house.routes)["ok"]
    more()
    asks(house.routes["more"]["listen"])


@pytest.mark.parametrize("kill", (False, True), ids=("", "kill"))
def test_who_speaks_does_not_give_way(place, kill):
    with EchoServer(place) as server:
        port = free_port()
        routes = {"hog": {"listen": f"udp4://127.0.0.1:{port}", "target": server.udp},
                  "other": {"listen": Endpoint("inet", place), "target": server.stream}}
        with Daemon(routes, {**QUIET, "workers": 1, "max_sessions": 50}) as daemon, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(harness.PATIENCE)
            client.connect(("127.0.0.1", port))
            flood = sources(port)

            def speaks():
                client.send(b"I am here")
                assert client.recv(100) == b"I am here"
                return [one["id"] for one in daemon.sessions() if one["peer"] == "%s:%d" % client.getsockname()]

            own = speaks()
            assert own
            for step in range(200):
                next(flood)
                if step == 100 and kill:
                    worker = daemon.worker
                    os.kill(worker, signal.SIGKILL)
                    daemon.worker_after(worker)
                    until("the heir answers", lambda: daemon.ctl_run("status").returncode in (0, 1))
                if step % 5 == 0:
                    assert speaks() == own
            assert route(daemon, "hog")["sessions"]["evicted"] > 50
