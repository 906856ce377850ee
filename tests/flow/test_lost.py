# SPDX-License-Identifier: LGPL-2.1-or-later
"""A listening socket loses its place: its file, the file's directory, the interface that it is bound to. Status tells, the place is taken
again as soon as that can be, and who has a session keeps it."""

import os
import shutil
import signal
import socket
import subprocess

import pytest

import harness
from harness import Daemon, Endpoint, until
from messages import Echo, End, Wire

TYPES = {"stream": socket.SOCK_STREAM, "seqpacket": socket.SOCK_SEQPACKET, "dgram": socket.SOCK_DGRAM}
PATIENCE = 2 * harness.PATIENCE


class Client:
    """Somebody who is answered, as long as he is there."""

    def __init__(self, kind, path):
        self.socket = socket.socket(socket.AF_UNIX, TYPES[kind])
        self.socket.settimeout(PATIENCE)
        if kind == "dgram":
            self.socket.bind("")
        self.wire = Wire("unix" if kind == "stream" else f"unix-{kind}", self.socket)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)

    def ask(self, words):
        """A message that was in hand when a worker died may come twice."""
        self.wire.say(words)
        heard = self.wire.hear()
        while heard and heard != words:
            heard = self.wire.hear()
        return heard == words

    def close(self):
        self.socket.close()


class Course:
    def __init__(self, place, kind):
        self.kind, self.directory = kind, os.path.join(place, "d")
        os.mkdir(self.directory)
        self.path = os.path.join(self.directory, "front")
        listen = {"family": "unix", "type": kind, "path": self.path, "mode": "0600"}
        self.back = End("unix" if kind == "stream" else f"unix-{kind}", place)
        self.daemon = Daemon({"r": {"listen": listen, "target": str(self.back)}}, {"log": {"to": "stderr", "level": "info"}})

    def is_waiting(self):
        return "waits" in self.daemon.status()["verdict"]

    def is_taken_up(self):
        return os.path.exists(self.path) and not self.is_waiting() and self.answers()

    def answers(self):
        try:
            client = Client(self.kind, self.path)
        except OSError:
            return False
        try:
            return client.ask(b"new")
        except OSError:
            return False
        finally:
            client.close()


@pytest.fixture
def course(place, kind):
    course = Course(place, kind)
    with Echo(course.back), course.daemon:
        yield course


def change(daemon, what):
    worker = daemon.worker
    if what == "kill":
        os.kill(worker, signal.SIGKILL)
        daemon.worker_after(worker)
    elif what == "reload":
        daemon.reload({**daemon.routes, f"other{worker}": {"listen": f"unix://@lost-{os.getpid()}-{worker}", "target": "unix://@nobody"}})
    elif what == "upgrade":
        daemon.ctl("upgrade")


CHANGES = ("nothing", "kill", "reload", "upgrade")

# What waits, waits for seconds: each with each by hand.
ALL = bool(os.environ.get("SPLICED_LOST_ALL"))


def pairs(others, some):
    return [(kind, other) for kind in TYPES for other in others] if ALL else some


@pytest.mark.parametrize("kind,what", pairs(CHANGES, [*(("stream", what) for what in CHANGES), ("seqpacket", "kill"), ("dgram", "kill")]))
def test_a_file_is_removed(course, kind, what):
    early = Client(course.kind, course.path)
    assert early.ask(b"early")
    os.unlink(course.path)
    change(course.daemon, what)
    until("it is there again", course.is_taken_up, PATIENCE)
    assert early.ask(b"still here"), "the session was lost"
    early.close()
    if kind != "dgram":  # its session ends when it has been idle
        until("the old socket is gone", lambda: not [one for one in course.daemon.ctl("listeners")["listeners"] if one["state"] == "leaving"],
              PATIENCE)


@pytest.mark.parametrize("kind,what", pairs(CHANGES, [("stream", "upgrade"), ("seqpacket", "reload"), ("dgram", "kill")]))
def test_a_directory_is_removed(course, kind, what):
    early = Client(course.kind, course.path)
    assert early.ask(b"early")
    assert course.kind == kind
    shutil.rmtree(course.directory)
    until("status tells", course.is_waiting, PATIENCE)
    verdict = course.daemon.status()["verdict"]
    assert "r: " in verdict and "No such file or directory" in verdict, verdict
    change(course.daemon, what)
    assert early.ask(b"still here"), "the session was lost"
    os.mkdir(course.directory)
    until("it is there again", course.is_taken_up, PATIENCE)
    assert early.ask(b"still here"), "the session was lost"
    early.close()


@pytest.mark.parametrize("kind,other", pairs(("socket", "file"), [("stream", "socket"), ("seqpacket", "file"), ("dgram", "socket")]))
def test_another_stands_there(course, kind, other):
    """Whose it is, is not ours to say; when he has gone, we come back."""
    assert course.kind == kind
    early = Client(course.kind, course.path)
    assert early.ask(b"early")
    os.unlink(course.path)
    if other == "socket":
        theirs = socket.socket(socket.AF_UNIX)
        theirs.bind(course.path)
        theirs.listen(1)
    else:
        with open(course.path, "wb") as theirs:
            theirs.write(b"precious")
    before = os.lstat(course.path).st_ino
    until("status tells", course.is_waiting, PATIENCE)
    assert "Address already in use" in course.daemon.status()["verdict"]
    change(course.daemon, "kill")
    until("status still tells", course.is_waiting, PATIENCE)
    assert os.lstat(course.path).st_ino == before, "it was touched"
    theirs.close()
    if other == "file":
        os.unlink(course.path)
    until("it is there again", course.is_taken_up, PATIENCE)
    assert early.ask(b"still here"), "the session was lost"
    early.close()


def link(*words):
    done = subprocess.run(["ip", "link", *words], capture_output=True, text=True, check=False)
    if done.returncode and words[0] == "add":
        raise harness.Skip(f"no such interface here: {done.stderr.strip()}")


@pytest.mark.parametrize("what", CHANGES if ALL else ("nothing", "kill"))
def test_an_interface_is_made_anew(place, what):
    """Who is bound to the old one is bound to nothing."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        raise harness.Skip("needs root and ip(8)")
    name, port = f"lost{os.getpid() % 10000}", harness.free_port()
    address = "10.213.77.1"

    def make():
        link("add", name, "type", "veth", "peer", "name", name + "p")
        link("set", name, "up")
        subprocess.run(["ip", "address", "add", f"{address}/24", "dev", name], check=True)

    back = Endpoint("unix", place)
    listen = {"family": "inet", "host": address, "port": port, "interface": name}

    def listening_on():
        """The interface's number, of the socket that listens; none where it has gone."""
        done = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True, check=False).stdout
        return [line for line in done.splitlines() if f"%{name}:" in line]

    if not shutil.which("ss"):
        raise harness.Skip("needs ss(8)")
    try:
        make()
        with harness.Serve(back), Daemon({"r": {"listen": listen, "target": back}}) as daemon:
            until("it listens there", listening_on)
            link("delete", name)
            until("status tells", lambda: "No such device" in daemon.status()["verdict"], PATIENCE)
            change(daemon, what)
            make()
            until("it listens on the new one", listening_on, PATIENCE)
            until("status has nothing to tell", lambda: "r: " not in daemon.status()["verdict"], PATIENCE)
    finally:
        link("delete", name)
