# SPDX-License-Identifier: LGPL-2.1-or-later
"""What kills the worker each time it is touched is given up after two deaths, and nothing else suffers. A plugin of the
tests' own crashes, or hangs, where it is told to."""

import os
import shutil
import socket

import pytest

import harness
from harness import Daemon, Endpoint, free_port, until

HANG_PATIENCE = float(os.environ.get("SPLICED_HANG_PATIENCE", "60"))


@pytest.fixture
def plugins(place):
    """The families, and the one that crashes."""
    for name in ("inet.so", "unix.so"):
        shutil.copy(os.path.join(harness.plugin_dir(), name), place)
    harness.compile_crashy(place)
    for name in os.listdir(place):
        os.chmod(os.path.join(place, name), 0o755)
    return place


class Neighbour:
    """A session of another route, that must live through it all."""

    def __init__(self, front, back):
        self.listener = back.listen()
        self.front = front

    def open(self):
        self.client = self.front.connect(timeout=HANG_PATIENCE)
        self.server, _ = self.listener.accept()
        self.server.settimeout(HANG_PATIENCE)

    def lives(self):
        self.client.sendall(b"ping")
        assert self.server.recv(10) == b"ping"
        self.server.sendall(b"pong")
        return self.client.recv(10) == b"pong"

    def close(self):
        for sock in (self.client, self.server, self.listener):
            sock.close()


@pytest.fixture
def neighbour(place):
    found = Neighbour(Endpoint("inet", place), Endpoint("unix", place))
    yield found
    found.close()


def routes(neighbour_front, neighbour_back, poison):
    return {"good": {"listen": neighbour_front, "target": neighbour_back}, "bad": poison}


def start(plugins, neighbour, place, poison):
    back = "unix://" + neighbour.listener.getsockname()
    return Daemon(routes(neighbour.front, back, poison), settings={"plugin_dir": plugins, "control": {
        "path": os.path.join(place, "c.sock")}})


def starts(daemon, reason):
    return daemon.status()["worker"]["starts"][reason]


def poisoned(daemon):
    return sum(row["count"] for row in daemon.status()["refused"] if row["reason"] == "poison")


def poison(port):
    """A client whose address kills the worker in match(), and who is reset for it."""
    with socket.socket() as client:
        client.bind(("127.0.0.66", 0))
        client.settimeout(HANG_PATIENCE)
        with pytest.raises(ConnectionResetError):
            client.connect(("127.0.0.1", port))
            client.recv(1)


@pytest.mark.parametrize("wound, reason", (("connect", "crash"), ("hang", "hang")))
def test_a_session_that_kills(plugins, neighbour, place, wound, reason):
    port = free_port()
    target = {"family": "crashy", "host": "127.0.0.66", "port": free_port(), "crash": wound}
    daemon = start(plugins, neighbour, place, {"listen": f"tcp4://127.0.0.1:{port}", "target": target})
    daemon.control = os.path.join(place, "c.sock")
    with daemon:
        neighbour.open()
        assert neighbour.lives()
        with pytest.raises(ConnectionResetError), socket.create_connection(("127.0.0.1", port), timeout=HANG_PATIENCE) as client:
            client.recv(1)
        until("the session is given up", lambda: poisoned(daemon) == 1)
        assert starts(daemon, reason) == 2, daemon.status()["worker"]
        assert neighbour.lives()


def test_a_connection_that_kills(plugins, neighbour, place):
    """It kills before it is a session; the worker's heir makes it one, which has one death already, and gives it up as one."""
    port = free_port()
    front = {"family": "crashy", "host": "127.0.0.1", "port": port}
    back = "unix://" + neighbour.listener.getsockname()
    daemon = start(plugins, neighbour, place, {"listen": front, "target": back, "allow": ["wound"]})
    daemon.control = os.path.join(place, "c.sock")
    with daemon:
        neighbour.open()
        poison(port)
        until("the connection is given up", lambda: poisoned(daemon) == 1)
        assert starts(daemon, "crash") == 2, daemon.status()["worker"]
        assert neighbour.lives()
        # Whoever else comes is served.
        with socket.create_connection(("127.0.0.1", port), timeout=HANG_PATIENCE) as client:
            server, _ = neighbour.listener.accept()
            client.sendall(b"hello")
            assert server.recv(10) == b"hello"
            server.close()


def test_a_route_that_kills_thrice_is_paused(plugins, neighbour, place):
    port = free_port()
    front = {"family": "crashy", "host": "127.0.0.1", "port": port}
    back = "unix://" + neighbour.listener.getsockname()
    daemon = start(plugins, neighbour, place, {"listen": front, "target": back, "allow": ["wound"]})
    daemon.control = os.path.join(place, "c.sock")
    with daemon:
        neighbour.open()
        for _ in range(2):
            poison(port)
        assert starts(daemon, "crash") == 3, daemon.status()["worker"]
        until("the listener is paused", lambda: daemon.status()["listeners"]["paused"] == 1, HANG_PATIENCE)
        assert daemon.status()["degraded"]
        assert neighbour.lives()
