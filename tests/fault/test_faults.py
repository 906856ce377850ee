# SPDX-License-Identifier: LGPL-2.1-or-later
"""Errors of the calls that move traffic. What the kernel lacks for a moment ends no session, and loses, repeats or cuts nothing; every
other error ends the session that it struck, at most."""

import os
import sys
import tempfile
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "flow"))

import gone  # noqa: E402
import harness  # noqa: E402
from gone import Kind, Place  # noqa: E402
from harness import Daemon, Injected  # noqa: E402

PAIRS = {"stream": ("inet", "unix"), "framed": ("inet+length16", "unix+length32"), "mixed": ("unix-seqpacket", "inet+length16"),
         "seqpacket": ("unix-seqpacket", "unix-seqpacket")}
SESSIONS = 6
MESSAGES = 60  # each way of a session

# By hand, SPLICED_FAULTS_ALL=1: more places.
ALL = bool(os.environ.get("SPLICED_FAULTS_ALL"))

# The first call, and then every so many: a shortage comes back.
WHENS = ("1+7", "1", "3+2") if ALL else ("1+7",)

SHORT = {"splice": ("EAGAIN", "EINTR", "ENOMEM", "ENOBUFS"), "writev": ("EAGAIN", "EINTR", "ENOMEM"),
         "sendmmsg": ("EAGAIN", "EINTR", "ENOMEM", "ENOBUFS"), "recvmsg": ("EAGAIN", "EINTR", "ENOMEM", "ENOBUFS"),
         "recvfrom": ("EAGAIN", "EINTR", "ENOMEM", "ENOBUFS"), "pipe2": ("EMFILE", "ENFILE", "ENOMEM"),
         "accept4": ("EAGAIN", "EINTR", "EMFILE", "ENFILE", "ENOMEM", "ENOBUFS"), "epoll_ctl": ("ENOMEM", "ENOSPC"),
         "socket": ("EMFILE", "ENFILE", "ENOMEM", "ENOBUFS"), "epoll_wait": ("EINTR",)}
USED = {"stream": ("splice", "pipe2", "accept4", "epoll_ctl", "socket", "epoll_wait"),
        "framed": ("splice", "writev", "recvfrom", "pipe2"), "mixed": ("recvmsg", "recvfrom", "sendmmsg", "writev", "splice"),
        "seqpacket": ("recvmsg", "recvfrom", "sendmmsg", "accept4", "epoll_ctl")}
PASSING = [(kind, call, error) for kind, calls in USED.items() for call in calls for error in SHORT[call]]

# What is no shortage, be it one that the manual of the call names.
FATAL = {"splice": ("EBADF", "EINVAL", "EPIPE", "ECONNRESET", "ETIMEDOUT", "EIO"), "writev": ("EINVAL", "EPIPE"),
         "sendmmsg": ("EACCES", "EINVAL", "EPIPE", "ECONNRESET", "EHOSTUNREACH"), "recvmsg": ("EINVAL", "ECONNRESET", "EIO"),
         "recvfrom": ("EINVAL", "ECONNRESET"), "accept4": ("ECONNABORTED", "EPERM", "EPROTO", "ENETDOWN", "EINVAL"),
         "connect": ("EACCES", "EPERM", "EADDRNOTAVAIL", "ECONNREFUSED", "EINVAL", "ENETUNREACH"), "epoll_ctl": ("EPERM", "EINVAL"),
         "shutdown": ("ENOTCONN", "EINVAL"), "setsockopt": ("ENOPROTOOPT", "EINVAL"), "getsockopt": ("EINVAL", "ENOPROTOOPT"),
         "ioctl": ("EINVAL",)}
HIT = {"stream": ("splice", "accept4", "connect", "epoll_ctl", "shutdown", "setsockopt", "getsockopt", "ioctl"),
       "framed": ("writev", "recvfrom"), "mixed": ("recvmsg", "sendmmsg"), "seqpacket": ("recvmsg", "sendmmsg", "recvfrom")}
ENDING = [(kind, call, error) for kind, calls in HIT.items() for call in calls for error in FATAL[call]]


def forget(listener):
    listener.setblocking(False)
    try:
        while True:
            listener.accept()[0].close()
    except BlockingIOError:
        pass


class Routes:
    """A daemon with a route of each kind."""

    def __init__(self):
        directory = tempfile.mkdtemp(prefix="faults-")
        self.kinds = {kind: [Kind(text) for text in pair] for kind, pair in PAIRS.items()}
        self.places = {kind: [Place(one, directory) for one in kinds] for kind, kinds in self.kinds.items()}
        self.listeners = {kind: places[1].listen() for kind, places in self.places.items()}
        routes = {kind: {"listen": str(places[0]), "target": str(places[1])} for kind, places in self.places.items()}
        self.daemon = Daemon(routes)

    def pumps(self, kind):
        """Where one is struck before connect(2) has returned, all begin anew: the call that failed is used up."""
        for _ in range(8):
            # What a session before has left in the backlog, when it broke, is none of these.
            forget(self.listeners[kind])
            made = []
            try:
                for _ in range(SESSIONS):
                    made.append(Pump(self.kinds[kind], self.places[kind][0].connect(), self.listeners[kind]))
                return made
            except ConnectionResetError:
                self.end(kind, made)
        raise AssertionError("none connects")

    def end(self, kind, pumps):
        """Closes both ends of each, also one that the daemon has connected and nobody has accepted."""
        for pump in pumps:
            pump.close()

        def none_is_left():
            forget(self.listeners[kind])
            return not self.daemon.sessions()
        harness.until("no session is left", none_is_left, 20)


class Pump:
    """A session through which numbered messages go both ways, each end half-closing when it has said all."""

    def __init__(self, kinds, client, listener):
        self.kinds = kinds
        self.client = gone.End(kinds[0], client)
        self.server = None
        self.listener = listener
        self.said = [False, False]

    def ends(self):
        return [end for end in (self.client, self.server) if end]

    def step(self):
        """Whether it is over."""
        for number, end in enumerate((self.client, self.server)):
            if not end:
                continue
            end.read()
            if end.sent < MESSAGES or end.pending:
                end.send_one()
            elif not self.said[number] and not end.refusal:
                self.said[number] = True
                try:
                    end.sock.shutdown(1)
                except OSError:
                    pass
        return all(end and (end.refusal or (end.ending and said)) for end, said in zip((self.client, self.server), self.said))

    def close(self):
        for end in self.ends():
            end.sock.close()


def accept(pumps):
    """Gives each accepted connection to one that has none, whoever its client is: all say the same."""
    listener = pumps[0].listener
    listener.setblocking(False)
    try:
        while True:
            server = gone.End(pumps[0].kinds[1], listener.accept()[0])
            waiting = next((pump for pump in pumps if pump.server is None), None)
            if waiting:
                waiting.server = server
            else:
                server.sock.close()
    except BlockingIOError:
        pass


def run(pumps, patience):
    """All of them, to their ends. Those that do not come to one."""
    limit, left = time.monotonic() + patience, list(pumps)
    while left and time.monotonic() < limit:
        accept(pumps)
        left = [pump for pump in left if not pump.step()]
        time.sleep(0.0005)
    return left


@pytest.fixture(scope="module")
def routes():
    made = Routes()
    with made.daemon:
        yield made


def is_whole(end):
    return end and (end.ending, end.heard, end.refusal, end.part) == ("end", MESSAGES, None, b"")


def whole(pump):
    return is_whole(pump.client) and is_whole(pump.server)


def told(pump):
    return " / ".join(f"{end.sent} sent, {end.heard} heard, {end.ending}, {end.refusal}" for end in pump.ends())


def serves(routes, kind):
    pumps = routes.pumps(kind)
    assert not run(pumps, harness.PATIENCE) and all(whole(pump) for pump in pumps), [told(pump) for pump in pumps]
    routes.end(kind, pumps)


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("kind,call,error", PASSING, ids=str)
def test_what_passes(routes, kind, call, error, when):
    worker = routes.daemon.worker
    with Injected(routes.daemon, call, f"error={error}:when={when}"):
        pumps = routes.pumps(kind)
        left = run(pumps, harness.PATIENCE * 3)
        assert not left, f"they stand still: {[told(pump) for pump in left]}"
        assert all(whole(pump) for pump in pumps), [told(pump) for pump in pumps if not whole(pump)]
    routes.end(kind, pumps)
    assert routes.daemon.worker == worker, "the worker died of it"


@pytest.mark.parametrize("when", ("1", "2", "9", "30") if ALL else ("1",))
@pytest.mark.parametrize("kind,call,error", ENDING, ids=str)
def test_what_ends_a_session(routes, kind, call, error, when):
    """One session at most for each call that fails: the others are whole, and so are those that follow."""
    worker = routes.daemon.worker
    with Injected(routes.daemon, call, f"error={error}:when={when}") as injected:
        pumps = routes.pumps(kind)
        run(pumps, harness.PATIENCE / 2)
        # strace counts for each thread; a session has two ends.
        ends = [end for pump in pumps for end in (pump.client, pump.server)]
        broken = [end for end in ends if not is_whole(end)]
        assert len(broken) <= 2 * injected.calls(), f"{injected.calls()} calls failed: {[told(pump) for pump in pumps if not whole(pump)]}"
        # What was told its end had all before it: the fault came later, and struck the other direction. Who was told of a reset when it
        # wrote reads an end, where there was none: the error is told once.
        cut = [end for end in broken if end and not end.kind.is_unix and end.ending == "end" and end.refusal != "ECONNRESET"
               and end.heard < MESSAGES]
        assert not cut, f"cut short, and told a good end: {[told(pump) for pump in pumps if not whole(pump)]}"
    routes.end(kind, pumps)
    serves(routes, kind)
    assert routes.daemon.worker == worker, "the worker died of it"


@pytest.mark.parametrize("error", ("EAGAIN", "EINTR", "ENOMEM", "EINVAL", "EPIPE"))
@pytest.mark.parametrize("kind", ("inet", "unix"))
def test_a_pipe_that_is_not_moved(place, kind, error):
    """A blocked direction moves to a small pipe by tee(2). Where that fails its bytes stay where they are."""
    ends = harness.Endpoint("inet", place), harness.Endpoint(kind, place)
    with ends[1].listen() as listener, Daemon({"r": {"listen": ends[0], "target": ends[1]}}) as daemon:
        with Injected(daemon, "tee", f"error={error}") as injected, ends[0].connect() as client:
            server = listener.accept()[0]
            data, sent = os.urandom(64 << 10), 0
            client.setblocking(False)
            until_blocked = time.monotonic() + harness.PATIENCE
            while not injected.calls():
                assert time.monotonic() < until_blocked, "nothing moves to a small pipe"
                try:
                    sent += client.send(data[sent % len(data):])
                except BlockingIOError:
                    time.sleep(0.01)
            client.shutdown(1)
            with server:
                heard, end = harness.read_all(server)
            assert end == "end" and len(heard) == sent
            assert all(heard[at:at + len(data)] == data[:min(len(data), sent - at)] for at in range(0, sent, len(data)))
