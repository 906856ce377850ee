# SPDX-License-Identifier: LGPL-2.1-or-later
"""The ends around a daemon whose configuration changes: an echo for every kind of target, clients that verify it, fronts that are
dialled, senders to feeds. And what the kernel says of the daemon's sockets."""

import collections
import contextlib
import errno
import itertools
import json
import os
import selectors
import socket
import threading

import harness
import namespace
from harness import until
from model import Front

PATIENCE = harness.PATIENCE * 2
TYPES = {"unix-seqpacket": socket.SOCK_SEQPACKET, "unix-dgram": socket.SOCK_DGRAM, "udp4": socket.SOCK_DGRAM}
IP = ("tcp4", "tcp6") if harness.has_ipv6() else ("tcp4",)
FRONT_KINDS = {"stream": (*IP, "unix"), "packets": ("unix-seqpacket",), "dgram": ("unix-dgram",), "udp": ("udp4",), "feed": ("netlink",),
               "dial": ("unix",)}
TARGET_KINDS = {"stream": (*IP, "unix"), "packets": ("unix-seqpacket",), "dgram": ("unix-dgram",), "udp": ("udp4",), "feed": ("udp4",),
                "dial": ("unix",)}


def sockaddr(kind, address):
    if kind.startswith("unix"):
        return address
    host, port = address.rsplit(":", 1)
    return host.strip("[]"), int(port)


def make_socket(kind):
    family = socket.AF_UNIX if kind.startswith("unix") else socket.AF_INET6 if kind == "tcp6" else socket.AF_INET
    return socket.socket(family, TYPES.get(kind, socket.SOCK_STREAM))


class Echo:
    """One thread, in which every target says what it hears. What feeds say is kept."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.heard = collections.Counter()
        self.wake, self.end = socket.socketpair()
        self.selector.register(self.end, selectors.EVENT_READ, None)
        self.thread = threading.Thread(target=self.run, daemon=True)

    def add(self, kind, address):
        sock = make_socket(kind)
        sock.bind(sockaddr(kind, address))
        if kind in ("unix-dgram", "udp4"):
            self.selector.register(sock, selectors.EVENT_READ, self.answer)
        else:
            sock.listen(1024)
            self.selector.register(sock, selectors.EVENT_READ, self.accept)

    def accept(self, listener):
        sock, _ = listener.accept()
        self.selector.register(sock, selectors.EVENT_READ, self.echo)

    def echo(self, sock):
        with contextlib.suppress(ConnectionError):
            data = sock.recv(1 << 16)
            if data:
                sock.sendall(data)
                return
        self.selector.unregister(sock)
        sock.close()

    def answer(self, sock):
        data, peer = sock.recvfrom(1 << 16)
        if data.startswith(b"{"):
            event = json.loads(data)
            self.heard[sock.getsockname()[1], event.get("event"), event.get("local")] += 1
        elif peer:
            with contextlib.suppress(OSError):
                sock.sendto(data, peer)

    def run(self):
        while True:
            for key, _ in self.selector.select():
                if not key.data:
                    return
                key.data(key.fileobj)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.wake.send(b"x")
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()


class Client:
    """Says numbered messages to a front, each of which must come back, once but for what a kill repeats, in order, whole."""

    _number = itertools.count()

    def __init__(self, front, route, place):
        self.front, self.route, self.stream = front, route, front.kind in ("tcp4", "tcp6", "unix")
        self.accepted = front.kind not in ("unix-dgram", "udp4")
        self.said = 0
        self.session = None
        self.meaning = None  # of the route, as this session was opened
        self.sock = make_socket(front.kind)
        if front.kind == "unix-dgram":
            self.sock.bind(os.path.join(place, f"client{next(self._number)}"))
        self.sock.settimeout(PATIENCE)
        self.sock.connect(sockaddr(front.kind, front.address))

    def message(self, number):
        data = b"%s %d %d " % (self.front.kind.encode(), id(self), number)
        return data + bytes(range(256)) * (number % 8)

    def say(self):
        """One message, there and back."""
        self.said += 1
        data = self.message(self.said)
        try:
            self.sock.sendall(data) if self.stream else self.sock.send(data)
            heard = self.hear(len(data))
            while not self.stream and heard != data and heard in (self.message(number) for number in range(max(self.said - 3, 0), self.said)):
                heard = self.hear(len(data))  # came twice: it was in hand when a worker was killed
        except OSError as error:
            raise AssertionError(f"{self}: {error} at message {self.said}") from error
        assert heard == data, f"{self}: said {data!r:.60}, heard {heard!r:.60}"

    def hear(self, count):
        if not self.stream:
            return self.sock.recv(1 << 16)
        return self.sock.recv(count, socket.MSG_WAITALL)

    def close(self):
        self.sock.close()

    def __str__(self):
        return f"session {self.session} of {self.front} (route {self.route[-12:]})"


class Dialled:
    """A listener of the test's that routes dial."""

    def __init__(self, address):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(address)
        self.listener.listen()
        self.listener.setblocking(False)
        self.conns = []
        self.said = 0

    def take(self):
        """Drops connections that have ended, and takes those that came; True: one is left."""
        with contextlib.suppress(BlockingIOError):
            while True:
                conn, _ = self.listener.accept()
                conn.settimeout(PATIENCE)
                self.conns.append(conn)
        for conn in list(self.conns):
            conn.setblocking(False)
            try:
                ended = not conn.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                ended = False
            except ConnectionError:
                ended = True
            conn.settimeout(PATIENCE)
            if ended:
                self.conns.remove(conn)
                conn.close()
        return len(self.conns) == 1

    def speaks(self):
        self.said += 1
        data = b"dial %d" % self.said
        self.conns[0].sendall(data)
        assert self.conns[0].recv(len(data), socket.MSG_WAITALL) == data

    def close(self):
        for sock in (*self.conns, self.listener):
            sock.close()


class World:
    def __init__(self, place, without):
        self.place = place
        self.echo = Echo()
        self.targets = {}
        self.dialled = {}
        self.numbers = itertools.count()
        self.has_absent = self.lacks_bluetooth()
        self.kinds = [kind for kind in ("stream", "stream", "packets", "dgram", "udp", "dial", "feed") if kind not in without]
        for kind in (*IP, "unix", "unix-seqpacket", "unix-dgram", "udp4"):
            self.targets[kind] = []
            for _ in range(2):
                address = self.new_address(kind)
                self.echo.add(kind, address)
                self.targets[kind].append(f"{kind}://{address}")
    def new_address(self, kind):
        if kind == "tcp6":
            return f"[::1]:{harness.free_port()}"
        if kind in ("tcp4", "udp4"):
            return f"127.0.0.1:{harness.free_port()}"
        return os.path.join(self.place, f"s{next(self.numbers)}")

    def new_front(self, random, kind):
        front = random.choice(FRONT_KINDS[kind])
        if kind == "feed":
            return Front("netlink", "route", (("groups", "addr"), ("format", "json")))
        found = Front(front, self.new_address(front))
        if kind == "dial":
            self.dialled[found.address] = Dialled(found.address)
        return found

    def absent_front(self, random):
        """Of a family that this kernel lacks: it waits."""
        return Front("rfcomm", f"any/{random.randint(1, 30)}")

    @staticmethod
    def lacks_bluetooth():
        if not os.path.exists(os.path.join(harness.plugin_dir(), "bluetooth.so")):
            return False
        try:
            socket.socket(socket.AF_BLUETOOTH, socket.SOCK_STREAM, socket.BTPROTO_RFCOMM).close()
        except OSError as error:
            return error.errno == errno.EAFNOSUPPORT
        return False

    def target_bases(self, kind):
        if kind != "feed":
            return [base for one in TARGET_KINDS[kind] for base in self.targets[one]]
        address = self.new_address("udp4")
        self.echo.add("udp4", address)
        return ["udp4://" + address]

    def change_options(self, random, front):
        tcp = ("backlog", ("64", "128")), ("nodelay", ("false", "true")), ("freebind", ("true", "false"))
        choices = {"tcp4": tcp, "tcp6": tcp,
                   "unix": (("backlog", ("64", "128")), ("mode", ("0600", "0666"))), "unix-seqpacket": (("mode", ("0600", "0666")),),
                   "unix-dgram": (("mode", ("0600", "0666")),), "udp4": (("freebind", ("true", "false")),)}.get(front.kind)
        if not choices or front.address in self.dialled:
            return front
        key, values = random.choice(choices)
        options = dict(front.options)
        options[key] = random.choice(values)
        return Front(front.kind, front.address, tuple(sorted(options.items())))

    def event(self):
        """Something that feeds hear: what it says."""
        number = next(self.numbers)
        address = f"127.{100 + number // 60000}.{number // 250 % 250}.{number % 250 + 1}"
        namespace.ip("address", "add", address + "/32", "dev", "lo")
        namespace.ip("address", "del", address + "/32", "dev", "lo")
        return address

    def __enter__(self):
        self.echo.__enter__()
        return self

    def __exit__(self, *exception):
        self.echo.__exit__()
        for one in self.dialled.values():
            one.close()


# ---- what the kernel says ----


def _rows(name):
    with contextlib.suppress(FileNotFoundError):
        with open("/proc/net/" + name, encoding="utf-8") as table:
            for line in list(table)[1:]:
                yield line.split()


def listening_inodes(owned):
    """{base address: inodes} of the sockets among those owned that nobody connected."""
    found = collections.defaultdict(set)
    for name, scheme, state in (("tcp", "tcp4", "0A"), ("udp", "udp4", "07")):
        for words in _rows(name):
            host, port = words[1].split(":")
            if words[3] == state and words[9] in owned:
                found[f"{scheme}://{socket.inet_ntoa(bytes.fromhex(host)[::-1])}:{int(port, 16)}"].add(words[9])
    for words in _rows("tcp6"):
        if words[3] == "0A" and words[9] in owned:
            found[f"tcp6://[::1]:{int(words[1].split(':')[1], 16)}"].add(words[9])
    for words in _rows("unix"):
        kind = {"0001": "unix", "0002": "unix-dgram", "0005": "unix-seqpacket"}.get(words[4])
        if len(words) > 7 and words[6] in owned and (words[3] == "00010000" or words[4] == "0002"):
            found[f"{kind}://{words[7]}"].add(words[6])
    for words in _rows("netlink"):
        if int(words[3], 16) and words[9] in owned:
            found["netlink://route"].add(words[9])
    return found


def owned_inodes(pid):
    return {link[8:-1] for link in harness.descriptors(pid).values() if link.startswith("socket:[")}
