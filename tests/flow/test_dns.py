# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real DNS server, dnsmasq, behind a UDP route: thousands of clients, and each answer to its asker."""

import os
import random
import selectors
import shutil
import socket
import struct
import subprocess

import pytest

import harness
from harness import Daemon, until
from messages import route

NAMES = 1000
QUERIES = int(os.environ.get("SPLICED_QUERIES", "10000"))
AT_ONCE = 100
DNSMASQ = shutil.which("dnsmasq") or shutil.which("dnsmasq", path="/usr/sbin:/sbin")


def address_of(number):
    return f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"


def query(ident, number):
    name = b"".join(bytes([len(part)]) + part for part in (b"n%d" % number, b"test")) + b"\0"
    return struct.pack(">6H", ident, 0x0100, 1, 0, 0, 0) + name + struct.pack(">2H", 1, 1)


def check(answer, ident, number):
    """The answer is to this very question."""
    assert len(answer) > 12
    got, flags, questions, answers = struct.unpack(">4H", answer[:8])
    assert (got, flags & 0x800f, questions, answers) == (ident, 0x8000, 1, 1), answer
    assert answer[-4:] == socket.inet_aton(address_of(number)), answer


@pytest.fixture
def server(place):
    if not DNSMASQ:
        pytest.skip("no dnsmasq: install dnsmasq-base")
    port = harness.free_port()
    hosts = os.path.join(place, "hosts")
    with open(hosts, "w", encoding="utf-8") as file:
        file.writelines(f"{address_of(number)} n{number}.test\n" for number in range(NAMES))
    process = subprocess.Popen([DNSMASQ, "--keep-in-foreground", "--conf-file=/dev/null", "--user=", f"--port={port}",
                                "--listen-address=127.0.0.1", "--bind-interfaces", "--no-resolv", "--no-hosts",
                                "--pid-file=", f"--addn-hosts={hosts}", "--dns-forward-max=5000"],
                               stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def answers():
        assert process.poll() is None, process.stderr.read()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.2)
            sock.connect(("127.0.0.1", port))
            try:
                sock.send(query(1, 1))
                return sock.recv(512)
            except OSError:
                return None

    until("dnsmasq answers", answers)
    yield port
    process.terminate()
    process.wait()
    process.stderr.close()


class Client:
    """Asks once, from a port of its own."""

    def __init__(self, port, ident, number):
        self.ident = ident
        self.number = number
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.connect(("127.0.0.1", port))
        self.sock.send(query(ident, number))

    def hear(self):
        check(self.sock.recv(512), self.ident, self.number)
        self.sock.close()


@pytest.mark.parametrize("options", ({"replies": 1}, {"replies": 1, "overflow": "block"}), ids=("drop", "block"))
def test_each_answer_reaches_its_asker(server, options):
    port = harness.free_port()
    choose = random.Random(1)
    routes = {"dns": {"listen": f"udp4://127.0.0.1:{port}", "target": f"udp4://127.0.0.1:{server}", **options}}
    count = QUERIES if len(options) == 1 else QUERIES // 10
    with Daemon(routes, {"log": {"to": "stderr", "level": "warning"}}) as daemon, selectors.DefaultSelector() as waiting:
        asked = answered = 0
        while answered < count:
            while asked < count and asked - answered < AT_ONCE:
                client = Client(port, choose.randrange(65536), choose.randrange(NAMES))
                waiting.register(client.sock, selectors.EVENT_READ, client)
                asked += 1
            ready = waiting.select(harness.PATIENCE)
            assert ready, f"{asked - answered} of {asked} queries were not answered"
            for key, _ in ready:
                waiting.unregister(key.fileobj)
                key.data.hear()
                answered += 1
        counts = route(daemon, "dns")
        assert counts["messages"] == {"to_target": count, "from_target": count}
        assert counts["sessions"]["total"] > count // 2 and not counts["dropped"], counts
        until("every session has ended with its answer", lambda: not route(daemon, "dns")["sessions"]["active"])
