# SPDX-License-Identifier: LGPL-2.1-or-later
"""Upgrade: the program's file as it is now takes over, with all sessions; what cannot take over changes nothing."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time

import pytest

import harness
import programs
from harness import Daemon, Running, Serve, until


@pytest.fixture
def program(monkeypatch):
    """A copy of the program, which a test may replace."""
    directory = tempfile.mkdtemp(prefix="program-")
    os.chmod(directory, 0o755)
    path = os.path.join(directory, "spliced")
    shutil.copy(harness.spliced(), path)
    monkeypatch.setattr(programs, "spliced", lambda: path)
    yield path
    shutil.rmtree(directory)


def replace(path, text):
    """As a package manager does: another file takes its place."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path + ".new", stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    os.rename(path + ".new", path)


def upgrades(daemon):
    return daemon.status()["worker"]["starts"]["upgrade"]


def routes(server, **more):
    port = harness.free_port()
    return port, {"r": {"listen": f"tcp4://127.0.0.1:{port}", "target": f"tcp4://127.0.0.1:{server.getsockname()[1]}", **more}}


class Session:
    """One TCP session, that is asked now and then whether it lives."""

    def __init__(self, port, server):
        self.client = socket.create_connection(("127.0.0.1", port))
        self.client.settimeout(harness.PATIENCE)
        self.server, _ = server.accept()

    def lives(self):
        for one, other in ((self.client, self.server), (self.server, self.client)):
            one.sendall(b"alive")
            assert other.recv(5, socket.MSG_WAITALL) == b"alive"

    def close(self):
        self.client.close()
        self.server.close()


def test_sessions_go_on(program):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port, route = routes(server)
        with Daemon(route) as daemon:
            session = Session(port, server)
            keeper = daemon.keeper
            for number in range(1, 4):
                shutil.copy(program, program + ".new")
                os.rename(program + ".new", program)
                assert daemon.ctl_run("upgrade").returncode == 0, daemon.log()
                session.lives()
                assert daemon.keeper == keeper and upgrades(daemon) == number
            descriptors = len(harness.descriptors(keeper))
            daemon.signal(signal.SIGUSR2)
            until("it is upgraded by a signal, too", lambda: upgrades(daemon) == 4)
            until("and has read its file", lambda: daemon.status()["reload"]["generation"] == 5)
            session.lives()
            assert len(harness.descriptors(keeper)) <= descriptors + 1, "none is left behind"
            session.close()


class Told(Daemon):
    """Its families are where the command line says, however that is written, and nowhere else."""

    def __init__(self, routes, words):
        super().__init__(routes, {"plugin_dir": "/nowhere"}, wait=False)
        self.words = words

    def start(self):
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([harness.spliced(), "-c", self.file, *self.words], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True)
        until("the daemon listens", self.ready)
        return self


@pytest.mark.parametrize("words", (("--plugin-dir", "{}"), ("--plugin-dir={}",), ("--plug={}",), ("--plugin-dir=/elsewhere", "--plugin-dir={}")))
def test_where_its_families_are(words):
    with socket.create_server(("127.0.0.1", 0)) as server:
        _, route = routes(server)
        with Told(route, [word.format(harness.plugin_dir()) for word in words]) as daemon:
            done = daemon.ctl_run("upgrade")
            assert done.returncode == 0 and upgrades(daemon) == 1, f"{done}{daemon.log()}"


def test_under_a_swarm():
    port, back = harness.free_port(), harness.free_port()
    with Serve(f"tcp://127.0.0.1:{back}"), Daemon({"r": {"listen": f"tcp4://127.0.0.1:{port}", "target": f"tcp4://127.0.0.1:{back}"}},
                                                   {"log": {"to": "stderr", "level": "warning"}}) as daemon:
        swarm = Running("swarm", "--to", f"tcp://127.0.0.1:{port}", "--parallel", 16, "--seconds", 4)
        while swarm.running():
            assert daemon.ctl_run("upgrade").returncode == 0, daemon.log()
            time.sleep(0.1)
        told, status = swarm.finish()
        assert status == 0, told
        assert upgrades(daemon) > 3 and daemon.status()["audit_failures"] == 0


@pytest.mark.parametrize("text, said", (("#!/bin/sh\necho no such library >&2; exit 127\n", "no such library"),
                                        ("not a program\n", "cannot run"), ("#!/bin/sh\nkill -SEGV $$\n", "signal 11")))
def test_a_program_that_cannot(program, text, said):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port, route = routes(server)
        with Daemon(route) as daemon:
            session = Session(port, server)
            replace(program, text)
            done = daemon.ctl_run("upgrade")
            assert done.returncode == 1 and said in done.stdout, done
            session.lives()
            session.close()
            Session(port, server).close()
            assert upgrades(daemon) == 0


def test_a_wrong_configuration():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port, route = routes(server)
        with Daemon(route) as daemon:
            session = Session(port, server)
            daemon.write(text="routes: { r: { listen = \"tcp4://127.0.0.1:nonsense\"; }; };")
            done = daemon.ctl_run("upgrade")
            assert done.returncode == 1 and "nonsense" in done.stdout, done
            assert upgrades(daemon) == 0
            session.lives()
            session.close()


def listening_sockets(port):
    with open("/proc/net/tcp", encoding="utf-8") as table:
        words = [line.split() for line in list(table)[1:]]
    return sum(one[3] == "0A" and int(one[1].rsplit(":", 1)[1], 16) == port for one in words)


def test_more_workers_and_sessions():
    """What a reload cannot change."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port, route = routes(server)
        with Daemon(route, {"workers": 1, "max_sessions": 50}) as daemon:
            session = Session(port, server)
            daemon.settings.update({"workers": 3, "max_sessions": 70})
            daemon.write()
            assert daemon.ctl_run("upgrade").returncode == 0, daemon.log()
            assert daemon.status()["sessions"]["limit"] == 70
            session.lives()
            session.close()
            until("each thread has a listening socket, and the one that was there has left", lambda: listening_sockets(port) == 3, 20)
            for _ in range(20):
                one = Session(port, server)
                one.lives()
                one.close()


def test_datagrams_and_a_reload_before():
    """A session of an earlier generation, a datagram session, and a worker that dies right after."""
    port = harness.free_port()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        sink.settimeout(harness.PATIENCE)
        stream_port, route = routes(server)
        route["u"] = {"listen": f"udp4://127.0.0.1:{port}", "target": f"udp4://127.0.0.1:{sink.getsockname()[1]}"}
        with Daemon(route) as daemon, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(("127.0.0.1", port))
            sender.send(b"one")
            _, first = sink.recvfrom(10)
            session = Session(stream_port, server)
            route["more"] = {"listen": f"tcp4://127.0.0.1:{harness.free_port()}", "target": "tcp4://127.0.0.1:1"}
            daemon.write(route)
            daemon.reload()
            for _ in range(2):
                assert daemon.ctl_run("upgrade").returncode == 0, daemon.log()
                sender.send(b"two")
                assert sink.recvfrom(10) == (b"two", first)
                session.lives()
            os.kill(daemon.worker, signal.SIGKILL)
            session.lives()
            session.close()
