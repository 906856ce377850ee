# SPDX-License-Identifier: LGPL-2.1-or-later
"""Orders of data, FIN, RST and close between a client C and a server S, and what each of them sees.

A case is words: the actor and what it does. `d` sends 1,000 bytes, `R` reads all there is, `f` sends a FIN, `r` a RST,
`c` closes (which is a RST where unread data waits). So "Sd Cf Sr" is: the server sends, the client half-closes, the
server resets.

A case is played over a direct connection first. After each step it waits for what the step must do to the other side,
and writes down what both sides show: bytes to read, poll events, TCP state, results of calls. Then it is played
through the relay, and each step waits until both sides show the same; what they never show is the difference. Nothing
is timed: the measured direct connection is what tells when a step has arrived.
"""

import errno
import fcntl
import select
import socket
import struct
import termios
import time

from harness import reset, tcp_state

STEP_PATIENCE = 2.0
DATA = 1000

# States that only wait for an acknowledgement, which may come late: FIN_WAIT1 is as good as FIN_WAIT2, and LAST_ACK as
# CLOSE.
SETTLED = {4: 5, 9: 7}

ENDS = select.POLLRDHUP | select.POLLHUP | select.POLLERR

ORDERS = ["Cf Sf", "Cf Sr", "Cf Sc", "Cf Cr", "Cf Cc", "Cf Cc Sr", "Cf Sf Cr", "Cr", "Cc", "Cr Sr", "Cc Sc", "Cc Sr"]
BEFORE = ["", "Cd", "Cd SR", "Sd", "Sd CR", "Cd Sd", "Cd SR Sd CR"]


def mirrored(case):
    """The same with client and server exchanged."""
    return case.translate(str.maketrans("CS", "SC"))


def orders():
    """Every order and its mirror image."""
    return list(dict.fromkeys(order for base in ORDERS for order in (base, mirrored(base))))


def variants(order):
    """The order with data before it, and between its events from whoever can still send. (Data after it is what
    play() always tries.)"""
    events = order.split()
    found = []
    for before in BEFORE:
        found.append(f"{before} {order}".strip())
        for cut in range(1, len(events)):
            silent = {event[0] for event in events[:cut]}
            for actor in "CS":
                if actor not in silent:
                    words = [before, *events[:cut], actor + "d", *events[cut:]]
                    found.append(" ".join(word for word in words if word))
    return found


class Side:
    """One end: its socket, and what its calls returned."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.setblocking(False)
        self.is_tcp = sock.family != socket.AF_UNIX
        self.is_open = True
        self.read = 0
        self.ending = None  # of reading: None, "end" or an error

    def waiting(self):
        return struct.unpack("i", fcntl.ioctl(self.sock, termios.FIONREAD, b"\0\0\0\0"))[0]

    def events(self):
        poll = select.poll()
        poll.register(self.sock, select.POLLIN | ENDS)
        return dict(poll.poll(0)).get(self.sock.fileno(), 0)

    def shows(self):
        """Everything that the socket tells without being changed by the question."""
        if not self.is_open:
            return "closed"
        state = tcp_state(self.sock) if self.is_tcp else None
        return (self.waiting(), self.events(), SETTLED.get(state, state))

    def shows_roughly(self):
        """The part that families have in common."""
        if not self.is_open:
            return "closed"
        return (self.waiting(), bool(self.events() & ENDS))

    def do(self, what):
        try:
            return getattr(self, "do_" + what)()
        except OSError as error:
            return errno.errorcode[error.errno]

    def do_d(self):
        return self.sock.send(bytes(DATA))

    def do_p(self):
        """A probe, when all else is over."""
        return self.sock.send(b"?")

    def do_f(self):
        self.sock.shutdown(socket.SHUT_WR)
        return "done"

    def do_r(self):
        self.is_open = False
        reset(self.sock)
        return "done"

    def do_c(self):
        self.is_open = False
        self.sock.close()
        return "done"

    def do_R(self):
        """Reads all there is: the results of the calls, without the cuts between them."""
        total, results = 0, []
        for _ in range(64):
            try:
                part = self.sock.recv(65536)
            except BlockingIOError:
                results.append("nothing")
                break
            except OSError as error:
                results.append(errno.errorcode[error.errno])
                self.ending = self.ending or results[-1]
                if len(results) == 3:
                    break
                continue
            if part:
                total += len(part)
                continue
            results.append("end")
            self.ending = self.ending or "end"
            if len(results) == 3:
                break
        self.read += total
        return (total, *results)


def until(condition):
    limit = time.monotonic() + STEP_PATIENCE
    while not condition():
        if time.monotonic() > limit:
            return False
        time.sleep(0.0002)
    return True


def arrived(what, result, actor, other, before):
    """Whether a step on a direct connection has done all that it will do; `before` is what the other had to read."""
    if isinstance(result, str) and result.startswith("E"):
        return True
    if what in "dp":
        if not other.is_open:
            return not actor.is_open or bool(actor.events() & select.POLLHUP) or not actor.is_tcp
        return other.waiting() >= before + (DATA if what == "d" else 1) or bool(other.events() & select.POLLHUP)
    if what in "frc":
        return not other.is_open or bool(other.events() & ENDS)
    return True


def steps(case):
    """The case, then what is always asked at its end: read, send one byte more each, read again."""
    return [*case.split(), "SR", "CR", "Sp", "Cp", "SR", "CR"]


class Played:
    """What a case showed: after each step its result and both sides; and what each side read in all."""

    def __init__(self):
        self.steps = []  # (word, result, client shows, server shows)
        self.rough = []  # (client shows roughly, server shows roughly)
        self.client = self.server = None  # (bytes, ending)

    def after(self, number, rough):
        """What both sides showed after a step, or None beyond the last."""
        if number >= len(self.steps):
            return None
        return self.rough[number] if rough else self.steps[number][2:]


def both(client, server, rough):
    return (client.shows_roughly(), server.shows_roughly()) if rough else (client.shows(), server.shows())


def play(case, pair, model=None, rough=False):
    """Plays a case on a pair (client socket, server socket). With a model (a Played), each step waits until it shows
    what the model showed, and the play ends where it never does; `rough` compares only what families have in common."""
    client, server = Side(pair[0]), Side(pair[1])
    sides = {"C": (client, server), "S": (server, client)}
    played = Played()
    try:
        for word in steps(case):
            actor, other = sides[word[0]]
            if not actor.is_open:
                continue
            before = other.waiting() if other.is_open else 0
            result = actor.do(word[1])
            if model is None:
                until(lambda: arrived(word[1], result, actor, other, before))
            else:
                wanted = model.after(len(played.steps), rough)
                same = until(lambda: wanted in (None, both(client, server, rough)))
            played.steps.append((word, result, *both(client, server, False)))
            played.rough.append(both(client, server, True))
            if model and not rough and (not same or model.steps[len(played.steps) - 1] != played.steps[-1]):
                break
        played.client = (client.read, client.ending)
        played.server = (server.read, server.ending)
    finally:
        for sock in pair:
            sock.close()
    return played


def differences(model, played):
    """None, or the first step at which they differ, in words."""
    for wanted, got in zip(model.steps, played.steps):
        if wanted != got:
            names = ("step", "its result", "client shows", "server shows")
            parts = [f"{name} {b!r}, directly {a!r}" for name, a, b in zip(names, wanted, got) if a != b]
            return f"at {got[0]}: " + "; ".join(parts)
    return None if len(model.steps) == len(played.steps) else "not the same number of steps"


def for_families(case, client_is_tcp, server_is_tcp):
    """The case as TCP must show it where an end is UNIX: a UNIX end cannot reset, it closes."""
    words = []
    for word in case.split():
        is_tcp = client_is_tcp if word[0] == "C" else server_is_tcp
        words.append(word if is_tcp or word[1] != "r" else word[0] + "c")
    return " ".join(words)


def reading_differs(wanted, got, unix=None):
    """Whether what a side read differs from what a direct TCP connection shows: bytes, then how it ended. For a UNIX
    end, `unix` is what a direct UNIX connection shows: it may show that, and the end in place of a reset (it has
    ECONNRESET only for data of its own that was not read)."""
    if wanted[0] != got[0]:
        return True
    if unix is None or wanted[1] == got[1]:
        return wanted[1] != got[1]
    return got[1] != unix[1] and (wanted[1], got[1]) != ("ECONNRESET", "end")
