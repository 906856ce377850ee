# SPDX-License-Identifier: LGPL-2.1-or-later
"""Garbage on the control socket: that connection ends, and traffic does not notice."""

import os
import random
import socket

import pytest

import harness
from harness import Daemon, Endpoint, Running, Serve

GARBAGE = {
    "random": random.Random(1).randbytes(4096),
    "random-line": random.Random(2).randbytes(512) + b"\n",
    "empty-line": b"\n",
    "not-json": b"hello there\n",
    "array": b"[1, 2, 3]\n",
    "no-verb": b"{}\n",
    "unknown-verb": b'{"verb": "fly"}\n',
    "number-as-verb": b'{"verb": 7}\n',
    "null-bytes": b"\0" * 1000 + b"\n",
    "bad-utf8": b'{"verb": "\xff\xfe"}\n',
    "deep": b"[" * 100000 + b"\n",
    "deep-object": b'{"a":' * 50000 + b"\n",
    "endless": b"x" * (2 << 20),
    "endless-string": b'{"verb": "' + b"a" * (2 << 20),
    "half": b'{"verb": "sta',
    "huge-number": b'{"verb": "kill", "id": 99999999999999999999999999999999}\n',
    "nothing": b"",
}


@pytest.fixture(scope="module")
def busy():
    """A daemon under a swarm that lasts as long as the module."""
    import shutil
    import tempfile
    place = tempfile.mkdtemp(prefix="fault-")
    front, back = Endpoint("inet", place), Endpoint("unix", place)
    with Serve(back), Daemon({"r": {"listen": front, "target": back}}) as daemon:
        swarm = Running("swarm", "--to", front, "--parallel", 4)
        yield daemon
        count, status = swarm.stop()
        assert status == 0, count
        assert daemon.status()["worker"]["starts"].get("crash", 0) == 0
    shutil.rmtree(place, ignore_errors=True)


def say(daemon, data):
    """Says it, half-closes, and returns all that comes back."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(harness.PATIENCE)
        client.connect(daemon.control)
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it may have hung up already
        return harness.read_all(client)


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage(busy, name):
    worker = busy.worker
    answer, ending = say(busy, GARBAGE[name])
    assert ending in ("end", "ECONNRESET"), "the connection stays open"
    assert len(answer) < 1 << 16
    assert busy.worker == worker
    assert busy.ctl("routes")["routes"]


def test_random_garbage(busy):
    dice = random.Random(int(os.environ.get("SPLICED_SEED", "7")))
    worker = busy.worker
    for _ in range(200):
        data = bytearray(random.Random(dice.random()).choice(list(GARBAGE.values()))[:2000])
        for _ in range(dice.randrange(5)):
            if data:
                data[dice.randrange(len(data))] = dice.randrange(256)
        assert say(busy, bytes(data))[1] != "timeout"
    assert busy.worker == worker
    assert busy.ctl("routes")["routes"]


def test_many_that_say_nothing(busy):
    """However many sit there: traffic flows, and when they have gone the next is answered."""
    held = []
    for _ in range(300):
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        try:
            client.connect(busy.control)
        except BlockingIOError:
            client.close()
            break
        held.append(client)
    route = busy_route_total(held, busy)
    assert route
    for client in held:
        client.close()
    harness.until("the control socket answers", lambda: busy.ctl_run("routes").returncode == 0)


def busy_route_total(held, daemon):
    """That sessions go on: seen from outside, since the control socket may be full."""
    before = harness.cpu_seconds(daemon.worker)
    return held and harness.until("the worker works", lambda: harness.cpu_seconds(daemon.worker) > before)


def test_a_reader_that_does_not_read(busy):
    """Asks for everything, again and again, and takes nothing: its connection is held back or ended, alone."""
    with socket.socket(socket.AF_UNIX) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(busy.control)
        client.setblocking(False)
        heap = harness.memory_kib(busy.worker)
        for _ in range(20000):
            try:
                client.send(b'{"verb": "sessions"}\n')
            except OSError:
                break
        assert busy.ctl("routes")["routes"]
        assert harness.memory_kib(busy.worker) - heap < 16 << 10
