# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sessions at a time, and how long one may be silent."""

import time

import pytest

import harness
from harness import Daemon, Endpoint


def paused(daemon):
    return [one for one in daemon.ctl("listeners")["listeners"] if one["state"] == "paused"]


@pytest.mark.parametrize("family", ("inet", "unix"))
def test_the_limit_pauses_accepting(place, family):
    front, back = Endpoint(family, place), Endpoint("unix", place)
    with back.listen() as listener, \
            Daemon({"r": {"listen": front, "target": back, "limit": {"sessions": 2}}}) as daemon:
        first, second = front.connect(), front.connect()
        servers = [listener.accept()[0], listener.accept()[0]]
        third = front.connect()
        third.sendall(b"third")
        harness.until("the listener is paused", lambda: paused(daemon))
        listener.setblocking(False)

        def nobody_comes():
            try:
                listener.accept()
            except BlockingIOError:
                return True
            return False

        harness.holds("the third waits", nobody_comes, 0.3)
        assert len(daemon.sessions()) == 2
        listener.settimeout(harness.PATIENCE)
        first.close()
        servers[0].close()
        servers[1].close()
        second.close()
        server, _ = listener.accept()
        server.settimeout(harness.PATIENCE)
        assert server.recv(100) == b"third"
        harness.until("nothing is paused any more", lambda: not paused(daemon))
        server.close()
        third.close()


def test_a_swarm_through_a_narrow_door(place):
    """All get through, one after the other, and never more than the limit at once."""
    front, back = Endpoint("inet", place), Endpoint("inet", place)
    with harness.Serve(back), Daemon({"r": {"listen": front, "target": back, "limit": {"sessions": 3}}}) as daemon:
        swarm = harness.Running("swarm", "--to", front, "--sessions", 200, "--parallel", 32)
        most = 0
        while swarm.running():
            most = max(most, daemon.ctl("routes")["routes"][0]["sessions"]["active"])
        count, status = swarm.finish()
    assert status == 0, count
    assert most <= 3


def test_idle(place):
    front, back = Endpoint("inet", place), Endpoint("inet", place)
    with back.listen() as listener, \
            Daemon({"r": {"listen": front, "target": back, "timeout": {"idle": "300ms"}}}) as daemon:
        client = front.connect()
        server, _ = listener.accept()
        for _ in range(8):  # 0.8 s, never idle
            client.sendall(b"still here")
            assert server.recv(100)
            time.sleep(0.1)
        start = time.monotonic()
        client.settimeout(harness.PATIENCE)
        server.settimeout(harness.PATIENCE)
        assert harness.read_all(client)[1] in ("end", "ECONNRESET")
        assert 0.1 < time.monotonic() - start < 0.3 + harness.PATIENCE / 2
        assert harness.read_all(server)[1] in ("end", "ECONNRESET")
        harness.until("no session is left", lambda: not daemon.sessions())
        client.close()
        server.close()


def test_no_idle_limit_by_default(place):
    front, back = Endpoint("inet", place), Endpoint("inet", place)
    with back.listen() as listener, Daemon({"r": {"listen": front, "target": back}}) as daemon:
        client = front.connect()
        server, _ = listener.accept()
        harness.holds("the session stays", lambda: len(daemon.sessions()) == 1, 0.5)
        client.sendall(b"x")
        assert server.recv(1) == b"x"
        client.close()
        server.close()


def test_kill(place):
    """splicectl kill: both sides see a reset; the other session goes on."""
    front, back = Endpoint("inet", place), Endpoint("inet", place)
    with back.listen() as listener, Daemon({"r": {"listen": front, "target": back}}) as daemon:
        client, other = front.connect(), None
        server, _ = listener.accept()
        victim = harness.until("the session is listed", daemon.sessions)[0]["id"]
        other = front.connect()
        other_server, _ = listener.accept()
        daemon.ctl("kill", str(victim))
        for sock in (client, server):
            sock.settimeout(harness.PATIENCE)
            assert harness.read_all(sock) == (b"", "ECONNRESET")
        other.sendall(b"alive")
        assert other_server.recv(100) == b"alive"
        assert [one["id"] for one in daemon.sessions()] != [victim]
        daemon.ctl("kill", str(victim), status=1)
        for sock in (client, server, other, other_server):
            sock.close()
