# SPDX-License-Identifier: LGPL-2.1-or-later
"""A reader that does not read holds its writer back: the daemon keeps no more than a pipe of it."""

import fcntl
import os
import select
import signal
import struct
import termios

import pytest

import harness
from harness import Daemon, Endpoint

PIPE_MAX = 1 << 20  # the largest pipe that a session is lent
HEAP_MAX_KIB = 4096
CHUNK = bytes(range(256)) * 256


def queues(local, remote):
    """(bytes not yet acknowledged, bytes not yet read) of the TCP/IPv4 socket with these ports."""
    with open("/proc/net/tcp", encoding="utf-8") as table:
        for line in list(table)[1:]:
            words = line.split()
            if [int(words[number].rsplit(":", 1)[1], 16) for number in (1, 2)] == [local, remote]:
                return tuple(int(word, 16) for word in words[4].split(":"))
    return (0, 0)


def send_until_blocked(sock, at_least=0):
    """Sends the pattern until nobody takes any more; returns how many bytes went."""
    sock.setblocking(False)
    sent, quiet = 0, 0
    while quiet < 20:
        if not select.select([], [sock], [], 0.01)[1]:
            quiet += sent >= at_least
            continue
        quiet = 0
        try:
            offset = sent % len(CHUNK)
            sent += sock.send(CHUNK[offset:])
        except BlockingIOError:
            pass
        assert sent < 256 << 20, "256 MB went to a reader that does not read"
    return sent


def read_back(sock, wanted):
    """Reads `wanted` bytes of the pattern and compares them."""
    got = 0
    while got < wanted:
        part = sock.recv(1 << 16)
        assert part, f"the end after {got} of {wanted} bytes"
        offset = got % len(CHUNK)
        expected = (CHUNK[offset:] + CHUNK * 2)[:len(part)]
        assert part == expected, f"a wrong byte after {got}"
        got += len(part)


@pytest.fixture
def joined(place):
    front, back = Endpoint("inet", place), Endpoint("inet", place)
    with back.listen() as listener, Daemon({"r": {"listen": front, "target": back}}) as daemon:
        client = front.connect()
        server, _ = listener.accept()
        server.settimeout(harness.PATIENCE)
        with client, server:
            yield daemon, front, back, client, server


@pytest.mark.parametrize("to_target", (True, False), ids=("client-writes", "server-writes"))
def test_slow_reader(joined, to_target):
    daemon, front, back, client, server = joined
    writer, reader = (client, server) if to_target else (server, client)
    heap = harness.memory_kib(daemon.worker)
    sent = send_until_blocked(writer)

    # Where are they? Of the daemon's two sockets, one has the front's port, the other the target's as its peer.
    client_port, inner_port = client.getsockname()[1], server.getpeername()[1]
    front_side = queues(front.address[1], client_port)
    back_side = queues(inner_port, back.address[1])
    if to_target:
        writer_queue = queues(client_port, front.address[1])[0]
        reader_queue = queues(back.address[1], inner_port)[1]
        in_sockets = front_side[1] + back_side[0]
    else:
        writer_queue = queues(back.address[1], inner_port)[0]
        reader_queue = queues(client_port, front.address[1])[1]
        in_sockets = back_side[1] + front_side[0]
    kept = sent - writer_queue - reader_queue - in_sockets
    # The reader's queue and the acknowledgement of it may both count what is just on the way.
    assert -(1 << 16) <= kept <= PIPE_MAX, f"{kept} of {sent} bytes are in the daemon"
    assert harness.memory_kib(daemon.worker) - heap < HEAP_MAX_KIB

    reader.settimeout(harness.PATIENCE)
    read_back(reader, sent)
    writer.close()
    assert harness.read_all(reader) == (b"", "end")


def test_one_slow_reader_holds_up_nobody_else(joined, place):
    daemon, front, _, client, _server = joined
    send_until_blocked(client)
    back = Endpoint("inet", place)
    other = Endpoint("inet", place)
    with harness.Serve(back):
        daemon.reload({**daemon.routes, "other": {"listen": other, "target": back}})
        count, status = harness.peers_run("swarm", "--to", other, "--sessions", 200, "--parallel", 16)
    assert status == 0, count


def test_both_directions_stuck_at_once(joined):
    _, _, _, client, server = joined
    there = send_until_blocked(client)
    back = send_until_blocked(server)
    for sock in (client, server):
        sock.setblocking(True)
        sock.settimeout(harness.PATIENCE)
    read_back(server, there)
    read_back(client, back)


LARGE = 1 << 20
F_GETPIPE_SZ = 1032


def large_pipes_with_bytes(pid):
    """How many large pipes of a process hold anything."""
    count = 0
    for number, leads_to in harness.descriptors(pid).items():
        if not leads_to.startswith("pipe:"):
            continue
        try:
            fd = os.open(f"/proc/{pid}/fd/{number}", os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            continue
        waiting = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0]
        count += waiting > 0 and fcntl.fcntl(fd, F_GETPIPE_SZ) >= LARGE
        os.close(fd)
    return count


@pytest.mark.parametrize("kill", (False, True), ids=("", "kill"))
def test_blocked_sessions_give_their_large_pipes_back(place, kill):
    """However many do not read: no large pipe stays with them, and not a byte is lost by that."""
    front, back = Endpoint("inet", place), Endpoint("inet", place)
    with back.listen() as listener, Daemon({"r": {"listen": front, "target": back}}) as daemon:
        pairs = []
        for _ in range(24):
            client = front.connect(receive_buffer=1 << 16)
            pairs.append((client, listener.accept()[0]))
        harness.until("all relay", lambda: sum(one["state"] == "relaying" for one in daemon.sessions()) == len(pairs))
        sent = [send_until_blocked(server) for _, server in pairs]
        if kill:
            worker = daemon.worker
            os.kill(worker, signal.SIGKILL)
            daemon.worker_after(worker)
        harness.until("no large pipe is held", lambda: not large_pipes_with_bytes(daemon.worker))
        assert sum(one["waits_for"] == "the client to read" for one in daemon.sessions()) > len(pairs) // 2
        for (client, server), bytes_sent in zip(pairs, sent):
            client.settimeout(harness.PATIENCE)
            read_back(client, bytes_sent)
            server.close()
            assert harness.read_all(client) == (b"", "end")
            client.close()
