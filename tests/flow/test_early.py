# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a client says before its session has begun to relay: all of it waits in the kernel when the connection is accepted,
and edges are told once."""

import os
import signal
import socket

import pytest

import harness
from harness import Daemon, Endpoint


@pytest.fixture(params=("inet", "unix"))
def course(request, place):
    front, back = Endpoint("inet", place), Endpoint(request.param, place)
    with back.listen() as listener, Daemon({"r": {"listen": front, "target": back}}) as daemon:
        yield daemon, front, listener


def stopped(daemon, front, say):
    """A client that has said all it has to say before the worker wakes up."""
    worker = daemon.hold_worker()
    try:
        client = front.connect()
        say(client)
    finally:
        os.kill(worker, signal.SIGCONT)
    return client


def test_data_and_end(course):
    daemon, front, listener = course
    for size in (0, 1, 100, 255, 256, 5000, 60000):
        def say(client, size=size):
            client.sendall(b"x" * size)
            client.shutdown(socket.SHUT_WR)
        with stopped(daemon, front, say) as client:
            server, _ = listener.accept()
            with server:
                server.settimeout(harness.PATIENCE)
                assert harness.read_all(server) == (b"x" * size, "end")
                server.sendall(b"reply")
            assert harness.read_all(client) == (b"reply", "end")


def test_many_short_pieces_and_end(course):
    """Pieces take a slot of the pipe each, however short they are."""
    daemon, front, listener = course

    def say(client):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(600):
            client.send(b"y")
        client.shutdown(socket.SHUT_WR)
    with stopped(daemon, front, say) as client:
        server, _ = listener.accept()
        with server:
            server.settimeout(harness.PATIENCE)
            assert harness.read_all(server) == (b"y" * 600, "end")
        assert harness.read_all(client) == (b"", "end")


def test_data_and_end_while_connecting(place):
    """The target's queue is full, so that its handshake comes late: the client's edges are told before it."""
    front, back = Endpoint("inet", place), Endpoint("inet", place)
    with back.listen(0) as listener, Daemon({"r": {"listen": front, "target": back}}) as daemon:
        fillers = []
        while len(fillers) < 3:
            filler = back.socket()
            filler.setblocking(False)
            filler.connect_ex(back.address)
            fillers.append(filler)
        with front.connect() as client:
            client.sendall(b"x" * 100)
            client.shutdown(socket.SHUT_WR)
            harness.until("the session connects", lambda: [s for s in daemon.sessions() if s["state"] == "connecting"])
            for filler in fillers:
                filler.close()
            found = b""
            while not found:  # the fillers come first
                server, _ = listener.accept()
                server.settimeout(harness.PATIENCE)
                found, ending = harness.read_all(server)
                if found:
                    server.sendall(b"reply")
                server.close()
            assert (found, ending) == (b"x" * 100, "end")
            assert harness.read_all(client) == (b"reply", "end")
