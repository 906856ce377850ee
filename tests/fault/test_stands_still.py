# SPDX-License-Identifier: LGPL-2.1-or-later
"""What may befall a daemon from outside, and hurts none of its sessions: a keeper that is stopped for a while, also as its worker dies; memory
that runs out; a second daemon that is started on the same file."""

import contextlib
import os
import signal
import socket
import subprocess
import threading

import pytest

import harness
from harness import Daemon, Endpoint, until
from test_sandbox import Captive, captive  # noqa: F401


class Talk:
    """A client and its server, through the daemon."""

    def __init__(self, front, listener):
        self.client = front.connect()
        self.server, _ = listener.accept()
        for end in (self.client, self.server):
            end.settimeout(harness.PATIENCE)

    def goes_on(self):
        for one, other in ((self.client, self.server), (self.server, self.client)):
            one.sendall(b"word")
            assert other.recv(10) == b"word"
        return True

    def close(self):
        self.client.close()
        self.server.close()


@pytest.fixture
def day(place):
    front, back = Endpoint("inet", place), Endpoint("unix", place)
    with back.listen() as listener, Daemon({"r": {"listen": front, "target": back}}) as daemon:
        talks = [Talk(front, listener)]
        yield daemon, talks, lambda: talks.append(Talk(front, listener)) or talks[-1]
        for talk in talks:
            talk.close()


def test_a_keeper_that_stands_still(day):
    """Nobody looks after the worker, who needs nobody: sessions go on, and new ones come. A reload waits."""
    daemon, talks, another = day
    keeper, worker = daemon.keeper, daemon.worker
    os.kill(keeper, signal.SIGSTOP)
    try:
        assert talks[0].goes_on() and another().goes_on()
        asked = threading.Thread(target=lambda: daemon.ctl_run("reload"))
        asked.start()
        assert talks[0].goes_on()
    finally:
        os.kill(keeper, signal.SIGCONT)
    asked.join()
    assert daemon.status()["reload"]["ok"] is True
    assert all(talk.goes_on() for talk in talks) and (daemon.keeper, daemon.worker) == (keeper, worker)


def test_a_worker_dies_while_the_keeper_stands_still(day):
    daemon, talks, another = day
    keeper, worker = daemon.keeper, daemon.worker
    os.kill(keeper, signal.SIGSTOP)
    try:
        os.kill(worker, signal.SIGKILL)
        talks[0].client.sendall(b"said to nobody yet")
    finally:
        os.kill(keeper, signal.SIGCONT)
    daemon.worker_after(worker)
    assert talks[0].server.recv(100) == b"said to nobody yet"
    assert talks[0].goes_on() and another().goes_on() and daemon.keeper == keeper


def test_both_stand_still(day):
    """As on a machine that slept: nobody is taken for hung when it goes on."""
    daemon, talks, another = day
    keeper, worker = daemon.keeper, daemon.worker
    os.kill(keeper, signal.SIGSTOP)
    os.kill(worker, signal.SIGSTOP)
    talks[0].client.sendall(b"sleep well")
    os.kill(worker, signal.SIGCONT)
    os.kill(keeper, signal.SIGCONT)
    assert talks[0].server.recv(100) == b"sleep well"
    assert talks[0].goes_on() and another().goes_on() and (daemon.keeper, daemon.worker) == (keeper, worker)


def score(pid):
    with open(f"/proc/{pid}/oom_score_adj", encoding="utf-8") as file:
        return int(file.read())


def test_the_worker_is_the_one_to_die_of_no_memory(day):
    """It has an heir, each time anew; the keeper has none."""
    daemon, talks, _ = day
    for _ in range(3):
        worker = daemon.worker
        until("it is before the keeper", lambda pid=worker: score(pid) == min(1000, score(daemon.keeper) + 100))
        os.kill(worker, signal.SIGKILL)
        daemon.worker_after(worker)
        assert talks[0].goes_on()


class Memory:
    """A control group that allows so much, for some processes: cgroups(7), of either version."""

    def __init__(self, limit):
        first, second = "/sys/fs/cgroup/memory", "/sys/fs/cgroup"
        old = os.path.exists(f"{first}/memory.limit_in_bytes")
        self.path = os.path.join(first if old else second, f"spliced-test-{os.getpid()}")
        try:
            os.mkdir(self.path)
            with open(os.path.join(self.path, "memory.limit_in_bytes" if old else "memory.max"), "w", encoding="utf-8") as file:
                file.write(str(limit))
        except OSError as error:
            pytest.skip(f"no memory control group to be had: {error}")

    def take(self, pid):
        with open(os.path.join(self.path, "cgroup.procs"), "w", encoding="utf-8") as file:
            file.write(str(pid))

    def give_back(self, keeper):
        """The keeper and all that it has started, until there are no more."""
        def are_gone():
            with open(os.path.join(self.path, "cgroup.procs"), encoding="utf-8") as file:
                pids = file.read().split()
            for pid in [str(keeper), *pids]:
                with contextlib.suppress(OSError), open(os.path.join(os.path.dirname(self.path), "cgroup.procs"), "w",
                                                        encoding="utf-8") as file:
                    file.write(pid)
            return not pids

        until("nobody is in the group", are_gone)

    def close(self):
        until("nobody is in it", self.remove)

    def remove(self):
        try:
            os.rmdir(self.path)
        except OSError:
            return False
        return True


def test_memory_runs_out(captive):
    """The worker takes more than there may be: the kernel kills it, and its sessions go on with the next."""
    if os.geteuid():
        pytest.skip("control groups take root")
    with Captive(captive) as route:
        daemon = route.daemon
        memory, keeper, worker = Memory(96 << 20), daemon.keeper, daemon.worker
        with route.front.connect() as client, route.ends[1].accept()[0] as server:
            for end in (client, server):
                end.settimeout(harness.PATIENCE)
            try:
                for pid in (keeper, worker):
                    memory.take(pid)
                route.tell("eat")
                daemon.worker_after(worker)
            finally:
                memory.give_back(keeper)
            client.sendall(b"word")
            assert server.recv(10) == b"word"
        assert daemon.keeper == keeper and "died of signal 9" in daemon.log()
        route.serves()
        memory.close()


@pytest.mark.parametrize("control", ("the same", "another"))
def test_a_second_daemon_on_the_file(day, control):
    """It says why it cannot start, and takes nothing away: not the control socket, nor an address, nor the file of a socket."""
    daemon, talks, another = day
    path = daemon.file
    if control == "another":
        path = daemon.file + ".second"
        with open(daemon.file, encoding="utf-8") as file, open(path, "w", encoding="utf-8") as second:
            second.write(file.read().replace(daemon.control, daemon.control + ".2"))
    done = subprocess.run([harness.spliced(), "-c", path], capture_output=True, text=True, timeout=harness.PATIENCE * 3, check=False)
    assert done.returncode, "a second one runs"
    wanted = "another spliced listens" if control == "the same" else "Address already in use"
    assert wanted in done.stderr, done.stderr
    assert daemon.status()["verdict"] == "OK" and talks[0].goes_on() and another().goes_on()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(daemon.control)
