# SPDX-License-Identifier: LGPL-2.1-or-later
"""An interface's name, wherever an option or an address has one, is that of an interface in the endpoint's network namespace. There it has another
index than the interface that has its name where the daemon is, and what has that index there is another one."""

import contextlib
import ctypes
import os
import socket
import subprocess

import harness
from harness import Daemon, free_port, holds, until
from namespace import Namespace, ip
from test_multicast import FOUR, GROUP, LINK_GROUP, SIX, STILL, Network
from test_netns import Elsewhere

NAME = "lan0"
FAMILY = {FOUR: "inet", SIX: "inet6"}
FRAME = b"\xff" * 6 + b"\2\0\0\0\0\7" + b"\x88\xb5"


@contextlib.contextmanager
def inside(netns):
    before, there = (os.open(path, os.O_RDONLY) for path in ("/proc/thread-self/ns/net", netns))
    ctypes.CDLL(None).setns(there, 0)
    try:
        yield
    finally:
        ctypes.CDLL(None).setns(before, 0)
        os.close(before)
        os.close(there)


def veth(name):
    """With the addresses that the other interface of this name has."""
    ip("link", "add", name, "type", "veth", "peer", "name", "other" + name)
    for end in (name, "other" + name):
        ip("link", "set", end, "addrgenmode", "none")
        ip("link", "set", end, "up")
    for number in (1, 3):
        ip("address", "add", f"fe80::{number}/64", "dev", name, "nodad")


def index_of(name):
    return socket.if_nametoindex(name)


class Cases:
    """The daemon is here; the endpoints of its routes are in `elsewhere`, where interface NAME leads to `network`."""

    def __init__(self, stack, directory):
        self.stack, self.directory, self.routes, self.tries, self.count = stack, directory, {}, {}, 0
        self.daemon = None
        stack.enter_context(Namespace())
        veth(NAME)
        elsewhere = stack.enter_context(Elsewhere())
        self.netns = elsewhere.netns
        with inside(self.netns):
            veth("decoy")
            self.network = Network(0)
            ip("address", "add", "fe80::3/64", "dev", NAME, "nodad")
            there, decoys = index_of(NAME), {index_of("decoy"), index_of("otherdecoy")}
        stack.callback(self.network.close)
        assert there != index_of(NAME) and index_of(NAME) in decoys
        self.back = stack.enter_context(socket.socket(socket.AF_UNIX))
        self.back.bind(directory + "/back")
        self.back.listen()
        self.back.settimeout(harness.PATIENCE)

    def there(self, kind, **options):
        return {"family": FAMILY[kind], "netns": self.netns, **options}

    def add(self, name, route, attempt):
        self.routes[name], self.tries[name] = route, attempt

    def word(self):
        self.count += 1
        return b"word %d" % self.count

    def opened(self, *kind):
        return self.stack.enter_context(socket.socket(*kind))

    # ---- where clients are there ----

    def streams_in(self, name, **options):
        port = free_port()

        def attempt():
            with self.network.inside(), socket.socket(socket.AF_INET6) as client:
                client.settimeout(harness.PATIENCE)
                client.connect(("fe80::1", port, 0, self.network.index))
                with self.back.accept()[0] as server:
                    client.sendall(b"served")
                    assert server.recv(6, socket.MSG_WAITALL) == b"served"
                    own = f"[fe80::2%{NAME}]:{client.getsockname()[1]}"
                    assert any(one["peer"] == own for one in self.daemon.sessions()), (own, self.daemon.sessions())

        self.add(name, {"listen": self.there(SIX, port=port, **options), "target": f"unix://{self.directory}/back"}, attempt)

    def sink(self):
        """Messages that arrived here."""
        sock = self.opened(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(harness.PATIENCE)
        return sock, f"udp4://127.0.0.1:{sock.getsockname()[1]}"

    def messages_in(self, name, say, endpoint):
        """say(word) is said there; the word comes here, once."""
        sock, target = self.sink()

        def attempt():
            word = self.word()
            say(word)
            assert sock.recv(1 << 16).endswith(word)
            sock.setblocking(False)
            holds("it comes once", lambda: not readable(sock), 0.02)
            sock.settimeout(harness.PATIENCE)

        self.add(name, {"listen": endpoint, "target": target}, attempt)

    def datagrams_in(self, name, **options):
        port = free_port()
        with self.network.inside():
            client = self.opened(socket.AF_INET6, socket.SOCK_DGRAM)
        self.messages_in(name, lambda word: client.sendto(word, ("fe80::1", port, 0, self.network.index)),
                         self.there(SIX, type="dgram", port=port, **options))

    def groups_in(self, name, kind, group, **options):
        port = free_port()
        member = self.stack.enter_context(self.network.member(kind, group.split("%")[0], port))
        self.messages_in(name, member.say, self.there(kind, type="dgram", host=group, port=port, **options))

    # ---- where targets are there ----

    def streams_out(self, name, peer="fe80::1", front="listen", **options):
        port, path = free_port(), f"{self.directory}/{name}"
        with self.network.inside():
            server = self.opened(socket.AF_INET6)
            server.bind(("::", port))
            server.listen()
            server.settimeout(harness.PATIENCE)

        def attempt():
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                with server.accept()[0] as accepted:
                    assert peer in (None, accepted.getpeername()[0].split("%")[0])
                    client.sendall(b"served")
                    assert accepted.recv(6, socket.MSG_WAITALL) == b"served"

        self.add(name, {front: f"unix://{path}", "target": self.there(SIX, port=port, **options)}, attempt)

    def dialed(self, name, **options):
        """A front that is connected to."""
        port = free_port()
        with self.network.inside():
            server = self.opened(socket.AF_INET6)
            server.bind(("::", port))
            server.listen()
            server.settimeout(harness.PATIENCE)
        back = self.opened(socket.AF_UNIX)
        back.bind(f"{self.directory}/{name}")
        back.listen()
        back.settimeout(harness.PATIENCE)

        def attempt():
            with server.accept()[0] as front, back.accept()[0] as target:
                front.sendall(b"served")
                assert target.recv(6, socket.MSG_WAITALL) == b"served"

        self.add(name, {"dial": self.there(SIX, port=port, **options), "target": f"unix://{self.directory}/{name}"}, attempt)

    def messages_out(self, name, read, target):
        """What is said here is read() there, once."""
        port = free_port()
        client = self.opened(socket.AF_INET, socket.SOCK_DGRAM)

        def attempt():
            word, heard = FRAME + self.word(), []
            client.sendto(word, ("127.0.0.1", port))
            until(f"{name} is heard", lambda: heard.extend(read()) or word in heard)
            holds("once", lambda: heard.extend(read()) or heard == [word], 0.02)

        self.add(name, {"listen": f"udp4://127.0.0.1:{port}", "target": target}, attempt)

    def datagrams_out(self, name, peer="fe80::1", **options):
        port = free_port()
        with self.network.inside():
            server = self.opened(socket.AF_INET6, socket.SOCK_DGRAM)
        server.bind(("::", port))
        server.setblocking(False)
        self.messages_out(name, lambda: [data for data, sender in received(server) if peer in (None, sender[0].split("%")[0])],
                          self.there(SIX, type="dgram", port=port, **options))

    def groups_out(self, name, kind, group, peer=None, **options):
        port = free_port()
        member = self.stack.enter_context(self.network.member(kind, group.split("%")[0], port))
        self.messages_out(name, lambda: [data for data, sender in member.heard() if peer in (None, sender)],
                          self.there(kind, type="dgram", host=group, port=port, **options))

    # ---- frames ----

    def frames(self):
        with self.network.inside():
            wire = self.opened(socket.AF_PACKET, socket.SOCK_RAW)
            wire.bind(("eth0", 0x88b5))
            ethtool("eth0")
        wire.setblocking(False)
        with inside(self.netns):
            ethtool(NAME)
        packet = {"family": "packet", "netns": self.netns, "interface": NAME, "filter": "ether proto 0x88b5"}
        self.messages_in("packet-feed", lambda word: wire.send(FRAME + word), packet)
        self.messages_out("packet-target", lambda: [data for data, sender in received(wire) if sender[2] != socket.PACKET_OUTGOING], packet)


def ethtool(name):
    """Whole frames with whole checksums: no other end mends them."""
    subprocess.run(["ethtool", "-K", name, "tx", "off", "tso", "off", "gso", "off", "gro", "off"], check=True, capture_output=True)


def readable(sock):
    try:
        return sock.recv(1 << 16, socket.MSG_PEEK) is not None
    except BlockingIOError:
        return False


def received(sock):
    with contextlib.suppress(BlockingIOError):
        while True:
            yield sock.recvfrom(1 << 16)


def all_cases(cases):
    scoped = {"host": f"fe80::2%{NAME}"}
    cases.streams_in("in", host=f"fe80::1%{NAME}")
    cases.streams_in("in-bound", host="", interface=NAME)
    cases.datagrams_in("messages", host=f"fe80::1%{NAME}")
    cases.datagrams_in("messages-bound", host="", interface=NAME)
    cases.streams_out("out", peer=None, **scoped)
    cases.streams_out("out-bound", peer=None, host="fe80::2", interface=NAME)
    cases.streams_out("out-from", peer="fe80::3", source=f"fe80::3%{NAME}", **scoped)
    cases.datagrams_out("messages-out", peer=None, **scoped)
    cases.datagrams_out("messages-out-bound", peer=None, host="fe80::2", interface=NAME)
    cases.datagrams_out("messages-out-from", peer="fe80::3", source=f"fe80::3%{NAME}", **scoped)
    cases.dialed("dialed", source=f"fe80::3%{NAME}", **scoped)
    for kind in (FOUR, SIX):
        six = {f"scope-{group[:4]}": (f"{group}%{NAME}", {}) for group in (GROUP[SIX], LINK_GROUP[SIX])} if kind == SIX else {}
        for way, (group, options) in {"option": (GROUP[kind], {"interface": NAME}), "link": (LINK_GROUP[kind], {"interface": NAME}), **six}.items():
            cases.groups_in(f"group-{kind}-{way}", kind, group, **options)
            cases.groups_in(f"one-of-group-{kind}-{way}", kind, group, multicast_source=cases.network.theirs[kind], **options)
            cases.groups_out(f"to-group-{kind}-{way}", kind, group, **options)
    for group, options in ((f"{LINK_GROUP[SIX]}%{NAME}", {}), (GROUP[SIX], {"interface": NAME})):
        cases.groups_out(f"to-group-from-{group[:4]}", SIX, group, peer="fe80::3", source=f"fe80::3%{NAME}", **options)
    cases.frames()


def listeners(daemon):
    return {one["route"]: {**one, "generation": None} for one in daemon.ctl("listeners")["listeners"]}


def test_names_are_of_the_namespace(place):
    """Through reloads, deaths, and whatever comes and goes where the daemon is."""
    with contextlib.ExitStack() as stack:
        cases = Cases(stack, place)
        all_cases(cases)
        daemon = stack.enter_context(Daemon(cases.routes, {"log": {"to": "stderr", "level": "warning"}}))
        cases.daemon = daemon
        wrong = {}

        def try_all(when):
            for name, attempt in cases.tries.items():
                try:
                    attempt()
                except (AssertionError, OSError) as error:
                    wrong.setdefault(name, f"{when}: {error!r}"[:160])

        try_all("at first")
        daemon.reload()
        try_all("after a reload")
        os.kill(daemon.worker, 9)
        try_all("after a death")
        ip("link", "delete", NAME)
        before = listeners(daemon)
        daemon.reload()
        assert listeners(daemon) == before, "what is there is left alone"
        try_all("without an interface of that name here")
        os.kill(daemon.worker, 9)
        try_all("after another death")
        assert not wrong, "\n".join(f"{name}: {text}" for name, text in wrong.items()) + "\n" + daemon.log()
