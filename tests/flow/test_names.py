# SPDX-License-Identifier: LGPL-2.1-or-later
"""Targets by name: looked up beside the traffic, at the start, again later, and soon after a failure. The daemon has its
own /etc/hosts and /etc/resolv.conf here, in a mount namespace; the name server is ours."""

import os
import socket
import struct
import subprocess
import threading
import time

import pytest

import harness
from harness import Daemon, Endpoint, free_port, until

MOUNT = 'mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/resolv.conf && shift 2 && exec "$@"'
NAME_PATIENCE = harness.PATIENCE * 3


class Files:
    """The daemon's hosts and resolv.conf; hosts can be written again while it runs."""

    def __init__(self, place):
        if os.geteuid() != 0:
            raise harness.Skip("only root can give the daemon an /etc/hosts of its own")
        for path in ("/etc/hosts", "/etc/resolv.conf"):
            if not os.path.isfile(path):
                raise harness.Skip(f"there is no {path} to put another in the place of")
        self.hosts, self.resolv = os.path.join(place, "hosts"), os.path.join(place, "resolv.conf")
        self.write("127.0.0.1 localhost\n")
        with open(self.resolv, "w", encoding="utf-8") as file:
            file.write("nameserver 127.0.0.1\n")
        self.wrap = ("unshare", "--mount", "--fork", "sh", "-c", MOUNT, "sh", self.hosts, self.resolv)
        tried = subprocess.run([*self.wrap, "true"], capture_output=True, text=True, check=False)
        if tried.returncode:
            raise harness.Skip(f"no file systems of its own for the daemon here: {tried.stderr.strip()}")

    def write(self, text):
        with open(self.hosts, "w", encoding="utf-8") as file:
            file.write(text)


@pytest.fixture
def files(place):
    return Files(place)


def exchange(front, listener):
    """One session with something said both ways. Of a client that gave up before its target was found, there may be a connection still."""
    with front.connect() as client:
        client.sendall(b"hello")
        heard = b""
        while not heard:
            server, _ = listener.accept()
            with server:
                heard = server.recv(10)
                if heard:
                    server.sendall(b"world")
        assert heard == b"hello" and client.recv(10) == b"world"


def refused(front):
    try:
        with front.connect() as client:
            return client.recv(1) == b"never"
    except ConnectionResetError:
        return True


def served(front, listener):
    """Whether a session gets through now."""
    listener.settimeout(0.5)
    try:
        with front.connect() as client:
            server, _ = listener.accept()
            server.close()
            return client.recv(1) == b""
    except (ConnectionResetError, TimeoutError):
        return False


def test_the_first_address_that_answers(files, place):
    """A name of both families, IPv6 first, and nobody there: the session does not notice."""
    if not harness.has_ipv6():
        raise harness.Skip("no IPv6 here")
    files.write("::1 both.test\n127.0.0.1 both.test\n")
    front, port = Endpoint("inet", place), free_port()
    with socket.create_server(("127.0.0.1", port)) as listener, \
            Daemon({"r": {"listen": front, "target": f"tcp://both.test:{port}"}}, wrap=files.wrap) as daemon:
        until("the name is known", lambda: daemon.ctl("routes")["routes"][0]["targets"][0]["state"] == "up")
        listener.settimeout(harness.PATIENCE)
        for _ in range(5):
            exchange(front, listener)
        assert daemon.status()["verdict"] == "OK"


def test_a_name_that_comes_later(files, place):
    """It is a target that is down; neither the start nor another route waits for it."""
    front, other, back, port = (Endpoint("inet", place), Endpoint("inet", place), Endpoint("unix", place), free_port())
    routes = {"r": {"listen": front, "target": f"tcp4://later.test:{port}", "retry": {"attempts": 1}},
              "s": {"listen": other, "target": back}}
    with back.listen() as neighbour, socket.create_server(("127.0.0.1", port)) as listener, \
            Daemon(routes, wrap=files.wrap) as daemon:
        exchange(other, neighbour)
        assert refused(front)
        assert daemon.ctl("routes")["routes"][0]["targets"][0]["state"] == "down"
        files.write("127.0.0.1 later.test\n")
        until("the name is found", lambda: served(front, listener), NAME_PATIENCE)


def test_a_file_of_names_that_is_replaced(place):
    """As an editor does it: another file has its name. The worker was let to the first alone, and gives way to one that reads the new."""
    if os.geteuid() != 0:
        raise harness.Skip("only root can give the daemon an /etc of its own")
    etc = os.path.join(place, "etc")
    os.mkdir(etc)

    def write(hosts):
        for name, text in (("hosts", hosts), ("resolv.conf", "nameserver 127.0.0.1\n"), ("passwd", "root:x:0:0::/:\n")):
            with open(os.path.join(etc, name + ".new"), "w", encoding="utf-8") as file:
                file.write(text)
            os.rename(file.name, file.name[:-len(".new")])

    write("127.0.0.1 localhost\n")
    wrap = ("unshare", "--mount", "--fork", "sh", "-c", 'mount --bind "$1" /etc && shift && exec "$@"', "sh", etc)
    tried = subprocess.run([*wrap, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        raise harness.Skip(f"no file systems of its own for the daemon here: {tried.stderr.strip()}")
    front, port = Endpoint("inet", place), free_port()
    routes = {"r": {"listen": front, "target": f"tcp4://later.test:{port}", "retry": {"attempts": 1}}}
    with socket.create_server(("127.0.0.1", port)) as listener, Daemon(routes, wrap=wrap) as daemon:
        assert refused(front)
        for number in range(2):
            write(f"127.0.0.1 other{number}.test\n127.0.0.1 later.test\n")
            until("the name is found", lambda: served(front, listener), NAME_PATIENCE)
        starts = daemon.status()["worker"]["starts"]
        assert starts["crash"] == starts["hang"] == 0


class NameServer(threading.Thread):
    """A name server on 127.0.0.1 that is silent until it is given the address to tell."""

    def __init__(self):
        super().__init__(daemon=True)
        self.address = None
        self.asked = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.socket.bind(("127.0.0.1", 53))
        except OSError as error:
            raise harness.Skip(f"127.0.0.1:53 is not to be had: {error}") from error

    def run(self):
        while True:
            try:
                query, peer = self.socket.recvfrom(512)
            except OSError:
                return
            self.asked += 1
            if not self.address:
                continue
            end = query.index(b"\0", 12) + 5
            wanted, = struct.unpack("!H", query[end - 4:end - 2])
            answer = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 30, 4) + socket.inet_aton(self.address)
            found = wanted == 1
            self.socket.sendto(query[:2] + struct.pack("!HHHHH", 0x8180, 1, int(found), 0, 0) + query[12:end] +
                               (answer if found else b""), peer)


@pytest.fixture
def name_server():
    server = NameServer()
    server.start()
    yield server
    server.socket.close()


def test_a_silent_name_server(files, place, name_server):
    """Nobody waits for it; and the last good addresses survive the worker."""
    front, other, back, port = (Endpoint("inet", place), Endpoint("inet", place), Endpoint("unix", place), free_port())
    routes = {"r": {"listen": front, "target": f"tcp4://dns.test:{port}", "retry": {"attempts": 1}},
              "s": {"listen": other, "target": back}}
    with back.listen() as neighbour, socket.create_server(("127.0.0.1", port)) as listener, \
            Daemon(routes, wrap=files.wrap) as daemon:
        until("the name is asked for", lambda: name_server.asked)
        began = time.monotonic()
        for _ in range(20):
            exchange(other, neighbour)
        assert time.monotonic() - began < harness.PATIENCE
        name_server.address = "127.0.0.1"
        until("the name is found", lambda: served(front, listener), NAME_PATIENCE)
        name_server.address = None
        worker = daemon.worker
        os.kill(worker, 9)
        daemon.worker_after(worker)
        listener.settimeout(harness.PATIENCE)
        exchange(front, listener)
