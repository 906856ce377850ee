# SPDX-License-Identifier: LGPL-2.1-or-later
"""Random words in a ledger, and what runs meanwhile.

    ledger = Ledger.of(keeper)           a live daemon's, mapped for writing
    ledger.scribble(draw, 3)             what was written, to be read
    with Course(directory, draw) as course, Daemon(course.routes) as daemon:
        course.serve()                   new clients of every route are served
"""

import collections
import mmap
import os
import socket
import struct

import harness
from harness import until
from messages import STREAMS, Echo, End

# In the order of the ledger's sections; of each, how often it is written to, and how many of its records are in use here.
SECTIONS = {"keeper": (15, 1), "threads": (8, 3), "sessions": (36, 64), "listeners": (16, 16), "routes": (6, 16), "targets": (5, 24),
            "counters": (1, 16), "controls": (4, 8), "text": (1, 256), "flows": (8, 64), "generations": (3, 4), "kept": (2, 16), "units": (2, 4),
            "cookies": (3, 64)}
HEADER = struct.Struct("<8sIIQ")
SECTION = struct.Struct("<IIIIQ")
KEPT = 2           # clients of a route that stay from round to round
MESSAGE = b"is anybody there?"


# ---- the ledger ----


class Ledger:
    """A ledger's memfd, mapped for writing. numbers(): what its words may name, by chance."""

    @classmethod
    def of(cls, keeper):
        """A live daemon's."""
        number = next((fd for fd, link in harness.descriptors(keeper).items() if link.startswith("/memfd:spliced-ledger")), None)
        try:
            fd = os.open(f"/proc/{keeper}/fd/{number}", os.O_RDWR)
        except PermissionError as error:
            raise harness.Skip("only root may write into another's ledger") from error
        try:
            return cls(fd, lambda: list(harness.descriptors(keeper)))
        finally:
            os.close(fd)

    def __init__(self, fd, numbers):
        self.numbers = numbers
        self.memory = mmap.mmap(fd, os.fstat(fd).st_size)
        count = HEADER.unpack_from(self.memory)[2]
        assert count == len(SECTIONS), f"there are {count} sections: this test knows {len(SECTIONS)}"
        self.sections = [SECTION.unpack_from(self.memory, HEADER.size + SECTION.size * i) for i in range(count)]

    def word(self, at):
        return struct.unpack_from("<I", self.memory, at)[0]

    def choose(self, draw, only):
        """Where to write: a section's name, a record in use more often than not, an offset within."""
        name = only or draw.choices(list(SECTIONS), [weight for weight, _ in SECTIONS.values()])[0]
        _, _, stride, count, offset = self.sections[list(SECTIONS).index(name)]
        records = range(min(count, SECTIONS[name][1]))
        used = [one for one in records if self.word(offset + one * stride // 4 * 4)]
        record = draw.choice(used if used and draw.random() < 0.9 else records)
        if stride < 4:
            return name, record, 0, offset + record * stride // 4 * 4
        # What identifies a record, and where it stands, comes first.
        within = draw.randrange(min(stride, 64) if draw.random() < 0.6 else stride) // 4 * 4
        return name, record, within, offset + record * stride + within

    def draw_value(self, draw, before):
        kind = draw.randrange(7)
        if kind == 0:
            return draw.choice((0, 0xffffffff, 0x7fffffff, 0x80000000))
        if kind == 1:
            return draw.randrange(8)
        if kind == 2:
            return draw.randrange(128)
        if kind == 3:
            return draw.choice(self.numbers())
        if kind == 4:
            return before ^ 1 << draw.randrange(32)
        if kind == 5:
            return (before + draw.choice((-1, 1))) & 0xffffffff
        return draw.getrandbits(32)

    def scribble(self, draw, words, only=None):
        """Writes so many words; what was written, to be read."""
        written = []
        for _ in range(words):
            name, record, within, at = self.choose(draw, only)
            before = self.word(at)
            value = self.draw_value(draw, before)
            struct.pack_into("<I", self.memory, at, value)
            written.append(f"{name}[{record}]+{within}: {before:#x} -> {value:#x}")
        return written


# ---- what runs meanwhile ----


class Course:
    """Routes of many kinds, what is behind them, and clients."""

    def __init__(self, directory, draw):
        self.draw = draw
        self.blocks, self.servers, self.fronts, self.clients = [], {}, {}, collections.defaultdict(list)
        self.routes = {}
        for name, front, back in (("relay", "tcp4", "tcp4"), ("local", "unix", "unix"), ("records", "unix-seqpacket", "unix-seqpacket"),
                                  ("framed", "tcp4", "unix-seqpacket"), ("datagrams", "udp4", "udp4"),
                                  ("grams", "unix-dgram", "unix-dgram")):
            one, other = End(front, directory), End(back, directory)
            framed = front in STREAMS and back not in STREAMS
            self.fronts[name] = one
            self.blocks.append(Echo(other))
            self.routes[name] = {"listen": one.framed if framed else str(one), "target": str(other)}
        # Behind this one nobody reads; behind that one there is nobody.
        self.quiet = {"stuck": End("tcp4"), "waiting": End("tcp4")}
        self.stuck = End("unix", directory)
        patient = {"attempts": 1000000, "backoff": "50ms", "max_backoff": "100ms"}
        self.routes["stuck"] = {"listen": str(self.quiet["stuck"]), "target": str(self.stuck)}
        self.routes["waiting"] = {"listen": str(self.quiet["waiting"]), "target": (str(End("tcp4")), str(End("unix", directory))),
                                  "retry": patient}
        self.dialed = End("tcp4")
        self.routes["dialed"] = {"dial": str(self.dialed), "target": str(self.blocks[0].end), "retry": patient}
        # Of what no other test on this machine makes at the same time: a feed that relays is not at rest.
        self.heard = End("unix-dgram", directory)
        self.routes["feed"] = {"listen": {"family": "netlink", "protocol": "route", "groups": ["rule"], "format": "json"},
                               "target": str(self.heard)}

        # What comes and goes by reloads.
        self.more = {"more": {"listen": (str(End("tcp4")), str(End("unix", directory))), "target": str(self.blocks[0].end)}}

    def __enter__(self):
        for block in self.blocks:
            block.__enter__()
        self.servers = {"stuck": self.stuck.server(), "dialed": self.dialed.server(), "heard": self.heard.server()}
        self.servers["stuck"].listen(1024)
        self.servers["dialed"].setblocking(False)
        return self

    def __exit__(self, *exception):
        for clients in self.clients.values():
            for client in clients:
                client.close()
        for server in self.servers.values():
            server.close()
        for block in self.blocks:
            block.__exit__(*exception)

    def keep(self, name, client):
        self.clients[name].append(client)
        while len(self.clients[name]) > KEPT:
            self.clients[name].pop(0).close()

    def ask(self, name):
        """A new client asks, and is answered. A datagram may be lost where there are no connections."""
        end = self.fronts[name]
        try:
            client = end.client()
        except OSError as error:
            raise AssertionError(f"a new client of {name}: {error}") from error
        client.sock.settimeout(0.5 if end.is_datagram else harness.PATIENCE)

        def answered():
            try:
                client.say(MESSAGE)
                return client.hear() == MESSAGE
            except (TimeoutError, socket.timeout, ConnectionRefusedError):
                return False

        try:
            if end.is_datagram:
                until(f"a new client of {name} is answered", answered)
            else:
                client.say(MESSAGE)
                assert client.hear() == MESSAGE, f"a new client of {name} heard its end"
        except (OSError, TimeoutError) as error:
            raise AssertionError(f"a new client of {name}: {error}") from error
        client.sock.settimeout(harness.PATIENCE)
        self.keep(name, client)

    def fill(self, name):
        """A client of a route that nobody reads behind, or where nobody is, says all that it can."""
        client = self.quiet[name].wire(self.quiet[name].socket())
        try:
            client.sock.connect(self.quiet[name].address)
            client.sock.setblocking(False)
            while self.draw.random() < 0.9:
                client.sock.send(bytes(1 << 16))
        except BlockingIOError:
            pass
        except OSError as error:
            raise AssertionError(f"a new client of {name}: {error}") from error
        self.keep(name, client)

    def serve(self):
        """Whether new clients of every route are served."""
        for name in self.fronts:
            self.ask(name)
        for name in self.quiet:
            self.fill(name)
        try:
            while True:
                sock, _ = self.servers["dialed"].accept()
                self.keep("dialed", self.dialed.wire(sock))
        except BlockingIOError:
            pass
