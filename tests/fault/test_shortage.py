# SPDX-License-Identifier: LGPL-2.1-or-later
"""Out of descriptors or memory: listeners pause, nothing spins, and all goes on when there is some again."""

import os
import resource
import signal
import time

import pytest

import harness
from harness import Daemon, Endpoint, Injected, Running, Serve, peers_run

SPIN = 0.3        # CPU seconds a second that are too many for a daemon that can do nothing
THREADS = 4       # of a worker: its main one, two that relay, the clerk
CALLS_MAX = 150   # a second and client: a failing call may be tried again so often, no more


@pytest.fixture
def joined(place):
    """A daemon between TCP and UNIX, with a server behind it."""
    front, back = Endpoint("inet", place), Endpoint("unix", place)
    with Serve(back), Daemon({"r": {"listen": front, "target": back, "retry": {"max_backoff": "100ms"}}}) as daemon:
        yield daemon, front


def works(front, sessions=20):
    count, status = peers_run("swarm", "--to", front, "--sessions", sessions, "--parallel", 4)
    assert status == 0, count


def cpu_share(pid, seconds):
    """CPU seconds a second that a process takes."""
    start, before = time.monotonic(), harness.cpu_seconds(pid)
    time.sleep(seconds)
    return (harness.cpu_seconds(pid) - before) / (time.monotonic() - start)


class Lowered:
    """The worker may open so many descriptors more, and no more; then as before."""

    def __init__(self, pid, spare):
        self.pid = pid
        self.old = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        self.new = (max(harness.descriptors(pid)) + 1 + spare, self.old[1])

    def __enter__(self):
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, self.new)

    def __exit__(self, *exception):
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, self.old)


@pytest.mark.parametrize("spare", range(6))
def test_no_descriptor_left(joined, spare):
    """EMFILE wherever it may come: at the accept, the connect's socket, the pipe."""
    daemon, front = joined
    works(front)
    holes = len(range(max(harness.descriptors(daemon.worker)) + 1)) - len(harness.descriptors(daemon.worker))
    with Lowered(daemon.worker, spare):
        # As many as fill the holes and the spare ones, and then some.
        clients = [front.connect() for _ in range(holes + spare + 10)]
        for client in clients:
            client.sendall(b"no request, but bytes on their way")
        assert cpu_share(daemon.worker, 0.5) < SPIN
        for client in clients:
            client.close()
    works(front)


def test_a_worker_dies_when_no_descriptor_is_left(joined):
    """Its heir needs none to find out what nobody owns: what the dead worker had is enough to begin with."""
    daemon, front = joined
    works(front)
    clients = [front.connect() for _ in range(40)]
    for client in clients:
        client.sendall(b"no request, but bytes on their way")
    harness.until("all are relayed", lambda: len(daemon.sessions()) == len(clients))
    before = resource.prlimit(daemon.keeper, resource.RLIMIT_NOFILE)
    for _ in range(3):
        worker, used = daemon.worker, harness.descriptors(daemon.keeper)
        none_left = next(number for number in range(len(used) + 1) if number not in used)
        for pid in (daemon.keeper, worker):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (none_left, before[1]))
        os.kill(worker, signal.SIGKILL)
        heir = daemon.worker_after(worker)
        harness.until("the heir has its threads", lambda: len(os.listdir(f"/proc/{heir}/task")) == THREADS)
        for pid in (daemon.keeper, heir):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        assert len(daemon.sessions()) == len(clients)
    # One that has known no other limit than this.
    os.kill(heir, signal.SIGKILL)
    daemon.worker_after(heir)
    for client in clients[::2]:
        client.close()
    works(front)
    for client in clients:
        client.close()


def test_waiting_clients_are_served_when_there_are_some_again(joined):
    daemon, front = joined
    works(front)
    swarm = None
    with Lowered(daemon.worker, 0):
        held = [front.connect() for _ in range(100)]
        swarm = Running("swarm", "--to", front, "--sessions", 20, "--parallel", 20)
        assert cpu_share(daemon.worker, 0.5) < SPIN
        for client in held:
            client.close()
    count, _ = swarm.finish(harness.PATIENCE * 3)
    # Those that were accepted and then found no socket for their target may have been reset; none may hang or be wrong.
    assert count["timeout"] == count["corrupt"] == count["lost"] == 0 and count["ok"] > 0, count
    works(front)


def test_a_low_limit_from_the_start(place):
    front, back = Endpoint("inet", place), Endpoint("unix", place)
    with Serve(back), Daemon({"r": {"listen": front, "target": back}}, limit_nofile=64):
        works(front)
        count, status = peers_run("swarm", "--to", front, "--sessions", 300, "--parallel", 60)
        assert status == 0, count


# What happens a few times and then no more. `survives`: no session may even notice.
FEW = [("accept4", "EMFILE", True), ("accept4", "ENFILE", True), ("accept4", "ENOMEM", True),
       ("accept4", "ENOBUFS", True), ("accept4", "ECONNABORTED", True), ("accept4", "EINTR", True),
       ("accept4", "EPERM", True), ("socket", "EMFILE", False), ("socket", "ENFILE", False),
       ("socket", "ENOBUFS", False), ("pipe2", "EMFILE", True), ("pipe2", "ENFILE", True), ("pipe2", "ENOMEM", True),
       ("splice", "EINTR", True), ("splice", "ENOMEM", False),
       ("connect", "EADDRNOTAVAIL", True), ("epoll_ctl", "ENOMEM", False), ("epoll_wait", "EINTR", True),
       ("fcntl", "EPERM", True)]


@pytest.mark.parametrize("call,error,survives", FEW, ids=[f"{call}-{error}" for call, error, _ in FEW])
def test_a_call_that_fails_a_few_times(joined, call, error, survives):
    daemon, front = joined
    worker = daemon.worker
    with Injected(daemon, call, f"error={error}:when=1..8"):
        count, status = peers_run("swarm", "--to", front, "--sessions", 60, "--parallel", 8, "--timeout-ms", 8000,
                                  *([] if survives else ["--expect-loss"]))
        if survives:
            assert status == 0, count
        assert count["timeout"] == count["corrupt"] == count["lost"] == count["refused"] == 0, count
    assert daemon.worker == worker, "the worker died of it"
    works(front)


@pytest.mark.parametrize("call", ("accept4", "socket", "pipe2"))
def test_a_call_that_always_fails(joined, call):
    """Nothing spins meanwhile, and afterwards all goes on."""
    daemon, front = joined
    worker = daemon.worker
    seconds = 1.0
    with Injected(daemon, call, "error=EMFILE:when=1+") as injected:
        clients = [front.connect() for _ in range(4)]
        for client in clients:
            client.sendall(b"bytes on their way")
        harness.until(f"{call} fails", injected.calls, 3)
        before = injected.calls()
        time.sleep(seconds)
        assert injected.calls() - before < CALLS_MAX * seconds * len(clients)
        assert harness.process_state(worker) in "St", "it runs though it can do nothing"
        for client in clients:
            client.close()
    assert daemon.worker == worker, "the worker died of it"
    works(front)
