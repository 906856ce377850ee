# SPDX-License-Identifier: LGPL-2.1-or-later
"""Names of targets in the zones of a real name server, which change: when they are looked up again, and what stays when there is no good
answer."""

import os
import re
import socket
import struct
import threading
import time

import pytest

import harness
from harness import Daemon, Endpoint, free_port, until
from test_names import Files
from zones import Zones, own_address

OLD, NEW = "127.0.0.1", "127.0.0.2"


class Listener:
    """Takes clients at every loopback address, and tells each where it has arrived."""

    def __init__(self):
        self.socket = socket.create_server(("0.0.0.0", 0), backlog=128)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client:
                client.sendall(client.getsockname()[0].encode())

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def reached(front):
    """Where a client arrives; "": it was reset."""
    try:
        with front.connect() as client:
            return client.recv(100).decode()
    except ConnectionResetError:
        return ""


def arrives(front, address):
    until(f"a client arrives at {address}", lambda: reached(front) == address, harness.PATIENCE * 3)


def routes_of(place, port, names, **more):
    """A route for each; their fronts, by the name's first label."""
    fronts = {name.split(".")[0]: Endpoint("inet", place) for name in names}
    routes = {label: {"listen": front, "target": f"tcp4://{name}:{port}", "retry": {"attempts": 1}, "resolve": "1s", **more}
              for (label, front), name in zip(fronts.items(), names)}
    return fronts, routes


# What becomes of a zone whose www was OLD, and what the log says of it.
FAILURES = {
    "gone": ("other 1 A 127.0.0.1\n", "Domain name not found"),
    "servfail": (None, ""),
    "empty": ("www 1 TXT nothing\n", ""),
    "loop": ("www 1 CNAME pool\npool 1 CNAME www\n", ""),
}


def test_the_last_good_answer_stays(place):
    """Over NXDOMAIN, SERVFAIL, an empty answer, a loop of CNAMEs, a silent server; over a crash and a reload. Then the new one counts."""
    good = f"www 1 A {OLD}\n"
    with Listener() as listener, Zones(place, {f"{case}.test": good for case in FAILURES}) as zones:
        fronts = {case: Endpoint("inet", place) for case in FAILURES}
        routes = {case: {"listen": front, "target": f"tcp4://www.{case}.test:{listener.port}", "resolve": "1s"}
                  for case, front in fronts.items()}
        with Daemon(routes, wrap=zones.wrap) as daemon:
            for front in fronts.values():
                arrives(front, OLD)
            for case, (text, _) in FAILURES.items():
                zones.change(f"{case}.test", text)
            for case, (_, why) in FAILURES.items():
                line = re.compile(rf"www\.{case}\.test does not resolve: .*{why}.*; the last addresses are kept")
                until(f"{case} is noticed", lambda line=line: line.search(daemon.log()), harness.PATIENCE * 3)
            for front in fronts.values():
                assert reached(front) == OLD
            zones.silence()
            worker = daemon.worker
            os.kill(worker, 9)
            daemon.worker_after(worker)
            daemon.write({**routes, "more": {"listen": Endpoint("inet", place), "target": Endpoint("unix", place)}})
            daemon.ctl("reload")
            for front in fronts.values():
                assert reached(front) == OLD
            zones.speak()
            for case in FAILURES:
                zones.change(f"{case}.test", f"www 1 A {NEW}\n")
            for front in fronts.values():
                arrives(front, NEW)
            for case in FAILURES:
                assert f"www.{case}.test resolves again" in daemon.log()


def test_the_ttl_within_resolve(place):
    """A TTL that is over is obeyed, however long `resolve` is; `resolve`, however long the TTL, also that of a CNAME before it."""
    cases = {"short": ("1d", 1, 1), "long": ("1s", 86400, 86400), "alias": ("1d", 1, 86400)}

    def zone(address):
        return "".join(f"{case} {ttl} CNAME real-{case}\nreal-{case} {below} A {address}\n" for case, (_, ttl, below) in cases.items())

    with Listener() as listener, Zones(place, {"ttl.test": zone(OLD)}) as zones:
        fronts = {case: Endpoint("inet", place) for case in cases}
        routes = {case: {"listen": fronts[case], "target": f"tcp4://{case}.ttl.test:{listener.port}", "resolve": resolve}
                  for case, (resolve, _, _) in cases.items()}
        with Daemon(routes, wrap=zones.wrap):
            for address in (OLD, NEW, OLD):
                zones.change("ttl.test", zone(address))
                for front in fronts.values():
                    arrives(front, address)


def test_large_answers_and_short_names(place):
    """500 addresses do not fit a datagram: they are asked for again over TCP, and one of them is connected to. A name without a dot is
    looked for in the search domains."""
    many = "".join(f"many 1 A 127.{1 + i // 250}.7.{1 + i % 250}\n" for i in range(500))
    with Listener() as listener, \
            Zones(place, {"first.test": "", "second.test": f"plain 1 A {NEW}\n{many}"}, "search first.test second.test\n") as zones:
        fronts, routes = routes_of(place, listener.port, ["many.second.test", "plain"])
        with Daemon(routes, wrap=zones.wrap):
            arrives(fronts["plain"], NEW)
            until("a client arrives", lambda: reached(fronts["many"]), harness.PATIENCE * 3)
            assert re.fullmatch(r"127\.[12]\.7\.\d+", reached(fronts["many"]))


class HalfServer(threading.Thread):
    """A name server whose answers have a TTL of 0, and that refuses those of one family when it is told to."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.asked, self.refuses = 0, None
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))

    def run(self):
        while True:
            try:
                query, peer = self.socket.recvfrom(512)
            except OSError:
                return
            end = query.index(b"\0", 12) + 5
            kind, = struct.unpack("!H", query[end - 4:end - 2])
            value = socket.inet_pton(*((socket.AF_INET, OLD) if kind == 1 else (socket.AF_INET6, "::1")))
            good = kind != self.refuses
            self.asked += 1
            self.socket.sendto(query[:2] + struct.pack("!HHHHH", 0x8180 if good else 0x8182, 1, int(good), 0, 0) + query[12:end] +
                               (b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(value)) + value if good else b""), peer)


@pytest.fixture
def half_server(place):
    files = Files(place)
    address = own_address()
    with open(files.resolv, "w", encoding="utf-8") as file:
        file.write(f"nameserver {address}\n")
    server = HalfServer(address)
    server.wrap = files.wrap
    server.start()
    yield server
    server.socket.close()


def test_one_family_that_fails(place, half_server):
    """Its last addresses are kept beside those of the other; a TTL of 0 is one second."""
    if not harness.has_ipv6():
        raise harness.Skip("no IPv6 here")
    front, port = Endpoint("inet", place), free_port()
    routes = {"r": {"listen": front, "target": f"tcp://both.test:{port}"}}
    with Daemon(routes, wrap=half_server.wrap) as daemon:
        half_server.refuses = 1
        with socket.create_server((OLD, port)) as listener:
            until("half of it does not resolve", lambda: "both.test does not resolve for all address families" in daemon.log(), harness.PATIENCE * 3)
            listener.settimeout(harness.PATIENCE)
            with front.connect() as client:
                server, _ = listener.accept()
                server.close()
                assert client.recv(1) == b""
        half_server.refuses = None
        until("all of it resolves", lambda: "both.test resolves again" in daemon.log(), harness.PATIENCE * 3)
        began, asked = time.monotonic(), half_server.asked
        until("it is asked again", lambda: half_server.asked >= asked + 4, harness.PATIENCE * 3)
        # In so many seconds there were as many lookups at most, and one before; each is of two questions.
        assert half_server.asked - asked <= 2 * (time.monotonic() - began + 2)
