# SPDX-License-Identifier: LGPL-2.1-or-later
"""Urgent data (MSG_OOB) of TCP: every byte arrives once, in order, wherever the urgent ones are and whatever follows, relayed and
framed, also when the worker dies at any of the calls that take the byte across."""

import fcntl
import os
import signal
import socket
import struct
import termios
import threading

import pytest

import harness
from harness import Daemon, Endpoint, Injected, until

# What is said: (bytes, whether the last of them is urgent).
PLANS = {
    "alone": [(b"!", True)],
    "first": [(b"!", True), (b"behind it", False)],
    "middle": [(b"before it!", True), (b"behind it", False)],
    "last": [(b"before it!", True)],
    "several": [(b"one!", True), (b"two!", True), (b"three", False), (b"four!", True)],
    "in-a-row": [(b"1", True), (b"2", True), (b"3", True), (b"4", False)],
    "large": [(b"x" * 300_000 + b"!", True), (b"y" * 300_000, False), (b"z" * 100_000 + b"!", True)],  # more than fits on the way
}
ENDS = ("open", "fin", "close")
PAIRS = [("inet", "inet"), ("inet", "unix"), ("unix", "inet"), ("inet6", "inet")]
FRAMING = "length32"


def said(plan):
    return b"".join(data for data, _ in plan)


def say(sock, plan):
    for data, urgent in plan:
        sock.sendall(data[:-1] if urgent else data)
        if urgent:
            assert sock.send(data[-1:], socket.MSG_OOB) == 1


def finish(sock, end):
    if end == "fin":
        sock.shutdown(socket.SHUT_WR)
    elif end == "close":
        sock.close()


def hear(sock, size):
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        assert part, f"the end after {data[:80]!r}, {len(data)} of {size} bytes"
        data += part
    return data


class Course:
    def __init__(self, place, pair, **settings):
        self.front, back = Endpoint(pair[0], place), Endpoint(pair[1], place)
        self.listener = back.listen()
        self.daemon = Daemon({"r": {"listen": self.front, "target": back, **settings}})

    def session(self):
        client = self.front.connect()
        server, _ = self.listener.accept()
        server.settimeout(harness.PATIENCE)
        return client, server


@pytest.fixture(scope="module")
def courses(tmp_path_factory):
    found = {}
    try:
        for pair in PAIRS:
            found[pair] = Course("/tmp", pair)
            found[pair].daemon.start()
        yield found
    finally:
        for course in found.values():
            course.listener.close()
            course.daemon.stop()
            course.daemon.kill()


def kill_worker(daemon):
    worker = daemon.worker
    os.kill(worker, signal.SIGKILL)
    daemon.worker_after(worker)


# Who speaks: only TCP has urgent data.
SPEAKERS = [(pair, speaker) for pair in PAIRS for speaker in ("client", "server") if pair[speaker == "server"] != "unix"]


def ends(client, server, speaker):
    return (client, server) if speaker == "client" else (server, client)


@pytest.mark.parametrize("kill", (False, True), ids=("", "killed"))
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("pair, speaker", SPEAKERS, ids=["-".join((*pair, speaker)) for pair, speaker in SPEAKERS])
def test_every_byte_in_order(courses, pair, speaker, end, kill):
    for name, plan in PLANS.items():
        client, server = courses[pair].session()
        speaks, hears = ends(client, server, speaker)
        speaking = threading.Thread(target=lambda: (say(speaks, plan), finish(speaks, end)))
        speaking.start()
        if kill:
            kill_worker(courses[pair].daemon)
        assert hear(hears, len(said(plan))) == said(plan), name
        speaking.join()
        if end != "open":
            assert harness.read_all(hears) == (b"", "end"), name
        client.close()
        server.close()


@pytest.mark.parametrize("speaker", ("client", "server"))
def test_what_was_sent_before_a_reset(courses, speaker):
    """The receiver has all of it before the reset comes."""
    pair = PAIRS[0]
    for name, plan in PLANS.items():
        client, server = courses[pair].session()
        speaks, hears = ends(client, server, speaker)
        speaking = threading.Thread(target=say, args=(speaks, plan))
        speaking.start()
        assert hear(hears, len(said(plan))) == said(plan), name
        speaking.join()
        harness.reset(speaks)
        assert harness.read_all(hears) == (b"", "ECONNRESET"), name
        hears.close()


def test_a_reader_that_is_slow(courses):
    """The sink takes nothing when an urgent byte is next."""
    course = courses[PAIRS[0]]
    plan = [(b"x" * 5_000_000 + b"!", True), (b"y" * 10_000 + b"!", True), (b"z" * 3_000_000 + b"!", True), (b"?", True)]
    client, server = course.session()
    sender = threading.Thread(target=say, args=(client, plan))
    sender.start()
    until("bytes are on their way", lambda: sum(one["bytes"]["to_target"] for one in course.daemon.sessions()) > 10_000)
    sender.join(0.2)  # and fill all there is to fill
    assert hear(server, len(said(plan))) == said(plan)
    sender.join()
    client.close()
    server.close()


# ---- deaths at the calls that take the byte across ----

# A thread's recvs here: the peek, then the one that consumes; its writes: the byte; its splices: what is before it, then the stop there.
DEATHS = [("recvfrom", 1), ("recvfrom", 2), ("write", 1), ("splice", 1), ("splice", 2), ("splice", 3), ("splice", 4), ("ioctl", 1)]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("after", (False, True), ids=("before", "after"))
@pytest.mark.parametrize("call, number", DEATHS, ids=[f"{call}-{number}" for call, number in DEATHS])
def test_a_death_at_the_call(courses, call, number, after, end):
    """Before the call, or when it is done and nobody knows."""
    course = courses[PAIRS[0]]
    for name in ("alone", "first", "middle", "several", "in-a-row"):
        plan = PLANS[name]
        client, server = course.session()
        client.sendall(b"hello")
        assert hear(server, 5) == b"hello"  # and there is a pipe
        (session,) = course.daemon.sessions()
        worker = course.daemon.worker
        what = f"delay_exit=20000000:when={number}" if after else f"signal=KILL:when={number}"
        with Injected(course.daemon, call, what, thread=session["thread"]) as injected:
            say(client, plan)
            finish(client, end)
            if after:
                # It may not come so far: then it has moved everything.
                until("it is held up", lambda: injected.calls() or is_readable(server, len(said(plan))))
                os.kill(worker, signal.SIGKILL)
                injected.process.kill()
            data = hear(server, len(said(plan)))
        assert data == said(plan), name
        if end != "open":
            assert harness.read_all(server) == (b"", "end")
        client.close()
        server.close()
        until("the session is over", lambda: not course.daemon.sessions())


def is_readable(sock, size):
    return struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))[0] == size


# ---- frames ----


def frame(data):
    return struct.pack(">I", len(data)) + data


@pytest.mark.parametrize("kill", (False, True), ids=("", "killed"))
@pytest.mark.parametrize("end", ("open", "fin"))
@pytest.mark.parametrize("at", (0, 1, 3, 4, 5, 20, 43))
def test_frames(place, at, end, kill):
    """An urgent byte anywhere in a frame: in its length, at its edges, within it."""
    back = os.path.join(place, "back.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(back)
        listener.listen(8)
        listener.settimeout(harness.PATIENCE)
        front = Endpoint("inet", place)
        route = {"listen": {"family": "inet", "host": "127.0.0.1", "port": front.address[1], "framing": FRAMING},
                 "target": {"family": "unix", "type": "seqpacket", "path": back}}
        with Daemon({"r": route}) as daemon, front.connect() as client:
            server, _ = listener.accept()
            server.settimeout(harness.PATIENCE)
            messages = [bytes([65 + number]) * 40 for number in range(6)]
            for number, message in enumerate(messages):
                data = frame(message)
                if number % 2:
                    client.sendall(data)
                else:
                    say(client, [(data[:at + 1], True), (data[at + 1:], False)] if data[at + 1:] else [(data, True)])
                if kill and number == 2:
                    kill_worker(daemon)
            finish(client, end)
            last = None
            for message in messages:
                got = server.recv(100)
                while kill and got == last:  # what is in hand at a death may come twice
                    got = server.recv(100)
                assert got == message
                last = got
            if end == "fin":
                assert server.recv(100) == b""
            server.close()
