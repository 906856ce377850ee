# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ends that speak messages: clients and echo servers of every kind of socket, streams among them by framing.

    end = End("unix-seqpacket", directory)
    with Echo(end): …                  every message comes back, edges and all
    with end.client() as client:
        client.say(b"…"); client.hear()
"""

import array
import itertools
import os
import socket
import struct
import threading

import harness

STREAMS = ("tcp4", "tcp6", "unix")
MESSAGES = ("udp4", "udp6", "unix-dgram", "unix-seqpacket")
KINDS = STREAMS + MESSAGES

LARGEST = {"udp4": 65507, "udp6": 65527}  # of others: what their buffers take

_counter = itertools.count()


def family(kind):
    if kind.startswith("unix"):
        return socket.AF_UNIX
    return socket.AF_INET6 if kind.endswith("6") else socket.AF_INET


def socket_type(kind):
    if kind.endswith("dgram") or kind.startswith("udp"):
        return socket.SOCK_DGRAM
    return socket.SOCK_SEQPACKET if kind.endswith("seqpacket") else socket.SOCK_STREAM


def frame(data):
    """length16, RFC 4571: what streams here are framed by."""
    return struct.pack(">H", len(data)) + data


class Wire:
    """One socket that says and hears messages."""

    def __init__(self, kind, sock):
        self.kind = kind
        self.sock = sock
        self.sock.settimeout(harness.PATIENCE)
        if kind == "unix-seqpacket":
            # Only the credentials tell a message without bytes from the end.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)

    def say(self, data):
        if self.kind in STREAMS:
            self.sock.sendall(frame(data))
        else:
            self.sock.send(data)

    def _exactly(self, count):
        data = bytearray()
        while len(data) < count:
            part = self.sock.recv(count - len(data))
            if not part:
                if data:
                    raise AssertionError(f"the stream ended within a frame, at {len(data)} of {count} bytes")
                return None
            data += part
        return bytes(data)

    def hear(self):
        """The next message; None at the end."""
        if self.kind in STREAMS:
            head = self._exactly(2)
            if head is None:
                return None
            count = struct.unpack(">H", head)[0]
            return self._exactly(count) if count else b""
        data, control, _, _ = self.sock.recvmsg(1 << 20, socket.CMSG_SPACE(12))
        if not data and self.kind == "unix-seqpacket" and not control:
            return None
        return data

    def hears_nothing(self, seconds=0.2):
        """Whether nothing comes for so long."""
        self.sock.settimeout(seconds)
        try:
            heard = self.hear()
            raise AssertionError(f"heard {heard!r:.80}")
        except (TimeoutError, socket.timeout):
            return True
        finally:
            self.sock.settimeout(harness.PATIENCE)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


class Answering(Wire):
    """A bound datagram socket that many may send to: what it says goes to whom it heard last."""

    peer = None

    def say(self, data):
        self.sock.sendto(data, self.peer)

    def hear(self):
        data, self.peer = self.sock.recvfrom(1 << 20)
        return data


class End:
    """An address of a kind, and its endpoint string."""

    def __init__(self, kind, directory=None, port=None):
        self.kind = kind
        if kind.startswith("unix"):
            self.path = os.path.join(directory, f"{kind}-{next(_counter)}")
            self.address = self.path
            self.text = f"{kind}://{self.path}"
        else:
            self.port = port or harness.free_port()
            host = "::1" if kind.endswith("6") else "127.0.0.1"
            self.address = (host, self.port)
            self.text = f"{kind}://{'[::1]' if kind.endswith('6') else host}:{self.port}"

    def __str__(self):
        return self.text

    @property
    def framed(self):
        """The endpoint as a route with messages at its other end takes it."""
        return self.text + "?framing=length16" if self.kind in STREAMS else self.text

    @property
    def is_datagram(self):
        return socket_type(self.kind) == socket.SOCK_DGRAM

    def socket(self):
        return socket.socket(family(self.kind), socket_type(self.kind))

    def wire(self, sock):
        return Wire(self.kind, sock)

    def client(self, named=True):
        sock = self.socket()
        if self.kind == "unix-dgram" and named:
            sock.bind("")
        sock.connect(self.address)
        return self.wire(sock)

    def server(self):
        """A bound socket, listening where there are connections."""
        sock = self.socket()
        if self.kind.startswith("unix"):
            try:
                os.unlink(self.path)
            except FileNotFoundError:
                pass
        elif socket_type(self.kind) == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(self.address)
        if not self.is_datagram:
            sock.listen(64)
        return sock


class Echo:
    """Answers every message with itself, while the block lasts. `asked` are the peers that asked."""

    def __init__(self, end, answer=lambda data: [data]):
        self.end = end
        self.answer = answer
        self.asked = []
        self.sock = None
        self.thread = None
        self.ended = False
        self.wires = []

    def _datagrams(self):
        self.sock.settimeout(0.05)
        while not self.ended:
            try:
                data, peer = self.sock.recvfrom(1 << 20)
                self.asked.append(peer)
                for reply in self.answer(data):
                    if peer:
                        self.sock.sendto(reply, peer)
            except (TimeoutError, socket.timeout, ConnectionError):
                continue

    def _connection(self, wire):
        try:
            while (data := wire.hear()) is not None:
                for reply in self.answer(data):
                    wire.say(reply)
        except (OSError, AssertionError):
            pass
        wire.close()

    def _accept(self):
        self.sock.settimeout(0.05)
        while not self.ended:
            try:
                sock, peer = self.sock.accept()
            except (TimeoutError, socket.timeout):
                continue
            self.asked.append(peer)
            wire = self.end.wire(sock)
            wire.sock.settimeout(None)
            self.wires.append(wire)
            threading.Thread(target=self._connection, args=(wire,), daemon=True).start()

    def __enter__(self):
        self.sock = self.end.server()
        run = self._datagrams if self.end.is_datagram else self._accept
        self.ended = False
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.ended = True
        self.thread.join()
        self.sock.close()
        for wire in self.wires:
            try:
                wire.sock.shutdown(socket.SHUT_RDWR)  # wakes whoever waits in recv()
            except OSError:
                pass
            wire.close()


def route(daemon, name):
    """The route as splicectl tells it."""
    return next(one for one in daemon.ctl("routes")["routes"] if one["name"] == name)


def sent_with_descriptor(sock, data):
    """Sends a message that carries a descriptor."""
    return sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))])
