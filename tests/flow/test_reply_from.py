# SPDX-License-Identifier: LGPL-2.1-or-later
"""Replies from another port, or another address, than a datagram target's: reply_from."""

import contextlib
import os
import select
import socket

import pytest

import harness
from harness import Daemon, holds, until
from messages import End, route

SETTINGS = {"workers": 2, "log": {"to": "stderr", "level": "warning"}}
STILL = 0.2
HOST = {"udp4": "127.0.0.1", "udp6": "::1"}
FAMILY = {"udp4": socket.AF_INET, "udp6": socket.AF_INET6}


@pytest.fixture(autouse=True)
def with_ipv6(request):
    kinds = request.node.callspec.params.values() if hasattr(request.node, "callspec") else ()
    if "udp6" in kinds and not harness.has_ipv6():
        pytest.skip("no IPv6 here")


class Speaker:
    """A socket of a server's."""

    def __init__(self, kind="udp4", host=None):
        self.sock = socket.socket(FAMILY[kind], socket.SOCK_DGRAM)
        self.sock.bind((host or HOST[kind], 0))
        self.sock.settimeout(harness.PATIENCE)
        self.text = f"{kind}://{'[::1]' if kind == 'udp6' else host or HOST[kind]}:{self.sock.getsockname()[1]}"
        self.peer = None

    def hears(self, message):
        data, self.peer = self.sock.recvfrom(100)
        assert data == message
        return self.peer

    def hears_nothing(self):
        holds("nothing comes", lambda: not select.select([self.sock], [], [], 0)[0], STILL)

    def says(self, message, to):
        self.sock.sendto(message, to)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.sock.close()


@contextlib.contextmanager
def one(reply_from, *targets, front="udp4", **options):
    """A daemon, and a client of its route."""
    end = End(front)
    ends = tuple(target.text + (f"?reply_from={reply_from}" if reply_from else "") for target in targets)
    with Daemon({"r": {"listen": end.framed, "target": ends, **options}}, SETTINGS) as daemon, end.client() as client:
        yield daemon, client


def dropped(daemon):
    return {reason: count for reason, count in route(daemon, "r")["dropped"].items() if count}


@pytest.mark.parametrize("overflow", ("drop-new", "block"))
@pytest.mark.parametrize("reply_from", ("host", "any"))
@pytest.mark.parametrize("kind, front", (("udp4", "udp4"), ("udp6", "udp4"), ("udp4", "tcp4")))
def test_a_transfer_goes_on_with_the_port_that_answered(kind, front, reply_from, overflow):
    """As TFTP: each transfer has a port of the server's of its own; over a reload and a kill."""
    with Speaker(kind) as server, Speaker(kind) as transfer, one(reply_from, server, front=front, overflow=overflow) as (daemon, client):
        client.say(b"read this")
        peer = server.hears(b"read this")
        transfer.says(b"part 1", peer)
        assert client.hear() == b"part 1"
        for number in range(2, 5):
            client.say(b"got it, %d please" % number)
            assert transfer.hears(b"got it, %d please" % number) == peer
            transfer.says(b"part %d" % number, peer)
            assert client.hear() == b"part %d" % number
            daemon.reload()
            os.kill(daemon.worker, 9)
        server.hears_nothing()
        assert route(daemon, "r")["sessions"]["total"] == 1 and not dropped(daemon)


def test_only_the_target_answers_where_nothing_is_said():
    for said in (None, "target"):
        with Speaker() as server, Speaker() as other, one(said, server) as (_, client):
            client.say(b"question")
            peer = server.hears(b"question")
            other.says(b"from another port", peer)
            server.says(b"answer", peer)
            assert client.hear() == b"answer"
            client.say(b"more")
            server.hears(b"more")
            other.hears_nothing()


def test_another_host_is_not_heard_where_the_hosts_ports_are():
    with Speaker() as server, Speaker(host="127.0.0.2") as stranger, one("host", server) as (daemon, client):
        client.say(b"question")
        peer = server.hears(b"question")
        stranger.says(b"from another host", peer)
        until("it is dropped", lambda: dropped(daemon) == {"sender": 1})
        client.say(b"more")
        server.hears(b"more")
        stranger.hears_nothing()
        server.says(b"answer", peer)
        assert client.hear() == b"answer"


def test_all_who_answer_are_heard_where_anybody_is():
    """As of a discovery; what is said next goes to the last of them."""
    with Speaker() as server, Speaker(host="127.0.0.2") as first, Speaker(host="127.0.0.3") as last, one("any", server) as (daemon, client):
        client.say(b"who is there?")
        peer = server.hears(b"who is there?")
        for speaker in (first, last):
            speaker.says(b"I am", peer)
            assert client.hear() == b"I am"
        client.say(b"hello")
        last.hears(b"hello")
        first.hears_nothing()
        server.hears_nothing()
        assert not dropped(daemon)


@pytest.mark.parametrize("kind", ("udp4", "udp6"))
def test_when_who_answered_is_gone_the_target_is_asked_again(kind):
    """The server closes a transfer's port when it is done; it has not failed for that."""
    with Speaker(kind) as server, one("host", server) as (daemon, client):
        client.say(b"question")
        peer = server.hears(b"question")
        with Speaker(kind) as transfer:
            transfer.says(b"answer", peer)
            assert client.hear() == b"answer"
        client.say(b"thanks")
        until("nobody hears that", lambda: dropped(daemon) == {"unreachable": 1})
        client.say(b"another question")
        server.hears(b"another question")
        assert route(daemon, "r")["connect_errors"] == 0 and route(daemon, "r")["targets"][0]["failures"] == 0


@pytest.mark.parametrize("kind", ("udp4", "udp6"))
def test_a_dead_member_is_left(kind):
    """Errors are told to a socket that is not connected, too."""
    with Speaker(kind) as dead, Speaker(kind) as server, Speaker(kind) as transfer:
        dead.sock.close()
        with one("any", dead, server) as (daemon, client):
            client.say(b"question")
            transfer.says(b"answer", server.hears(b"question"))
            assert client.hear() == b"answer"
            assert route(daemon, "r")["targets"][0]["failures"] == 1 and not dropped(daemon)
