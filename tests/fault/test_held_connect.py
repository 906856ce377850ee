# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a target does before the worker has seen its connect() succeed: the connection was there, so what it said and how
it ended is what the client gets, once. A connect() that is held up makes sure of the order."""

import socket

import pytest

import harness
from harness import Daemon, Endpoint, Injected

HELD_UP_US = 150000


@pytest.fixture(params=("inet", "unix"))
def joined(request, place):
    front, back = Endpoint("inet", place), Endpoint(request.param, place)
    with back.listen() as listener, Daemon({"r": {"listen": front, "target": back}}) as daemon:
        yield daemon, front, listener


def nobody_else_comes(listener):
    listener.settimeout(0.4)  # the next attempt would come after 100 ms
    with pytest.raises(TimeoutError):
        listener.accept()


@pytest.mark.parametrize("says", (b"", b"sorry"), ids=("nothing", "data"))
def test_an_end(joined, says):
    daemon, front, listener = joined
    with Injected(daemon, "connect", f"delay_exit={HELD_UP_US}"), front.connect() as client:
        server, _ = listener.accept()
        server.sendall(says)
        server.close()
        assert harness.read_all(client) == (says, "end")
        nobody_else_comes(listener)


@pytest.mark.parametrize("says", (b"", b"sorry"), ids=("nothing", "data"))
def test_a_reset(joined, says):
    """A target that resets at once did answer: to try the next would do its work twice."""
    daemon, front, listener = joined
    if listener.family == socket.AF_UNIX:
        raise harness.Skip("UNIX has no reset")
    with Injected(daemon, "connect", f"delay_exit={HELD_UP_US}"), front.connect() as client:
        server, _ = listener.accept()
        server.sendall(says)
        harness.reset(server)
        assert harness.read_all(client) == (says, "ECONNRESET")
        nobody_else_comes(listener)


@pytest.mark.parametrize("says", (b"", b"hello"), ids=("nothing", "data"))
def test_a_client_that_half_closes(joined, says):
    daemon, front, listener = joined
    with Injected(daemon, "connect", f"delay_exit={HELD_UP_US}"), front.connect() as client:
        client.sendall(says)
        client.shutdown(socket.SHUT_WR)
        server, _ = listener.accept()
        server.settimeout(harness.PATIENCE)
        assert harness.read_all(server) == (says, "end")
        server.sendall(b"reply")
        server.close()
        assert harness.read_all(client) == (b"reply", "end")
