# SPDX-License-Identifier: LGPL-2.1-or-later
"""A new configuration: what is new listens, what is gone does not, and no session notices."""

import os
import signal

import pytest

import harness
import rest
from harness import Daemon, Endpoint, until
from messages import Echo, End


class Held:
    """A session that is open, and can be asked whether it still is."""

    def __init__(self, front, listener):
        self.client = front.connect()
        self.server, _ = listener.accept()
        self.server.settimeout(harness.PATIENCE)

    def alive(self):
        for one, other in ((self.client, self.server), (self.server, self.client)):
            one.sendall(b"ping")
            if other.recv(100) != b"ping":
                return False
        return True

    def close(self):
        self.client.close()
        self.server.close()


def reload(daemon, how, routes):
    """By splicectl, or by SIGHUP; returns when the new generation runs."""
    before = daemon.status()["reload"]["succeeded"]
    daemon.write(routes)
    if how == "splicectl":
        daemon.ctl("reload")
        return
    daemon.signal(signal.SIGHUP)
    harness.until("the next generation runs", lambda: daemon.status()["reload"]["succeeded"] > before)


@pytest.mark.parametrize("how", ("splicectl", "SIGHUP"))
def test_routes_come_and_go(place, how):
    old, new, stays = (Endpoint("inet", place) for _ in range(3))
    back = Endpoint("unix", place)
    with back.listen() as listener, \
            Daemon({"stays": {"listen": stays, "target": back}, "old": {"listen": old, "target": back}}) as daemon:
        held = [Held(front, listener) for front in (stays, old)]
        worker = daemon.worker
        reload(daemon, how, {"stays": {"listen": stays, "target": back}, "new": {"listen": new, "target": back}})
        assert daemon.worker != worker
        harness.until("the new route listens", new.listening)
        harness.until("the old one no longer does", lambda: not old.listening())
        assert all(one.alive() for one in held), "a session noticed the reload"
        held += [Held(front, listener) for front in (stays, new)]
        assert all(one.alive() for one in held)
        with pytest.raises(ConnectionRefusedError):
            old.connect()
        for one in held:
            one.close()
        harness.until("no session is left", lambda: not daemon.sessions())


def test_a_new_target_is_for_new_sessions(place):
    front, first, second = Endpoint("inet", place), Endpoint("inet", place), Endpoint("unix", place)
    with first.listen() as first_listener, second.listen() as second_listener, \
            Daemon({"r": {"listen": front, "target": first}}) as daemon:
        old = Held(front, first_listener)
        daemon.reload({"r": {"listen": front, "target": second}})
        new = Held(front, second_listener)
        assert old.alive() and new.alive()
        old.close()
        new.close()


BAD = {
    "syntax": "routes: { web: { listen = \n",
    "unknown-key": 'routes: { web: { listen = "tcp4://127.0.0.1:1"; target = "unix:///x"; lisen = 1; }; };\n',
    "not-to-be-bound": 'routes: { web: { listen = "unix:///etc/passwd/no-directory"; target = "unix:///x"; }; };\n',
    "empty-target": 'routes: { web: { listen = "tcp4://127.0.0.1:1"; }; };\n',
}


@pytest.mark.parametrize("how", ("splicectl", "SIGHUP"))
@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_changes_nothing(place, how, name):
    front, back = Endpoint("inet", place), Endpoint("unix", place)
    with back.listen() as listener, Daemon({"r": {"listen": front, "target": back}}) as daemon:
        held = Held(front, listener)
        good = daemon.ctl("routes")
        with open(daemon.file, encoding="utf-8") as file:
            settings = file.read().split("\troutes = ")[0]
        daemon.write(text=settings + BAD[name])
        if how == "splicectl":
            done = daemon.ctl_run("reload")
            assert done.returncode == 1, done
        else:
            daemon.signal(signal.SIGHUP)
            harness.until("the failure is known", lambda: daemon.status()["reload"].get("ok") is False)
        status = daemon.status()
        assert status["reload"]["ok"] is False and status["reload"]["error"]
        assert [one["name"] for one in daemon.ctl("routes")["routes"]] == [one["name"] for one in good["routes"]]
        assert held.alive()
        other = Held(front, listener)
        assert other.alive()
        # And a good file heals it.
        daemon.reload({"r": {"listen": front, "target": back}})
        assert daemon.status()["reload"]["ok"] is True
        assert held.alive() and other.alive()
        held.close()
        other.close()


def test_a_busy_port_changes_nothing(place):
    front, busy, back = Endpoint("inet", place), Endpoint("inet", place), Endpoint("unix", place)
    with back.listen() as listener, busy.listen(), Daemon({"r": {"listen": front, "target": back}}) as daemon:
        held = Held(front, listener)
        daemon.write({"r": {"listen": front, "target": back}, "busy": {"listen": busy, "target": back}})
        assert daemon.ctl_run("reload").returncode == 1
        assert held.alive()
        held.close()


@pytest.mark.parametrize("kind", ("udp4", "unix-dgram"))
def test_datagram_sessions_of_a_route_that_is_gone(place, kind):
    """They end when they are idle, as ever, and cost nothing until then."""
    front, back = End(kind, place), End(kind, place)
    with Echo(back), Daemon({"r": {"listen": str(front), "target": str(back), "timeout": {"idle": "3s"}}}) as daemon:
        with front.client() as client:
            client.say(b"there and back")
            assert client.hear() == b"there and back"
            daemon.reload({})
            until("nobody runs", lambda: not rest.busy((daemon.keeper, daemon.worker), daemon.control, harness.PATIENCE))
            assert len(daemon.sessions()) == 1
        until("its listener leaves with the session", lambda: not daemon.ctl("listeners")["listeners"])


def test_reload_under_load(place):
    front, other, back = Endpoint("inet", place), Endpoint("inet", place), Endpoint("unix", place)
    with harness.Serve(back), Daemon({"r": {"listen": front, "target": back}}) as daemon:
        swarm = harness.Running("swarm", "--to", front, "--seconds", 3, "--parallel", 16)
        reloads = 0
        while swarm.running():
            extra = {"other": {"listen": other, "target": back}} if reloads % 2 else {}
            daemon.reload({"r": {"listen": front, "target": back}, **extra})
            reloads += 1
        count, status = swarm.finish()
    assert reloads > 1
    assert status == 0, count


def test_what_takes_a_restart_is_said(place):
    front, back = Endpoint("inet", place), Endpoint("inet", place)
    with Daemon({"r": {"listen": front, "target": back}}) as daemon:
        daemon.settings["workers"] = 3
        daemon.reload({"r": {"listen": front, "target": back}})
        assert "daemon.workers has changed: applying it requires splicectl upgrade" in daemon.log()
        assert "daemon.max_sessions" not in daemon.log()
        assert len(os.listdir(f"/proc/{daemon.worker}/task")) == 2 + 2, "two threads, the clerk, and who waits for them"
