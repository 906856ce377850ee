# SPDX-License-Identifier: LGPL-2.1-or-later
"""Descriptors that come in with messages: the most that the kernel allows, to every UNIX row as front and as target, whose far end reads at
once, reads late, or comes late; over a reload and a kill. None of them is ever open in the daemon, and each message that brought some is
counted, once."""

import array
import contextlib
import os
import signal
import socket
import sys
import tempfile

import pytest

import harness
from harness import Daemon, holds, until
from messages import STREAMS, End, route

ROWS = ("unix-dgram", "unix-seqpacket", "unix")
FAR_ENDS = ("reads", "reads-late", "comes-late")
MOST = 253     # SCM_MAX_FD of the kernel
MESSAGES = 3   # a round: three rounds fit into the 10 places of a UNIX datagram socket's queue, net.unix.max_dgram_qlen


class Carrier:
    """What is sent along: a file that the daemon could not have open otherwise."""

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile(prefix="carried-")
        self.control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [self.file.fileno()] * MOST))]

    def is_open_in(self, daemon):
        return self.file.name in harness.descriptors(daemon.keeper).values()


class Talk:
    """A route, its client and what is at its far end; `carried`: messages with descriptors that went into message sockets of the daemon's."""

    def __init__(self, name, front, back, far_end):
        self.name, self.front, self.back, self.far_end = name, front, back, far_end
        self.client = self.server = self.far = None
        self.sent = self.carried = 0

    def __enter__(self):
        self.client = self.front.client()
        self.sent = self.carried = 0
        if self.far_end != "comes-late":
            self.server = self.back.server()
        return self

    def __exit__(self, *exception):
        for one in (self.client, self.far, self.server):
            if one:
                one.close()
        self.client = self.far = self.server = None
        if os.path.exists(self.back.path):
            os.unlink(self.back.path)

    def say(self, wire, data, control):
        """Whether it went, on a stream in two pieces: a queue may be full."""
        framed = len(data).to_bytes(2, "big") + data
        try:
            for part in (framed[:1], framed[1:]) if wire.kind in STREAMS else (data,):
                wire.sock.sendmsg([part], control, socket.MSG_DONTWAIT)
        except OSError:
            return False
        self.carried += bool(control) and wire.kind not in STREAMS
        return True

    def round(self, control):
        if self.far_end == "reads":
            for number in range(MESSAGES):
                self.ask(b"%d" % number, control)
        else:
            self.sent += sum(self.say(self.client, b"%d" % number, control) for number in range(MESSAGES))

    def accept(self):
        """The far end of the session, once something was said."""
        if self.far:
            return
        if self.back.is_datagram:
            self.far = self.back.wire(self.server.dup())
            return
        self.server.settimeout(harness.PATIENCE)
        self.far = self.back.wire(self.server.accept()[0])

    def hear(self):
        """What comes to the far end, which then answers whoever said it."""
        if not self.back.is_datagram:
            return self.far.hear(), None
        return self.far.sock.recvfrom(1 << 16)

    def ask(self, data, control):
        assert self.say(self.client, data, control)
        self.accept()
        heard, peer = self.hear()
        assert heard == data
        if peer:
            self.far.sock.sendmsg([data], control, 0, peer)
            self.carried += bool(control)
        else:
            assert self.say(self.far, data, control)
        assert self.client.hear() == data

    def finish(self):
        """Who is late hears all that waits for him."""
        if self.far_end == "reads":
            return
        self.server = self.server or self.back.server()
        self.accept()
        for _ in range(self.sent):
            self.hear()


class Routes:
    def __init__(self, directory):
        self.talks = [self.talk(directory, front, back, far_end) for front in ROWS for back in ROWS for far_end in FAR_ENDS]
        self.routes = {talk.name: {"listen": talk.front.framed, "target": talk.back.framed,
                                   "retry": {"total": "10min", "attempts": 100000, "max_backoff": "200ms"}} for talk in self.talks}

    @staticmethod
    def talk(directory, front, back, far_end):
        return Talk(f"{front}-to-{back}-{far_end}", End(front, directory), End(back, directory), far_end)


def kill_sessions(daemon):
    """Those that there were."""
    sessions = daemon.sessions()
    for one in sessions:
        daemon.ctl_run("kill", one["id"])
    return sessions


def exchange(daemon, routes, control):
    """Rounds of messages on all routes, with a reload and a kill among them; afterwards no session is left. Yields while messages wait, and
    when all have been heard."""
    with contextlib.ExitStack() as stack:
        talks = [stack.enter_context(talk) for talk in routes.talks]
        for talk in talks:
            talk.round(control)
        daemon.reload()
        for talk in talks:
            talk.round(control)
        daemon.at_rest(parts=("cpu",))  # a message in hand would come twice
        worker = daemon.worker
        os.kill(worker, signal.SIGKILL)
        daemon.worker_after(worker)
        for talk in talks:
            talk.round(control)
        yield
        for talk in talks:
            talk.finish()
        yield
    until("no session is left", lambda: not kill_sessions(daemon))


def open_now(daemon):
    """How many are open, but for pipes, of which the threads keep some for the next session: none is sent."""
    return sum(not link.startswith("pipe:") for link in harness.descriptors(daemon.keeper).values())


@pytest.fixture
def place():
    with tempfile.TemporaryDirectory(prefix="carried-") as directory:
        os.chmod(directory, 0o755)
        yield directory


def test_none_of_them_stays(place):
    """As many descriptors are open afterwards as after the same messages without any."""
    routes, carrier = Routes(place), Carrier()
    with Daemon(routes.routes, {"log": {"to": "stderr", "level": "warning"}}) as daemon:
        for _ in exchange(daemon, routes, []):
            assert not any(route(daemon, talk.name)["descriptors"] for talk in routes.talks)
        daemon.at_rest()
        before = open_now(daemon)
        for _ in exchange(daemon, routes, carrier.control):
            holds("none of them is open", lambda: not carrier.is_open_in(daemon), 0.2)
        for talk in routes.talks:
            assert route(daemon, talk.name)["descriptors"] == talk.carried, talk.name
        daemon.at_rest()
        assert open_now(daemon) == before


TALKATIVE = """import os, socket, sys
SO_PASSSEC, SO_PASSPIDFD, SO_TIMESTAMP = 34, 76, 29
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for option in (socket.SO_PASSCRED, SO_PASSSEC, SO_PASSPIDFD, SO_TIMESTAMP):
    try:
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
    except OSError:
        pass
sock.bind(sys.argv[1])
os.dup2(os.dup(sock.fileno()), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="passed")
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_a_passed_socket_tells_of_descriptors_alone(place):
    """One that was to tell of credentials, time stamps, labels and the sender's pidfd: no pidfd comes in, and only what had descriptors
    is counted."""
    front, back, carrier = End("unix-dgram", place), End("unix-dgram", place), Carrier()
    daemon = Daemon({"passed": {"listen": "fd://passed", "target": back.text}}, wrap=[sys.executable, "-c", TALKATIVE, front.path])
    with daemon, Talk("passed", front, back, "reads") as talk:
        daemon.wrap = []  # it has become the daemon
        talk.round([])
        daemon.at_rest()
        before = open_now(daemon)
        talk.round([])
        talk.round(carrier.control)
        assert route(daemon, "passed")["descriptors"] == talk.carried == 2 * MESSAGES
        daemon.at_rest()
        assert open_now(daemon) == before
