# SPDX-License-Identifier: LGPL-2.1-or-later
"""The release before this one hands over to this one, by an upgrade and by a restart of the service: all that it has open goes on.
$SPLICED_PREVIOUS is where that one is built."""

import os
import signal
import socket

import pytest

import service
from harness import Running, Serve, until
from kinds import BACK, PORT, ROUTES, Sessions
from service import Service

PREVIOUS = os.environ.get("SPLICED_PREVIOUS")
MORE = 7404

pytestmark = pytest.mark.skipif(not PREVIOUS, reason="the release before this one is not built: there is no history")


@pytest.fixture(scope="module", autouse=True)
def installed():
    yield
    service.install()


@pytest.fixture(scope="module", autouse=True)
def server():
    with Serve(f"tcp://127.0.0.1:{BACK}") as serving:
        yield serving


def hand_over(spliced, verb):
    done = spliced.systemctl("restart", check=False) if verb == "restart" else spliced.ctl("upgrade")
    assert done.returncode == 0, done.stdout + done.stderr + spliced.log()


@pytest.mark.parametrize("verb", ("upgrade", "restart"))
def test_this_release_takes_over(verb):
    service.install(PREVIOUS)
    with Service(ROUTES) as spliced, Sessions() as sessions:
        before = spliced.status()["version"]
        sessions.live()
        # An earlier generation is lived in: the routes of the sessions above are those of a file that is no more.
        spliced.write({**ROUTES, "more": {"listen": f"tcp4://127.0.0.1:{MORE}", "target": f"tcp4://127.0.0.1:{BACK}"}})
        spliced.systemctl("reload")
        swarm = Running("swarm", "--to", f"tcp://127.0.0.1:{PORT}", "--parallel", 16, "--seconds", 100)
        until("the swarm is there", lambda: spliced.status()["sessions"]["active"] > 16)
        service.install()
        hand_over(spliced, verb)
        assert spliced.status()["version"] != before
        sessions.live()
        # What it took over survives its worker, another reload, and the next change of hands.
        os.kill(spliced.worker, signal.SIGKILL)
        sessions.live()
        spliced.systemctl("reload")
        hand_over(spliced, "upgrade")
        hand_over(spliced, "restart")
        sessions.live()
        assert swarm.running()
        told, code = swarm.stop()
        assert code == 0, told
        socket.create_connection(("127.0.0.1", MORE)).close()


def test_going_back():
    """The release before may refuse what this one left; then nothing changes. If it does not, it goes on with it."""
    service.install()
    with Service(ROUTES) as spliced, Sessions() as sessions:
        sessions.live()
        service.install(PREVIOUS)
        done = spliced.ctl("upgrade")
        assert done.returncode in (0, 1), done
        assert done.returncode == 0 or "does not understand the sessions" in done.stdout + done.stderr, done
        sessions.live()
        if done.returncode:
            go_back_without_sessions(spliced, sessions)


def go_back_without_sessions(spliced, sessions):
    """Which was said before. The service is there at once, and this release takes over again from there."""
    now = spliced.status()["version"]
    hand_over(spliced, "restart")
    assert spliced.status()["version"] != now
    assert "they end" in spliced.log() and "does not understand the sessions" in spliced.log(), spliced.log()
    sessions.ended()
    sessions.__exit__()
    with Sessions() as others:
        others.live()
        service.install()
        hand_over(spliced, "upgrade")
        assert spliced.status()["version"] == now
        others.live()
