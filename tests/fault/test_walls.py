# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the processes of the daemon have renounced, whoever started it and whatever has happened to it since."""

import os
import signal

import pytest

import harness
from harness import Daemon, Endpoint, until


def status_words(pid, name):
    """What the kernel says under this name, of each thread."""
    found = set()
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/status", encoding="utf-8") as file:
            found.update(line.split()[1] for line in file if line.startswith(name + ":"))
    return found


def new_worker(daemon, act):
    before = daemon.worker
    act(before)
    daemon.worker_after(before)
    until("the heir works", lambda: daemon.ctl_run("status").returncode in (0, 1))


@pytest.mark.parametrize("user", [None, "nobody"])
def test_no_process_gains_privileges(place, user):
    """At a start as anybody, after a crash, a reload, and an upgrade, which runs a program."""
    if user and os.geteuid() != 0:
        raise harness.Skip("only root can become somebody else")
    front, back = Endpoint("inet", place), Endpoint("inet", place)
    routes = {"r": {"listen": front, "target": back}}
    happenings = [
        lambda worker: None,
        lambda worker: os.kill(worker, signal.SIGKILL),
        lambda worker: daemon.reload({**routes, "s": {"listen": Endpoint("inet", place), "target": back}}),
        lambda worker: daemon.ctl("upgrade"),
    ]
    daemon = Daemon(routes, settings={"user": user} if user else None)
    daemon.control = daemon.settings["control"]["path"] = os.path.join(place, "made", "control.sock")
    daemon.write()
    with back.listen(), daemon:
        for number, happen in enumerate(happenings):
            if number:
                new_worker(daemon, happen)
            for pid in (daemon.keeper, daemon.worker):
                assert status_words(pid, "NoNewPrivs") == {"1"}, f"process {pid}, after happening {number}"


def test_a_daemon_without_a_keeper(place, monkeypatch):
    # Its worker ends without freeing what only the end of the process frees.
    monkeypatch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
    front, back = Endpoint("inet", place), Endpoint("inet", place)
    routes = {"r": {"listen": front, "target": back}}
    with back.listen(), Daemon(routes, single=True, unrest="its keeper and its worker are one process") as daemon:
        assert status_words(daemon.keeper, "NoNewPrivs") == {"1"}
