# SPDX-License-Identifier: LGPL-2.1-or-later
"""That a daemon is at rest can fail: each part of the check, shown one that is not."""

import socket

import pytest

import rest
from harness import Daemon, Endpoint, Injected, until

BRIEFLY = 1


@pytest.fixture
def daemon(place):
    front, back = Endpoint("inet", place), Endpoint("inet", place)
    with back.listen() as listener, Daemon({"r": {"listen": front, "target": back}}) as daemon:
        daemon.front, daemon.listener = front, listener
        yield daemon


def unrest(daemon, parts=rest.ALL):
    with pytest.raises(rest.NotAtRest) as caught:
        daemon.at_rest(BRIEFLY, parts)
    return str(caught.value)


def session(daemon):
    client = daemon.front.connect()
    return client, daemon.listener.accept()[0]


def test_sessions_may_stand(daemon):
    client, server = session(daemon)
    until("it relays", daemon.relays)
    daemon.at_rest()
    client.close()
    server.close()
    until("it ends", lambda: not daemon.sessions())
    daemon.at_rest()


def test_what_was_not_closed(daemon):
    """Sockets of a session, and control connections at their end, which the clerk's epoll set tells of again and again."""
    client, server = session(daemon)
    until("it relays", daemon.relays)
    with Injected(daemon, "close", "retval=0"):
        client.close()
        server.close()
        until("it ends", lambda: not daemon.sessions())
    assert "descriptors without an owner" in unrest(daemon, ["descriptors"])
    assert "(spliced-clerk)" in unrest(daemon, ["cpu"])
    daemon.unrest = "its descriptors stay open"


def test_a_connection_that_stays(daemon):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(daemon.control)
        assert "control" in unrest(daemon)
    daemon.at_rest()
