# SPDX-License-Identifier: LGPL-2.1-or-later
"""Traffic of each kind through one service, with a number on all of it: what was lost, cut, or came twice can be told."""

import contextlib
import errno
import itertools
import os
import socket
import subprocess
import threading
import time

import harness
from follower import Follower, addresses, from_ip, key_of, same
from harness import Running, Serve, until
from messages import Answering, End, Wire
from namespace import ip
from numbered import AsTheyCome, InOrder, Messages

DIRECTORY = "/run/traffic"     # of the targets; the service may only write to its own
LISTENERS = "/run/spliced"
PATIENCE = harness.PATIENCE * 3
SO_RCVBUFFORCE = 33
ROOM = 4 << 20                 # of every socket that would drop what finds none, also in seconds of a standstill
WINDOW = 200                   # messages on their way, and the pause of a sender that waits for longer than that
PAUSE = 0.02
EVERY = 0.0001                 # seconds between two messages
BURST, BURST_EVERY = 8, 0.01   # addresses that come at once, and seconds between
HEADER = b"\xff" * 6 + b"\x02\0\0\0\0\x01" + b"\x88\xb5"  # of frames: nobody else speaks IEEE 802's local experiments


def roomy(wire):
    """Waits long, and has room for what comes meanwhile."""
    wire.sock.settimeout(PATIENCE)
    if wire.sock.type in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        wire.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
    return wire


class FrameWire(Wire):
    """One end of a wire; what is said is a frame's payload."""

    def __init__(self, interface):
        super().__init__("packet", socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(0x88b5)))
        self.sock.bind((interface, 0x88b5))

    def say(self, data):
        super().say(HEADER + data)

    def hear(self):
        data = super().hear()
        assert data.startswith(HEADER), data[:20]
        return data[len(HEADER):]


class Flow:
    """Numbered messages from a client to a target, which says each again, and back: there and back one after the other."""

    receiver = InOrder
    messages = Messages(1)
    lossy = False

    def __init__(self):
        self.sent = 0
        self.failed = None
        self.over = threading.Event()
        self.far = self.near = self.client = None
        self.sender = threading.Thread(target=self._send, daemon=True)

    # -- ends --

    def open_far(self):
        """A function that returns the target's wire, once there is one."""
        raise NotImplementedError

    def open_client(self):
        raise NotImplementedError

    def _open_client(self):
        try:
            return self.open_client()
        except (ConnectionRefusedError, FileNotFoundError):
            return None

    def start(self):
        self.far = self.receiver(self.open_far(), self.messages, answers=True)
        self.far.start()
        self.client = until("somebody listens", self._open_client, PATIENCE)
        self.near = self.receiver(lambda: self.client, self.messages)
        self.near.start()
        self.sender.start()
        return self

    # -- traffic --

    def _send(self):
        try:
            while not self.over.wait(EVERY):
                if self.sent - self.near.position >= WINDOW:
                    self.near.moved.clear()
                    self.near.moved.wait(PAUSE)
                self._say(self.messages[self.sent])
                self.sent += 1
        except OSError as error:
            self.failed = type(error).__name__

    def _say(self, data):
        try:
            self.client.say(data)
        except ConnectionRefusedError:
            if not self.lossy:
                raise
            self.near.refused += 1

    @property
    def count(self):
        """Grows while traffic flows."""
        return self.near.position

    @property
    def broken(self):
        return self.far.wrong or self.near.wrong or self.failed or self.near.ending

    def finish(self):
        """No more is sent; what is on its way arrives, or is missed: the verdict tells."""
        self.over.set()
        self.sender.join(1 if self.broken else PATIENCE)
        try:
            until("all is back", lambda: self.near.position == self.sent or self.broken, PATIENCE)
        except AssertionError:
            pass
        self.near.stop()
        self.far.stop()

    def __str__(self):
        tell = "position", "repeats", "missing", "refused", "ending", "wrong"
        return f"sent {self.sent}, failed {self.failed}; " + "; ".join(
            f"{name} " + ", ".join(f"{word} {getattr(one, word)}" for word in tell) for name, one in (("far", self.far), ("near", self.near)))

    # -- what may be promised of it --

    def nothing_wrong(self):
        assert not self.far.wrong and not self.near.wrong, self

    def nothing_lost(self):
        """Not one, none twice, in order."""
        self.at_most(0, 0)

    def at_most(self, missing, repeats):
        self.nothing_wrong()
        assert not self.failed and not self.near.refused and not self.far.refused, self
        assert self.near.position == self.far.position == self.sent > 0, self
        assert self.far.missing <= self.near.missing <= missing, self
        assert self.far.repeats <= self.near.repeats <= repeats, self

    def ended(self):
        """As all that belonged to the dead process; what came until then was right."""
        self.nothing_wrong()
        assert self.near.position <= self.far.position <= self.sent, self
        assert self.near.ending or self.failed, self

    def goes_on(self):
        """Nobody has to connect anew: what is sent afterwards arrives."""
        self.nothing_wrong()
        assert not self.failed and self.near.position == self.sent > 0 and not self.near.repeats, self


class Ends(Flow):
    """Between two ends of messages.py."""

    def __init__(self, name, front, back, options=""):
        super().__init__()
        self.name, self.front, self.back, self.options = name, front, back, options

    def routes(self):
        return {self.name: {"listen": f"{self.front}{self.options}", "target": f"{self.back}{self.options}"}}

    def open_far(self):
        sock = self.back.server()
        sock.settimeout(PATIENCE)
        if self.back.kind.startswith("unix"):
            os.chmod(self.back.path, 0o666)
        if self.back.is_datagram:
            return lambda: roomy(Answering(self.back.kind, sock))

        def accept():
            with sock:
                return roomy(self.back.wire(sock.accept()[0]))

        return accept

    def open_client(self):
        return roomy(self.front.client())

    def again(self):
        """Another client of the same listener, and another target at the same place."""
        return Ends(self.name, self.front, self.back)


class Held:
    """A session whose target does not read until all is over: what its client says fills the sockets, and the pipe between."""

    def __init__(self):
        self.front, self.back = End("tcp4"), End("tcp4")
        self.client = self.far = None
        self.said, self.heard, self.ending, self.client_ending = 0, b"", None, None
        self.bytes = os.urandom(1 << 16)

    def start(self):
        with self.back.server() as server:
            self.client = self.front.client().sock
            self.far = server.accept()[0]
        self.client.settimeout(0.05)
        try:
            while True:
                start = self.said % len(self.bytes)
                self.said += self.client.send(self.bytes[start:])
        except (TimeoutError, socket.timeout):
            pass
        self.client.settimeout(PATIENCE)
        self.far.settimeout(PATIENCE)

    def finish(self):
        """The client ends, too, if it can."""
        try:
            self.client.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.client_ending = errno.errorcode[error.errno]
        self.heard, self.ending = harness.read_all(self.far)
        self.far.close()
        self.client_ending = self.client_ending or harness.read_all(self.client)[1]
        self.client.close()

    def __str__(self):
        return f"said {self.said}, {self.client_ending}; heard {len(self.heard)}, {self.ending}"

    def is_right(self):
        return self.heard == (self.bytes * (self.said // len(self.bytes) + 1))[:len(self.heard)]


class Stream(Ends):
    """Bytes: one long session, one whose bytes are held up, and a swarm of short ones beside them. What they say is verified."""

    def __init__(self, *words):
        super().__init__(*words)
        self.web, self.server, self.held = End("tcp4"), End("tcp4"), Held()
        self.serving = self.swarm = self.told = self.status = None

    def routes(self):
        return {**super().routes(), "web": {"listen": str(self.web), "target": str(self.server)},
                "held": {"listen": str(self.held.front), "target": str(self.held.back)}}

    def start(self):
        self.serving = Serve(f"tcp://127.0.0.1:{self.server.port}")
        self.serving.__enter__()
        self.swarm = Running("swarm", "--to", f"tcp://127.0.0.1:{self.web.port}", "--parallel", 8)
        self.held.start()
        return super().start()

    def finish(self):
        super().finish()
        self.held.finish()
        self.told, self.status = self.swarm.stop()
        self.serving.__exit__()

    def __str__(self):
        return f"{super().__str__()}; held: {self.held}; swarm: {self.told}"

    def nothing_wrong(self):
        super().nothing_wrong()
        assert self.told["corrupt"] == self.serving.count["corrupt"] == 0 and self.held.is_right(), self

    def ended(self):
        """By a reset at both ends, where there are resets: what was cut does not look complete."""
        super().ended()
        assert self.near.ending == "ECONNRESET" or self.failed, self
        assert self.held.client_ending in ("ECONNRESET", "ENOTCONN") and len(self.held.heard) < self.held.said, self
        assert self.held.ending == "ECONNRESET", self

    def at_most(self, missing, repeats):
        super().at_most(missing, repeats)
        assert self.status == 0 and self.told["ok"] > 0, self
        assert len(self.held.heard) == self.held.said and (self.held.ending, self.held.client_ending) == ("end", "end"), self


class Datagrams(Ends):
    receiver, lossy = AsTheyCome, True
    messages = Messages(2, least=8, most=1400)


class Frames(Flow):
    """Frames on one wire, that are carried to another: v1 and w1 are ours, v0 and w0 the daemon's."""

    name = "packet"
    receiver, lossy = AsTheyCome, True
    messages = Messages(3, least=46, most=1400)

    @staticmethod
    def furnish():
        for pair in ("v0", "v1"), ("w0", "w1"):
            ip("link", "add", pair[0], "type", "veth", "peer", "name", pair[1])
            for name in pair:
                ip("link", "set", name, "up")

    def routes(self):
        ends = [{"family": "packet", "interface": name, "filter": "ether proto 0x88b5"} for name in ("v0", "w0")]
        return {self.name: dict(zip(("listen", "target"), ends))}

    def open_far(self):
        wire = roomy(FrameWire("w1"))
        return lambda: wire

    def open_client(self):
        return roomy(FrameWire("v1"))


class Changes:
    """Addresses that come and go, and a client who follows them."""

    name = "netlink"
    link = "changing"
    numbers = itertools.count(1)

    def __init__(self):
        self.front = End("tcp4")
        self.follower = self.speaker = None
        self.made, self.told = [], []
        self.alias = self.failed = None
        self.over = threading.Event()

    @classmethod
    def furnish(cls):
        ip("link", "add", cls.link, "type", "veth", "peer", "name", "unchanging")
        ip("link", "set", cls.link, "up")  # else nobody is told of its names

    def routes(self):
        target = {"family": "netlink", "protocol": "route", "groups": ["link", "addr"], "dump": True, "format": "json"}
        return {self.name: {"listen": str(self.front), "target": target}}

    def _connect(self):
        try:
            return socket.create_connection(self.front.address)
        except ConnectionRefusedError:
            return None

    def follow(self):
        follower = Follower(until("somebody listens", self._connect, PATIENCE), self._watch)
        until("the snapshot is complete", lambda: follower.ends)
        return follower

    def _watch(self, name, kind, event):
        if name in ("new", "del") and kind == "address" and event["local"].startswith("10."):
            self.told.append((name, event["local"]))
        elif name in ("new", "snapshot") and kind == "link" and event["ifname"] == self.link:
            before, self.alias = self.alias, event.get("ifalias")
            if name == "new" and self.alias != before:  # else it is something else of the link's
                self.told.append((name, self.alias))
        elif name in ("lost", "snapshot-end"):
            self.told.append((name, None))

    def _speak(self):
        """One address in four stays; and the link gets another name beside its own now and then."""
        with subprocess.Popen(["ip", "-batch", "-"], stdin=subprocess.PIPE, text=True) as speaker:
            def say(line, name, what):
                self.made.append((name, what))
                speaker.stdin.write(line + "\n")
                speaker.stdin.flush()

            while not self.over.is_set():
                number = next(self.numbers)
                if number % BURST == 0:
                    time.sleep(BURST_EVERY)
                address = f"10.{number // 62500}.{number // 250 % 250}.{number % 250 + 1}"
                say(f"addr add {address}/32 dev {self.link}", "new", address)
                if number % 4:
                    say(f"addr del {address}/32 dev {self.link}", "del", address)
                if number % 10 == 0:
                    say(f"link set {self.link} alias {number}", "new", str(number))
            speaker.stdin.close()

    def start(self):
        self.follower = self.follow()
        self.told.clear()
        self.speaker = threading.Thread(target=self._speak, daemon=True)
        self.speaker.start()
        return self

    @property
    def count(self):
        return len(self.told)

    @property
    def broken(self):
        return self.failed or self.follower.wrong or self.follower.ended

    def is_lost(self):
        return "lost" in dict(self.told)

    def is_healed(self):
        """Whether all there is has been told since something was lost, and is right."""
        tells = [name for name, _ in self.told if name in ("lost", "snapshot-end")]
        return tells[-1:] == ["snapshot-end"] and self.follower.known("address").keys() == {key_of("address", one) for one in addresses()}

    def finish(self):
        self.over.set()
        self.speaker.join(PATIENCE)
        try:
            until("all is told", lambda: self.broken or (self.is_healed() if self.is_lost() else self.told == self.made), PATIENCE)
        except AssertionError:
            pass
        self.failed = self.broken

    def __str__(self):
        first = next((i for i, pair in enumerate(zip(self.told, self.made)) if pair[0] != pair[1]), None)
        return f"made {len(self.made)}, told {len(self.told)}, lost {self.follower.reasons}, wrong {self.follower.wrong}; " + \
            (f"from {first} on told {self.told[first:first + 5]}, made {self.made[first:first + 5]}" if first is not None else "")

    # -- what may be promised of it --

    def nothing_lost(self):
        """Each change once, in order."""
        assert not self.failed and not self.is_lost(), self
        assert self.told == self.made and self.made, self

    def lost_is_said_and_healed(self, deaths):
        """Each change in order, but for what `lost` and all there is stand for. The one in hand may come twice."""
        if not self.is_lost():
            self.nothing_lost()
            return
        assert not self.failed and self.is_healed(), self
        assert self.follower.reasons.count("restart") <= deaths and set(self.follower.reasons) <= {"restart", "interrupted", "overrun"}, self
        same(self.follower.known("address"), addresses(), "address", ("valid_life_time", "preferred_life_time"))
        same(self.follower.known("link"), from_ip("link"), "link")
        made, last, repeats = iter(self.made), None, 0
        for one in self.told:
            if one == last:
                repeats += 1
            elif one[0] not in ("lost", "snapshot-end"):
                last = one
                assert one in made, f"{one} came out of order: {self}"
        assert repeats <= deaths, self

    def again(self):
        other = Changes()
        other.front = self.front
        return other

    def ended(self):
        assert self.follower.ended and not self.follower.wrong, self


@contextlib.contextmanager
def furnished():
    """What the ends need."""
    os.makedirs(DIRECTORY, exist_ok=True)
    Frames.furnish()
    Changes.furnish()
    try:
        yield
    finally:
        for name in ("v0", "w0", Changes.link):
            ip("link", "del", name)


def flows():
    """{kind: its traffic}, through one configuration."""
    def pair(front, back):
        return End(front, LISTENERS), End(back, DIRECTORY)

    return {"stream": Stream("stream", *pair("tcp4", "unix")),
            "seqpacket": Ends("seqpacket", *pair("unix-seqpacket", "unix-seqpacket")),
            "unix-dgram": Ends("unix-dgram", *pair("unix-dgram", "unix-dgram")),
            "udp": Datagrams("udp", *pair("udp4", "udp4"), "?rcvbuf=4M"),
            "packet": Frames(),
            "netlink": Changes()}
