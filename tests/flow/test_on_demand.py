# SPDX-License-Identifier: LGPL-2.1-or-later
"""Targets on demand: the first client starts the unit, and idle_stop stops it, by a service manager of the test's own (tests/lib/manager). What
serves is the test itself, once it was told to start."""

import contextlib
import os
import signal
import socket
import subprocess

import pytest

import harness
from harness import Daemon, holds, until

MANAGER = os.path.join(harness.BUILD, "tests", "lib", "manager")
UNIT, OTHER = "app.service", "app@1.service"
STILL = 2.2  # s: idle_stop is 1s, and looked at each second


class Manager:
    """The service manager, and a target of each unit that serves when it is told to."""

    def __init__(self, place):
        self.place = str(place)
        self.path = os.path.join(self.place, "bus")
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen([MANAGER, self.path, self.place], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"
        self.write(UNIT, "inactive")
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.communicate()

    def file(self, name):
        return os.path.join(self.place, name)

    def write(self, name, text):
        with open(self.file(name) + ".tmp", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(self.file(name) + ".tmp", self.file(name))

    def state(self, unit=UNIT):
        with open(self.file(unit), encoding="utf-8") as file:
            return file.read()

    def calls(self):
        with contextlib.suppress(FileNotFoundError):
            with open(self.file("calls"), encoding="utf-8") as file:
                return file.read().splitlines()
        return []

    def told(self, *calls):
        until(f"systemd is told {calls}", lambda: self.calls() == list(calls))


class App:
    """What the unit runs: answers each client with what it said."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(path)
        self.sock.listen(64)
        self.sock.settimeout(harness.PATIENCE)
        self.clients = []

    def take(self):
        client = self.sock.accept()[0]
        client.settimeout(harness.PATIENCE)
        self.clients.append(client)
        client.sendall(client.recv(100))

    def end(self):
        """Its clients are gone."""
        for sock in self.clients:
            sock.close()

    def close(self):
        self.end()
        self.sock.close()


@pytest.fixture(autouse=True)
def manager(place, monkeypatch):
    if not os.path.exists(MANAGER):
        pytest.skip("no tests/lib/manager is built")
    with Manager(place) as running:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=" + running.path)
        yield running


@pytest.fixture
def app(place):
    """Starts what serves; ends it."""
    with contextlib.ExitStack() as stack:
        def begin(name="app"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(place, name))
            return stack.enter_context(contextlib.closing(App(os.path.join(place, name))))
        yield begin


def route(place, front="front", name="app", unit=UNIT, idle="1s", total="60s", **more):
    target = {"family": "unix", "path": os.path.join(place, name), "name": name, "unit": unit}
    if idle:
        target["idle_stop"] = idle
    return {"listen": "unix://" + os.path.join(place, front), "target": target, "retry": {"total": total}, **more}


def client(place, front="front", text=b"hello"):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(harness.PATIENCE)
    sock.connect(os.path.join(place, front))
    sock.sendall(text)
    return sock


def hears(sock, text=b"hello"):
    assert sock.recv(100) == text


def target(daemon, name="app"):
    return next(one for found in daemon.ctl("routes")["routes"] for one in found["targets"] if one["name"] == name)


def unit(daemon, name="app"):
    return target(daemon, name)["unit"]


def served(place, app, sock=None, **where):
    sock = sock or client(place, **where)
    app.take()
    hears(sock)
    return sock


def last(place, app, sock=None):
    """It is served, and goes."""
    served(place, app, sock).close()
    app.end()


def served_all(app, clients):
    for _ in clients:
        app.take()
    for sock in clients:
        hears(sock)


# ---- a start, a stop, and what comes in between ----


def test_the_first_client_starts_it_and_the_last_stops_it(place, manager, app):
    with Daemon({"web": route(place)}) as daemon:
        assert unit(daemon)["state"] == "not running"
        clients = [client(place) for _ in range(10)]
        manager.told("start " + UNIT)
        # It takes its time.
        holds("it is started once", lambda: manager.calls() == ["start " + UNIT], STILL)
        running = app()
        served_all(running, clients)
        assert target(daemon)["failures"] == 0 and target(daemon)["downs"] == 0
        assert unit(daemon) == {"name": UNIT, "state": "running", "started": True, "problem": None}
        # Whatever happens meanwhile: one session is enough.
        for sock in clients[1:]:
            sock.close()
        worker = daemon.worker
        os.kill(worker, signal.SIGKILL)
        daemon.worker_after(worker)
        daemon.reload({"web": route(place, timeout={"connect": "4s"})})
        daemon.write({"web": route(place, unit="nonsense")})
        assert daemon.ctl_run("reload").returncode == 1
        daemon.write({"web": route(place)})
        daemon.ctl("reload")
        daemon.signal(signal.SIGUSR2)
        until("it is upgraded", lambda: daemon.status()["worker"]["starts"]["upgrade"] == 1)
        holds("it is in use", lambda: manager.calls() == ["start " + UNIT], STILL)
        clients[0].sendall(b"on")
        clients[0].close()
        running.end()
        manager.told("start " + UNIT, "stop " + UNIT)
        until("it is known to be down", lambda: unit(daemon)["state"] == "not running")
        running.close()
        # And from the beginning.
        sock = client(place)
        manager.told("start " + UNIT, "stop " + UNIT, "start " + UNIT)
        last(place, app(), sock)
        manager.told(*["start " + UNIT, "stop " + UNIT] * 2)


def test_who_does_not_run_yet_is_not_ill(place, manager, app):
    """Its health is checked while the unit runs; before, a client starts it."""
    first = {**route(place, idle=None)["target"], "health": {"interval": "100ms", "fall": 1}}
    second = {"family": "unix", "path": os.path.join(place, "nobody"), "name": "nobody", "health": {"interval": "100ms", "fall": 1}}
    routes = {"web": {"listen": "unix://" + os.path.join(place, "front"), "target": (first, second), "retry": {"total": "60s"}}}
    with Daemon(routes) as daemon:
        until("the other is ill", lambda: target(daemon, "nobody")["check"]["state"] == "down")
        sock = client(place)
        manager.told("start " + UNIT)
        assert target(daemon)["check"]["checks"] == 0
        running = app()
        until("it is checked, too", lambda: target(daemon)["check"]["state"] == "up")
        assert target(daemon)["unit"]["state"] == "running" and not target(daemon)["downs"]
        sock.close()
        running.end()


def test_a_worker_that_dies_while_it_starts(place, manager, app):
    with Daemon({"web": route(place, idle=None)}) as daemon:
        clients = [client(place) for _ in range(3)]
        for _ in range(3):
            worker = daemon.worker
            os.kill(worker, signal.SIGKILL)
            daemon.worker_after(worker)
        manager.told("start " + UNIT)
        daemon.reload()
        running = app()
        served_all(running, clients)
        for sock in clients:
            sock.close()
        running.end()
        # Without idle_stop it goes on.
        holds("it is not stopped", lambda: manager.calls() == ["start " + UNIT], STILL)


def test_one_that_runs_already_is_neither_started_nor_stopped(place, manager, app):
    """Be it that a keeper before has started it, whose ledger is gone."""
    manager.write(OTHER, "active")
    first = Daemon({"web": route(place)})
    first.start()
    try:
        sock = client(place)
        manager.told("start " + UNIT)
    finally:
        first.kill()
    sock.close()
    with Daemon({"web": route(place), "more": route(place, front="back", name="other", unit=OTHER)}) as daemon:
        for name, front in (("app", "front"), ("other", "back")):
            sock = client(place, front=front)
            until("it is seen to run", lambda: unit(daemon, name)["state"] == "running")
            last(place, app(name), sock)
        holds("nobody asks for more", lambda: manager.calls() == ["start " + UNIT], STILL)
        assert not unit(daemon)["started"]


def test_two_targets_of_one_unit(place, manager, app):
    routes = {"web": route(place), "more": route(place, front="back", name="other", idle="2s")}
    with Daemon(routes):
        both = client(place), client(place, front="back")
        manager.told("start " + UNIT)
        apps = app(), app("other")
        served(place, apps[0], both[0]).close()
        apps[0].end()
        served(place, apps[1], both[1])
        holds("the other one uses it", lambda: manager.calls() == ["start " + UNIT], STILL)
        both[1].close()
        apps[1].end()
        manager.told("start " + UNIT, "stop " + UNIT)


def test_a_target_that_a_reload_takes_away(place, manager, app):
    """Its unit is still ours, and is stopped."""
    with Daemon({"web": route(place)}) as daemon:
        sock = client(place)
        manager.told("start " + UNIT)
        running = app()
        served(place, running, sock)
        daemon.reload({"other": {"listen": "unix://" + os.path.join(place, "back"), "target": "unix://" + os.path.join(place, "app")}})
        sock.close()
        running.end()
        manager.told("start " + UNIT, "stop " + UNIT)


def test_who_comes_while_it_stops_waits_for_the_next(place, manager, app):
    with Daemon({"web": route(place)}) as daemon:
        sock = client(place)
        manager.told("start " + UNIT)
        old = app()
        last(place, old, sock)
        manager.write(UNIT + ".slow", "")
        manager.told("start " + UNIT, "stop " + UNIT)
        sock = client(place)
        old.sock.settimeout(0.5)
        with pytest.raises(socket.timeout):
            old.take()
        assert unit(daemon)["state"] == "stopping"
        old.close()
        manager.write(UNIT, "inactive")
        manager.told("start " + UNIT, "stop " + UNIT, "start " + UNIT)
        last(place, app(), sock)
        manager.write(UNIT, "active")
        manager.told(*["start " + UNIT, "stop " + UNIT] * 2)
        manager.write(UNIT, "inactive")


def test_another_member_serves_meanwhile(place, manager, app):
    """And the unit's own target is not down when it is there."""
    manager.write(OTHER, "inactive")
    pool = route(place, unit=OTHER)
    pool["target"] = (pool["target"], {"family": "unix", "path": os.path.join(place, "other"), "name": "other"})
    other = app("other")
    with Daemon({"web": pool}) as daemon:
        for _ in range(8):
            last(place, other)
        manager.told("start " + OTHER)
        assert target(daemon)["downs"] == 0
        running = app()
        clients = [client(place) for _ in range(2)]
        for serving in (running, other):
            serving.take()
        for sock in clients:
            hears(sock)
            sock.close()
        other.end()
        running.end()
        assert target(daemon)["downs"] == 0


# ---- messages ----


def test_a_datagram_waits_for_its_target(place, manager):
    """Nobody is told by connect(2) that he is not there: what the client says first arrives all the same."""
    port, front = harness.free_port(), harness.free_port()
    routes = {"dns": {"listen": f"udp4://127.0.0.1:{front}", "retry": {"total": "60s"},
                      "target": {"family": "inet", "type": "dgram", "host": "127.0.0.1", "port": port, "unit": UNIT}}}
    with Daemon(routes), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        sock.settimeout(harness.PATIENCE)
        server.settimeout(harness.PATIENCE)
        manager.write(UNIT + ".slow", "")
        sock.connect(("127.0.0.1", front))
        sock.send(b"first")
        manager.told("start " + UNIT)
        server.bind(("127.0.0.1", port))
        manager.write(UNIT, "active")
        message, peer = server.recvfrom(100)
        assert message == b"first"
        server.sendto(b"answer", peer)
        assert sock.recv(100) == b"answer"


# ---- where it cannot be ----


def refused(place, daemon, what):
    """The client's session ends, and its line, the log and the status say why."""
    with client(place) as sock:
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(1) == b""
    until("the log says so", lambda: f"unit {UNIT} cannot be started: {what}" in daemon.log())
    until("the session's line says so", lambda: f"; unit {UNIT} cannot be started: {what}" in daemon.log())
    assert f"unit {UNIT} cannot be started: {what}" in daemon.status()["verdict"]
    assert unit(daemon)["state"] == "refused" and what in unit(daemon)["problem"]


def test_no_bus(place, monkeypatch):
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=" + os.path.join(place, "nowhere"))
    with Daemon({"web": route(place, total="1s")}) as daemon:
        refused(place, daemon, "systemd cannot be reached over D-Bus")


def test_denied_until_it_is_not(place, manager, app):
    manager.write("denied", "")
    with Daemon({"web": route(place, total="1s")}) as daemon:
        refused(place, daemon, "access is denied; install a polkit rule")
        assert not unit(daemon)["started"]
        os.unlink(manager.file("denied"))
        os.unlink(manager.file("calls"))
        daemon.reload({"web": route(place)})
        sock = client(place)
        manager.told("start " + UNIT)
        last(place, app(), sock)
        until("all is well", lambda: daemon.status()["verdict"] == "OK")
        manager.told("start " + UNIT, "stop " + UNIT)


def test_no_such_unit(place, manager):
    os.unlink(manager.file(UNIT))
    with Daemon({"web": route(place, total="1s")}) as daemon:
        refused(place, daemon, "there is no such unit")


def test_one_that_ends_at_once(place, manager):
    """It is not started again and again."""
    with Daemon({"web": route(place, idle=None)}) as daemon:
        with client(place):
            manager.told("start " + UNIT)
            manager.write(UNIT, "failed")
            until("the status says so", lambda: "it has ended right after its start" in daemon.status()["verdict"])
            assert manager.calls() == ["start " + UNIT]
