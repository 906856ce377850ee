# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the processes of the daemon have renounced, whoever started it and whatever has happened to it since."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

import harness
import programs
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


# ---- hidden from others of the same user ----

ATTEMPTS = """
import ctypes, os, sys
pid = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206
def call(name, *arguments):
    if libc[name](*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)
buffer = ctypes.create_string_buffer(8)
class Part(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]
local, remote = Part(ctypes.addressof(buffer), 8), Part(4096, 8)
attempts = {
    "mem": lambda: os.open(f"/proc/{pid}/mem", os.O_RDONLY),
    "environ": lambda: os.open(f"/proc/{pid}/environ", os.O_RDONLY),
    "fd": lambda: os.listdir(f"/proc/{pid}/fd"),
    "seize": lambda: call("ptrace", PTRACE_SEIZE, pid, None, None),
    "pidfd_getfd": lambda: call("syscall", 438, os.pidfd_open(pid), 0, 0),
}
for name, attempt in attempts.items():
    try:
        attempt()
        print(name, "done")
    except OSError as error:
        print(name, error.errno)
"""


def as_nobody(*command):
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]


def try_all(pid):
    """{what another process of nobody tries on this one: errno, or "done"}."""
    done = subprocess.run(as_nobody(sys.executable, "-c", ATTEMPTS, str(pid)), capture_output=True, text=True, check=True,
                          timeout=harness.PATIENCE)
    return dict(line.split() for line in done.stdout.splitlines())


def is_for_developers():
    with open(harness.spliced(), "rb") as file:
        return b"__asan_init" in file.read()


def pids(daemon):
    """Of keeper and worker, by what the daemon says of itself; None between two workers."""
    done = daemon.ctl_run("status")
    if done.returncode not in (0, 1):
        return None
    status = json.loads(done.stdout)
    return status["keeper"]["pid"], status["worker"]["pid"]


def carries(front, listener):
    with front.connect() as client:
        server, _ = listener.accept()
        with server:
            client.sendall(b"ping")
            assert server.recv(9) == b"ping"
            server.sendall(b"pong")
            assert client.recv(9) == b"pong"


@pytest.mark.parametrize("root", [True, False])
def test_others_of_the_same_user_are_kept_out(place, root):
    """A daemon that root started, and that became nobody; and one that nobody started: neither memory nor descriptors are another's, and
    it works with what it opens of its own under /proc/self."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        raise harness.Skip("only root can become two of somebody else")
    if is_for_developers():
        raise harness.Skip("a build for developers can be looked into")
    os.chmod(place, 0o777)
    front, back = Endpoint("inet", place), Endpoint("inet", place)
    daemon = Daemon({"r": {"listen": front, "target": back}}, settings={"user": "nobody"} if root else None,
                    wrap=() if root else as_nobody())
    daemon.control = daemon.settings["control"]["path"] = os.path.join(place, "made", "control.sock")
    daemon.write()
    with back.listen() as listener, daemon:
        daemon.wrap = []  # setpriv has become the daemon
        before = until("it is there", lambda: pids(daemon))
        for happen in (None, lambda: os.kill(before[1], signal.SIGKILL), lambda: daemon.ctl("upgrade")):
            if happen:
                happen()
                before = until("an heir is there", lambda: (now := pids(daemon)) and now[1] != before[1] and now)
            carries(front, listener)
            for pid in before:
                found = try_all(pid)
                assert found and set(found.values()) <= {str(errno.EPERM), str(errno.EACCES)}, f"process {pid}: {found}"


def checker(keeper):
    """The child that checks the new program, and holds the ledger."""
    for child in harness.children(keeper):
        try:
            with open(f"/proc/{child}/cmdline", "rb") as file:
                if b"--adopts" in file.read().split(b"\0"):
                    return child
        except OSError:
            pass
    return None


def test_the_check_of_a_new_program_is_kept_from_others(place, monkeypatch):
    """It has the ledger and a plugin's code in it, and it is a program that has just been run."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        raise harness.Skip("only root can become two of somebody else")
    if is_for_developers():
        raise harness.Skip("a build for developers can be looked into")
    hold = os.path.join(place, "hold")
    plugins = harness.copy_families(place, "captive")
    monkeypatch.setenv("CAPTIVE_HOLD", hold)
    monkeypatch.setattr(programs, "plugin_dir", lambda: plugins)
    back = Endpoint("inet", place)
    feed = {"family": "captive", "host": "127.0.0.1", "port": harness.free_port(), "format": "obey"}
    daemon = Daemon({"r": {"listen": feed, "target": back}}, settings={"user": "nobody"})
    daemon.control = daemon.settings["control"]["path"] = os.path.join(place, "made", "control.sock")
    daemon.write()
    with back.listen(), daemon:
        before = until("it is there", lambda: pids(daemon))
        with open(hold, "w", encoding="utf-8"):
            pass
        with subprocess.Popen([harness.splicectl(), "-s", daemon.control, "upgrade"]) as upgrade:
            child = until("it checks", lambda: checker(before[0]))
            until("it is in the plugin", lambda: harness.process_state(child) == "S")
            found = try_all(child)
            os.unlink(hold)
            assert upgrade.wait(harness.PATIENCE) == 0, daemon.log()
        assert found and set(found.values()) <= {str(errno.EPERM), str(errno.EACCES)}, found
