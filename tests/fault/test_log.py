# SPDX-License-Identifier: LGPL-2.1-or-later
"""A log that nobody reads, that has no room, or whose reader was restarted: traffic and the keeper go on, what was lost is counted, and
told as soon as a line finds its way."""

import fcntl
import os
import shutil
import socket
import subprocess

import pytest

import harness
from harness import Daemon, Endpoint, Serve, peers_run, until

LINES = 3000  # more than the largest pipe or socket buffer here holds


class Logging(Daemon):
    """A daemon whose standard error is what the test says."""

    def __init__(self, routes, stderr, wrap=(), to="stderr"):
        super().__init__(routes, {"log": {"to": to, "level": "info"}})
        self.stderr = stderr
        self.prefix = list(wrap)

    def start(self):
        self.process = subprocess.Popen([*self.prefix, harness.spliced(), "-c", self.file], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=self.stderr, start_new_session=True)
        until("the daemon listens", self.ready)
        return self


@pytest.fixture
def ends(place):
    front, back = Endpoint("inet", place), Endpoint("unix", place)
    with Serve(back):
        yield front, {"r": {"listen": front, "target": back}}


def works(daemon, front, sessions=LINES):
    """Each session is a line of the log."""
    count, status = peers_run("swarm", "--to", front, "--sessions", sessions, "--parallel", 8)
    assert status == 0, count
    assert daemon.status()["sessions"]["total"] >= sessions
    daemon.ctl("reload")  # by the keeper, which logs too


def read_lines(fd):
    """All that is there now."""
    text = b""
    while True:
        try:
            part = os.read(fd, 1 << 16)
        except BlockingIOError:
            part = b""
        if not part:
            return text.decode().splitlines()
        text += part


def lost_in(lines):
    return sum(int(line.split(" lines of this log were lost")[0].rsplit(" ", 1)[1]) for line in lines if " lines of this log were lost" in line)


@pytest.mark.parametrize("kind", ("pipe", "stream", "datagram", "terminal"))
def test_nobody_reads(ends, kind):
    front, routes = ends
    if kind == "pipe":
        ours, theirs = os.pipe()
    elif kind == "terminal":
        ours, theirs = os.openpty()
    else:
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM)
        ours, theirs = one.detach(), other.detach()
    os.set_blocking(ours, False)
    try:
        with Logging(routes, theirs) as daemon:
            flags = fcntl.fcntl(theirs, fcntl.F_GETFL)
            works(daemon, front)
            assert daemon.status()["log_lost"] > 0
            assert fcntl.fcntl(theirs, fcntl.F_GETFL) == flags, "flags of a description that is shared with others were changed"
            kept = read_lines(ours)
            # As many threads as log tell of their own.
            works(daemon, front, 20)
            told = until("the losses are told", lambda: lost_in(kept) or kept.extend(read_lines(ours)))
        assert told > 0
        assert len([line for line in kept if "route r: " in line]) < LINES
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_full_disk(ends):
    front, routes = ends
    with open("/dev/full", "wb") as full, Logging(routes, full) as daemon:
        works(daemon, front, 50)
        os.kill(daemon.worker, 9)
        works(daemon, front, 50)
        assert daemon.status()["log_lost"] > 0


def test_syslogd_is_restarted(ends, place):
    front, routes = ends
    if os.geteuid():
        pytest.skip("takes root: /dev/log is put into a mount namespace of its own")
    path = os.path.join(place, "log")
    script = ("mount -t tmpfs tmpfs /dev && mknod -m 666 /dev/null c 1 3 && ln -s /proc/self/fd /dev/fd && ln -s %s /dev/log && "
              "exec \"$@\"") % path
    if not shutil.which("unshare") or subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", "true"], capture_output=True,
                                                     check=False).returncode:
        pytest.skip("no mount namespace with a /dev of its own here")

    def syslogd():
        if os.path.exists(path):
            os.unlink(path)
        reader = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        reader.bind(path)
        reader.settimeout(harness.PATIENCE)
        return reader

    reader = syslogd()
    with Logging(routes, subprocess.DEVNULL, ["unshare", "-m", "sh", "-c", script, "sh"], "syslog") as daemon:
        assert b"spliced[" in reader.recv(4096)
        reader.close()
        works(daemon, front, 5)  # to nobody
        reader = syslogd()
        works(daemon, front, 5)
        lines = [reader.recv(4096).decode()]
        until("a session is told of", lambda: any("route r: " in line for line in lines) or lines.append(reader.recv(4096).decode()))
        assert lost_in(lines) > 0
        os.kill(daemon.worker, 9)
        until("a death is told of", lambda: any("died of signal 9" in line for line in lines) or lines.append(reader.recv(4096).decode()))
    reader.close()
