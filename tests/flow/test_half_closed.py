# SPDX-License-Identifier: LGPL-2.1-or-later
"""A session that one side has ended: towards a target without connections it ends soon after the last reply, between streams when it is told
to."""

import os
import socket
import tempfile

import pytest

from harness import Daemon, holds, until
from messages import Echo, End, frame, route

CASES = {
    # front, target, timeout
    "to-udp": ("tcp4", "udp4", {}),
    "to-unix-dgram": ("unix", "unix-dgram", {}),
    "from-seqpacket": ("unix-seqpacket", "udp4", {}),
    "patient": ("tcp4", "udp4", {"half_closed": "10min"}),
    "idle-first": ("tcp4", "udp4", {"half_closed": "10min", "idle": "500ms"}),
    "streams": ("tcp4", "tcp4", {}),
    "streams-told": ("tcp4", "tcp4", {"half_closed": "500ms"}),
    "framed-told": ("tcp4", "tcp4", {"half_closed": "500ms"}),
}


class World:
    def __init__(self):
        directory = tempfile.mkdtemp(prefix="half-closed-")
        os.chmod(directory, 0o755)
        self.front = {name: End(case[0], directory) for name, case in CASES.items()}
        self.back = {name: End(case[1], directory) for name, case in CASES.items()}
        routes = {name: {"listen": self.front[name].framed, "target": self.back[name].framed, "timeout": case[2]}
                  for name, case in CASES.items()}
        routes["framed-told"]["target"] = self.back["framed-told"].text + "?framing=length32"
        self.daemon = Daemon(routes, {"log": {"to": "stderr", "level": "warning"}})

    def active(self, name):
        return route(self.daemon, name)["sessions"]["active"]


@pytest.fixture(scope="module")
def world():
    made = World()
    with made.daemon:
        yield made


def end(client):
    client.sock.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("name", ("to-udp", "to-unix-dgram", "from-seqpacket", "idle-first"))
def test_it_ends_after_the_last_reply(world, name):
    """... all of which are heard before the end."""
    with Echo(world.back[name], answer=lambda data: [data, b"more"]), world.front[name].client() as client:
        client.say(b"?")
        end(client)
        assert client.hear() == b"?" and client.hear() == b"more"
        assert client.hear() is None
    until("the session has ended", lambda: not world.active(name))


def test_it_waits_where_it_is_told_to(world):
    with Echo(world.back["patient"], answer=lambda data: []) as echo, world.front["patient"].client() as client:
        client.say(b"?")
        end(client)
        until("it was asked", lambda: echo.asked)
        holds("the session is there", lambda: world.active("patient") == 1, 2.5)


def test_streams_wait(world):
    with world.back["streams"].server() as listener, world.front["streams"].client() as client:
        client.say(b"?")
        end(client)
        with listener.accept()[0] as target:
            assert world.back["streams"].wire(target).hear() == b"?"
            holds("the session is there", lambda: world.active("streams") == 1, 2.5)
            target.sendall(frame(b"!"))
            assert client.hear() == b"!"


@pytest.mark.parametrize("name", ("streams-told", "framed-told"))
def test_streams_that_are_told_to_end(world, name):
    """... by a reset: the silent side may have had more to say."""
    with world.back[name].server() as listener, world.front[name].client() as client:
        client.say(b"?")
        end(client)
        with listener.accept()[0]:
            with pytest.raises(ConnectionResetError):
                client.hear()
    until("the session has ended", lambda: not world.active(name))
