# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two ends that send until nobody takes any more, and what the one sees when the other goes.

What is sent are numbered messages of one length: on a stream one after the other, or behind the length that its framing wants, so that
whoever reads knows how many came, in order and whole. All cases of a pair are played at once: each step is done to every one of them,
and what has to be waited for is waited for once.
"""

import errno
import os
import random
import select
import socket
import struct
import time

import harness

MESSAGE = 1000
SMALL = 16 << 10  # bytes of the sockets' buffers: soon full
HEADS = {"none": "", "length16": ">H", "length32": ">I"}

BLOCKED = {"none": "", "to-target": "C", "to-client": "S", "both": "CS"}  # who sends until it is blocked
WAYS = ("reset", "fin", "close-unread", "fin-close")
GOERS = {"client": 0, "target": 1}


def message(number):
    return b"%08d" % number + bytes(MESSAGE - 8)


class Kind:
    """A kind of end: what a name such as "inet", "mptcp", "unix-seqpacket" or "inet+length16" means."""

    def __init__(self, name):
        self.name = name
        base, _, self.framing = name.partition("+")
        self.is_unix = base.startswith("unix")
        self.is_message = base == "unix-seqpacket"
        self.family = socket.AF_UNIX if self.is_unix else socket.AF_INET6 if base == "inet6" else socket.AF_INET
        self.type = socket.SOCK_SEQPACKET if self.is_message else socket.SOCK_STREAM
        self.protocol = 262 if base == "mptcp" else 0
        self.scheme = {"inet": "tcp4", "inet6": "tcp6", "mptcp": "tcp4"}.get(base, base)
        self.head = HEADS[self.framing or "none"]
        self.is_here = self._try()

    def _try(self):
        try:
            socket.socket(self.family, self.type, self.protocol).close()
            return True
        except OSError:
            return False

    def socket(self):
        return socket.socket(self.family, self.type, self.protocol)


class Place:
    """Where an end of a kind listens."""

    def __init__(self, kind, directory):
        self.kind = kind
        if kind.is_unix:
            self.address = os.path.join(directory, f"{random.randrange(1 << 40):x}")
            where = self.address
        else:
            self.address = ("::1" if kind.scheme == "tcp6" else "127.0.0.1", harness.free_port())
            where = f"{'[::1]' if kind.scheme == 'tcp6' else '127.0.0.1'}:{self.address[1]}"
        options = [f"sndbuf={SMALL}", f"rcvbuf={SMALL}"]
        if kind.framing:
            options += [f"framing={kind.framing}", "max_frame=2K"]
        if kind.protocol:
            options.append("protocol=mptcp")
        self.text = f"{kind.scheme}://{where}?{'&'.join(options)}"

    def __str__(self):
        return self.text

    def listen(self):
        sock = self.kind.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        sock.bind(self.address)
        sock.listen(128)
        sock.settimeout(harness.PATIENCE)
        return sock

    def connect(self):
        sock = self.kind.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        sock.settimeout(harness.PATIENCE)
        sock.connect(self.address)
        return sock


class End:
    """One end of a session: what it sent, and what it heard."""

    def __init__(self, kind, sock):
        self.kind = kind
        self.sock = sock
        sock.setblocking(False)
        self.sent = 0       # messages, the last one perhaps in part
        self.pending = b""  # of the last one
        self.heard = 0      # whole messages
        self.part = b""
        self.ending = None  # of reading: None, "end", or the first error
        self.refusal = None # of writing

    def send(self):
        """Sends as much as is taken now. Whether anything was."""
        moved = False
        while not self.refusal:
            if not self.pending:
                data = message(self.sent)
                self.pending = struct.pack(self.kind.head, len(data)) + data if self.kind.head else data
                self.sent += 1
            try:
                n = self.sock.send(self.pending, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                break
            except OSError as error:
                self.refusal = errno.errorcode[error.errno]
                break
            self.pending = self.pending[n:]
            moved = True
        return moved

    def send_one(self):
        if self.refusal:
            return
        if not self.pending:
            self.sent += 1
            data = message(self.sent - 1)
            self.pending = struct.pack(self.kind.head, len(data)) + data if self.kind.head else data
        try:
            self.pending = self.pending[self.sock.send(self.pending, socket.MSG_NOSIGNAL):]
        except BlockingIOError:
            pass
        except OSError as error:
            self.refusal = errno.errorcode[error.errno]

    def whole(self):
        """Messages that it sent to their last byte."""
        return self.sent - bool(self.pending)

    def _take(self, data):
        self.part += data
        head = struct.calcsize(self.kind.head) if self.kind.head else 0
        while len(self.part) >= head + MESSAGE:
            got = self.part[head:head + MESSAGE]
            assert got == message(self.heard), f"{got[:8]!r} where number {self.heard} was to come"
            if head:
                assert struct.unpack(self.kind.head, self.part[:head]) == (MESSAGE,)
            self.heard += 1
            self.part = self.part[head + MESSAGE:]

    def read(self):
        """Reads what is there. Whether anything was. A seqpacket socket tells an error first, and its messages then."""
        moved = False
        while self.ending != "end":
            try:
                data = self.sock.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError as error:
                again, self.ending = self.ending, self.ending or errno.errorcode[error.errno]
                if again or not self.kind.is_message:
                    break
                continue
            moved = True
            if not data:
                self.ending = self.ending or "end"
                break
            self._take(data)
        return moved

    def go(self, way):
        """Ends it in one of WAYS."""
        if way in ("fin", "fin-close"):
            self.sock.shutdown(socket.SHUT_WR)
        if way == "reset":
            harness.reset(self.sock)
        elif way != "fin":
            self.sock.close()

    def events(self):
        poll = select.poll()
        poll.register(self.sock, select.POLLIN | select.POLLRDHUP)
        return dict(poll.poll(0)).get(self.sock.fileno(), 0)


class Case:
    """One session, and how one of its ends goes."""

    def __init__(self, blocked, who, way):
        self.blocked, self.who, self.way = blocked, who, way
        self.ends = None

    def __str__(self):
        return f"blocked {self.blocked}, {self.who} {self.way}"

    def begin(self, kinds, front, listener):
        client = front.connect()
        server, _ = listener.accept()
        self.ends = (End(kinds[0], client), End(kinds[1], server))

    @property
    def goer(self):
        return self.ends[GOERS[self.who]]

    @property
    def stayer(self):
        return self.ends[1 - GOERS[self.who]]

    def blockers(self):
        return [self.ends["CS".index(letter)] for letter in BLOCKED[self.blocked]]

    def has_unread(self):
        """Whether the one that goes leaves something unread, which makes its close() a reset."""
        return self.way == "close-unread" or self.stayer in self.blockers()

    def is_reset(self):
        """Whether the other side's socket tells that nobody is there any more, before anything is written to it."""
        return self.way != "fin" and (self.has_unread() or (self.way == "reset" and not self.goer.kind.is_unix))

    def is_refused(self):
        """Whether what is written to it is refused. MPTCP takes it for an end that was closed and left nothing unread."""
        return self.is_reset() or (self.way != "fin" and not self.goer.kind.protocol)

    def close(self):
        for end in self.ends:
            end.sock.close()


def cases():
    return [Case(blocked, who, way) for blocked in BLOCKED for who in GOERS for way in WAYS]


def settle(what, step, quiet=0.15):
    """Repeats a step until it does nothing more for a while."""
    limit, last = time.monotonic() + harness.PATIENCE * 3, time.monotonic()
    while time.monotonic() < last + quiet:
        if step():
            last = time.monotonic()
        else:
            time.sleep(0.005)
        assert time.monotonic() < limit, f"never quiet: {what}"


def all_of(items, step):
    return any([step(item) for item in items])


def greet(played):
    """A message each way through every session: both ends are joined."""
    for case in played:
        for end, other in (case.ends, case.ends[::-1]):
            end.send_one()
            harness.until(f"{case}: the first message", lambda e=other: e.read() and e.heard == 1)


def block(played):
    """Those that send do so until all is full; where something is to be left unread, a message comes to be that."""
    blockers = [end for case in played for end in case.blockers()]
    settle("those that send", lambda: all_of(blockers, End.send))
    unread = [case for case in played if case.way == "close-unread" and case.stayer not in case.blockers()]
    for case in unread:
        case.stayer.send_one()
    for case in unread:
        harness.until(f"{case}: it has something to read", lambda c=case: c.goer.events() & select.POLLIN)


def go(played):
    for case in played:
        case.goer.go(case.way)


def read_to_the_end(played, patience=None):
    """Everybody who stays reads until there is an end."""
    def step():
        all_of([case.stayer for case in played], End.read)
        return not [case for case in played if case.stayer.ending is None]
    try:
        harness.until("an end", step, patience)
    except AssertionError:
        left = "; ".join(f"{case} ({case.stayer.heard} heard)" for case in played if case.stayer.ending is None)
        raise AssertionError(f"no end is seen: {left}") from None


def write_to_nobody(played):
    """Everybody who stays writes until it is refused."""
    left = [case for case in played if case.is_refused()]

    def step():
        for case in left:
            case.stayer.send_one()
            # What is on its way to an end that has gone may be read meanwhile.
            case.stayer.read()
        left[:] = [case for case in left if not case.stayer.refusal]
        return not left
    try:
        harness.until("a refusal", step)
    except AssertionError:
        raise AssertionError("nothing is refused: " + "; ".join(map(str, left))) from None


def answer_the_fin(played):
    """Where one said its last and stays, the other says all it has, and its last."""
    halves = [case for case in played if case.way == "fin"]
    for case in halves:
        assert not case.stayer.refusal, f"{case}: what it sent after the other's FIN is refused"
        case.stayer.pending_at_fin = bool(case.stayer.pending)

    def step():
        for case in halves:
            case.goer.read()
            if case.stayer.pending:
                case.stayer.send_one()
            elif not getattr(case, "said", False):
                case.said = True
                case.stayer.sock.shutdown(socket.SHUT_WR)
        return all(case.goer.ending for case in halves)
    harness.until("the end that answers a FIN", step)
    for case in halves:
        assert (case.goer.ending, case.goer.heard, case.goer.part) == ("end", case.stayer.sent, b""), \
            f"{case}: {case.goer.ending} after {case.goer.heard} of {case.stayer.sent}"


def seen(case):
    """What the one that stays has seen."""
    return case.stayer.ending, case.stayer.refusal is not None


def play(played):
    """All of it, from two joined ends to what was seen."""
    go(played)
    read_to_the_end(played)
    write_to_nobody(played)
    answer_the_fin(played)
