# SPDX-License-Identifier: LGPL-2.1-or-later
"""A service that behaves as a test says: it answers, is silent, answers nonsense, answers without end, or is not there.

    with Service("tcp", way=http(503)) as service:
        service.way = http(200)

What it does with a connection, or a datagram, its `way` at that moment tells: bytes (answered, then closed), SILENT, ENDLESS; a function
of the request gives one of these. `asked` counts the connections, or datagrams; `peers` are their addresses."""

import os
import socket
import tempfile
import threading

from addresses import free_port

SILENT, ENDLESS = "silent", "endless"
TYPES = {"tcp": (socket.AF_INET, socket.SOCK_STREAM), "unix": (socket.AF_UNIX, socket.SOCK_STREAM),
         "seqpacket": (socket.AF_UNIX, socket.SOCK_SEQPACKET), "udp": (socket.AF_INET, socket.SOCK_DGRAM),
         "unix-dgram": (socket.AF_UNIX, socket.SOCK_DGRAM)}
SCHEMES = {"seqpacket": "unix-seqpacket", "udp": "udp4", "tcp": "tcp4"}


def http(status, body=b""):
    return b"HTTP/1.1 %d Word\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body)) + body


class Service:
    def __init__(self, kind, way=b"", reads=True):
        self.kind, self.way, self.reads = kind, way, reads
        self.family, self.type = TYPES[kind]
        self.directory = tempfile.mkdtemp(prefix="service-") if self.family == socket.AF_UNIX else None
        self.address = os.path.join(self.directory, "s") if self.directory else ("127.0.0.1", free_port())
        self.asked, self.peers, self.requests, self.held = 0, [], [], []
        self.sock = None
        self.begin()

    @property
    def port(self):
        return self.address[1]

    def __str__(self):
        return f"{SCHEMES.get(self.kind, self.kind)}://" + (self.address if self.directory else f"127.0.0.1:{self.port}")

    def begin(self):
        """It is there, from now on."""
        if self.directory and os.path.exists(self.address):
            os.unlink(self.address)
        self.sock = socket.socket(self.family, self.type)
        if not self.directory:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(self.address)
        if self.type != socket.SOCK_DGRAM:
            self.sock.listen(64)
        run = self.answer_datagrams if self.type == socket.SOCK_DGRAM else self.accept
        self.thread = threading.Thread(target=run, args=(self.sock,), daemon=True)
        self.thread.start()

    def end(self):
        """It is not there any more; connections that it has go on."""
        sock, self.sock = self.sock, None
        if sock:
            self.ended = sock
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            if self.type == socket.SOCK_DGRAM and not self.directory:
                with socket.socket(self.family, self.type) as waker:  # a socket that is read is not closed before it has read
                    waker.sendto(b"", self.address)
            self.thread.join()
            sock.close()

    def answer_of(self, request):
        return self.way(request) if callable(self.way) else self.way

    def answer_datagrams(self, sock):
        while self.sock is sock:
            try:
                request, peer = sock.recvfrom(65536)
            except OSError:
                continue
            if self.sock is not sock:
                return
            self.asked += 1
            answer = self.answer_of(request)
            if answer != SILENT:
                sock.sendto(b"x" * 60000 if answer == ENDLESS else answer, peer)

    def accept(self, sock):
        while True:
            try:
                peer, address = sock.accept()
            except OSError:
                return
            self.asked += 1
            self.peers.append(address)
            threading.Thread(target=self.answer, args=(peer,), daemon=True).start()

    def read(self, peer):
        """A request up to its empty line, or what came first."""
        request = b""
        while self.reads and (part := peer.recv(65536)):
            request += part
            if not request.startswith(b"GET") or b"\r\n\r\n" in request:
                break
        return request

    def answer(self, peer):
        try:
            request = self.read(peer)
            self.requests.append(request)
            answer = self.answer_of(request)
            if answer == SILENT:
                self.held.append(peer)
                return
            while answer == ENDLESS:
                peer.sendall(b"x" * 4096)
            if answer:
                peer.sendall(answer)
        except OSError:
            pass
        peer.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.end()
        for peer in self.held:
            peer.close()
        if self.directory:
            if os.path.exists(self.address):
                os.unlink(self.address)
            os.rmdir(self.directory)
