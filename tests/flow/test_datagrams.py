# SPDX-License-Identifier: LGPL-2.1-or-later
"""Datagram sessions: whose they are, how long they live, what is dropped and how that is told."""

import os
import signal
import socket
import threading

import pytest

import harness
from harness import Daemon, free_port, until
from messages import Echo, End, route, sent_with_descriptor

QUIET = {"log": {"to": "stderr", "level": "warning"}}


def daemon_for(listen, target, **options):
    return Daemon({"r": {"listen": str(listen), "target": str(target), **options}}, QUIET)


def counts(daemon):
    return route(daemon, "r")


def udp(address=None):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(harness.PATIENCE)
    if address:
        sock.connect(address)
    return sock


# ---- whose they are ----


def test_a_reply_leaves_from_the_address_that_was_asked():
    port, back = free_port(), End("udp4")
    with Echo(back), daemon_for(f"udp4://:{port}", back) as daemon, udp() as client:
        for address in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
            client.sendto(address.encode(), (address, port))
            assert client.recvfrom(100) == (address.encode(), (address, port))
        assert counts(daemon)["sessions"]["active"] == 3


def test_a_reply_leaves_from_the_address_that_was_asked_over_ipv6():
    if not harness.has_ipv6():
        pytest.skip("no IPv6 here")
    port, back = free_port(), End("udp6")
    with Echo(back), daemon_for(f"udp6://:{port}", back):
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
            client.settimeout(harness.PATIENCE)
            client.connect(("::1", port))  # takes no answer from another address
            client.send(b"hello")
            assert client.recv(100) == b"hello"


def test_each_client_hears_its_own_answers():
    front, back = End("udp4"), End("udp4")
    clients = [udp(front.address) for _ in range(200)]
    with Echo(back), daemon_for(front, back):
        for turn in range(3):
            for number, client in enumerate(clients):
                client.send(b"%d of %d" % (number, turn))
            for number, client in enumerate(clients):
                assert client.recv(100) == b"%d of %d" % (number, turn)
    for client in clients:
        client.close()


def test_both_families_by_one_endpoint():
    if not harness.has_ipv6():
        pytest.skip("no IPv6 here")
    port, back = free_port(), End("udp4")
    with Echo(back), daemon_for(f"udp://:{port}", back):
        for kind in ("udp4", "udp6"):
            with End(kind, port=port).client() as client:
                client.say(kind.encode())
                assert client.hear() == kind.encode()


def test_who_may_send():
    port, back = free_port(), End("udp4")
    with Echo(back), daemon_for(f"udp4://:{port}", back, allow=["127.0.0.1"], deny=["127.0.0.9"]) as daemon:
        for address, allowed in (("127.0.0.1", True), ("127.0.0.9", False), ("127.0.0.8", False)):
            with udp() as client:
                client.bind((address, 0))
                client.connect(("127.0.0.1", port))
                client.send(b"x")
                if allowed:
                    assert client.recv(100) == b"x"
        until("both are refused and counted", lambda: counts(daemon)["refused"] == 2)


def test_an_unnamed_client_is_told_as_such_and_its_replies_are_counted(place):
    front, back = End("unix-dgram", place), End("unix-dgram", place)
    with Echo(back), daemon_for(front, back) as daemon, front.client(named=False) as client:
        client.say(b"hello")
        until("the reply is dropped", lambda: counts(daemon)["dropped"] == {"unnamed": 1})
        assert [one["peer"] for one in daemon.sessions()] == ["(unnamed)"]


# ---- how long they live ----


def test_sessions_are_bounded():
    """At the limit the peer that was silent for the longest time gives way to a new one."""
    front, back = End("udp4"), End("udp4")
    clients = [udp(front.address) for _ in range(5)]
    # One thread: the order of two threads' sessions is each its own.
    limited = {"r": {"listen": str(front), "target": str(back), "limit": {"sessions": 3}}}
    with Echo(back), Daemon(limited, {**QUIET, "workers": 1}) as daemon:
        for client in clients[:3]:
            client.send(b"x")
            assert client.recv(10) == b"x"
        clients[0].send(b"y")
        assert clients[0].recv(10) == b"y"
        for client in clients[3:]:
            client.send(b"x")
            assert client.recv(10) == b"x"
        assert counts(daemon)["sessions"]["evicted"] == 2
        left = {one["peer"].rsplit(":", 1)[1] for one in daemon.sessions()}
        assert left == {str(clients[number].getsockname()[1]) for number in (0, 3, 4)}
        assert counts(daemon)["sessions"]["active"] == 3
        assert counts(daemon)["dropped"] == {}
        assert "limit.sessions reached" in daemon.status()["verdict"]
    for client in clients:
        client.close()


def test_an_idle_session_ends():
    front, back = End("udp4"), End("udp4")
    with Echo(back), daemon_for(front, back, timeout={"idle": "200ms"}) as daemon, front.client() as client:
        client.say(b"x")
        assert client.hear() == b"x"
        until("it has aged", lambda: counts(daemon)["sessions"]["active"] == 0)
        client.say(b"y")
        assert client.hear() == b"y"
        assert counts(daemon)["sessions"]["total"] == 2


def test_a_session_ends_with_its_replies():
    front, back = End("udp4"), End("udp4")
    with Echo(back), daemon_for(front, back, replies=1) as daemon, front.client() as client:
        for number in range(3):
            client.say(b"%d" % number)
            assert client.hear() == b"%d" % number
            until("it ends", lambda: counts(daemon)["sessions"]["active"] == 0)
        assert counts(daemon)["sessions"]["total"] == 3


def test_replies_are_counted_for_each_message():
    """Three at once, and two replies to each: none is cut off."""
    front, back = End("udp4"), End("udp4")
    with Echo(back, lambda data: [data, data + b"!"]), daemon_for(front, back, replies=2) as daemon:
        with front.client() as client:
            for number in range(3):
                client.say(b"%d" % number)
            heard = sorted(client.hear() for _ in range(6))
            assert heard == sorted(b"%d%s" % (number, end) for number in range(3) for end in (b"", b"!"))
            until("it ends", lambda: counts(daemon)["sessions"]["active"] == 0)


def test_replies_that_nobody_expects_are_dropped():
    front, back = End("udp4"), End("udp4")
    with Echo(back), daemon_for(front, back, replies=0) as daemon, front.client() as client:
        client.say(b"x")
        until("the reply is dropped", lambda: counts(daemon)["dropped"] == {"unexpected": 1})
        assert client.hears_nothing(0.05)


# ---- what cannot go on ----


def test_the_largest_passes_and_a_larger_one_is_dropped_never_cut(place):
    front, back = End("unix-dgram", place), End("udp4")
    with Echo(back), daemon_for(front, back) as daemon, front.client() as client:
        for data in (os.urandom(65507), b"", os.urandom(65508), os.urandom(100000), b"after"):
            client.say(data)
            if len(data) <= 65507:
                assert client.hear() == data
        assert counts(daemon)["dropped"] == {"oversize": 2}


def test_a_port_that_nobody_listens_on_is_not_fatal():
    front, back = End("udp4"), End("udp4")
    with daemon_for(front, back) as daemon, front.client() as client:
        for _ in range(3):
            client.say(b"lost")
        until("it is counted", lambda: counts(daemon)["dropped"].get("unreachable"))
        session = daemon.sessions()[0]["id"]
        with Echo(back):
            client.say(b"hello")
            assert client.hear() == b"hello"
        assert daemon.sessions()[0]["id"] == session


def test_a_target_that_comes_back_gets_what_waited(place):
    """A UNIX datagram socket dies with its program: its successor at the same path gets the rest, in order."""
    front, back = End("unix-dgram", place), End("unix-dgram", place)
    with Echo(back), daemon_for(front, back) as daemon, front.client() as client:
        client.say(b"0")
        assert client.hear() == b"0"
        back_again = Echo(back)
        # Gone, and its file with it.
        os.unlink(back.path)
        with back_again:
            pass
        os.unlink(back.path)
        for number in range(1, 6):
            client.say(b"%d" % number)
        with back_again:
            assert [client.hear() for _ in range(1, 6)] == [b"%d" % number for number in range(1, 6)]
        assert not counts(daemon)["dropped"]


class Reader:
    """A bound datagram socket that is read only when asked to."""

    def __init__(self, end):
        self.sock = end.server()
        self.sock.settimeout(0.5)

    def all(self):
        heard = []
        try:
            while True:
                heard.append(int(self.sock.recv(100)))
        except (TimeoutError, socket.timeout):
            self.sock.close()
            return heard


def flood(client, count):
    """Sends so many in the background, however long they are held back."""
    thread = threading.Thread(target=lambda: [client.say(b"%d" % number) for number in range(count)])
    thread.start()
    return thread


@pytest.mark.parametrize("overflow", (None, "block"))
def test_senders_are_held_back_and_nothing_is_lost(place, overflow):
    front, back = End("unix-dgram", place), End("unix-dgram", place)
    reader = Reader(back)
    with daemon_for(front, back, **({"overflow": overflow} if overflow else {})) as daemon, front.client() as client:
        sender = flood(client, 300)
        until("it is held back", lambda: counts(daemon)["messages"]["to_target"] >= 10)
        harness.holds("the sender waits", sender.is_alive, 0.2)
        assert reader.all() == list(range(300))
        sender.join()
        assert not counts(daemon)["dropped"]


@pytest.mark.parametrize("overflow", ("drop-new", "drop-old"))
def test_what_is_dropped_is_counted(place, overflow):
    front, back = End("unix-dgram", place), End("unix-dgram", place)
    reader = Reader(back)
    with daemon_for(front, back, overflow=overflow) as daemon, front.client() as client:
        sender = flood(client, 300)
        sender.join(harness.PATIENCE)
        assert not sender.is_alive(), "the sender was held back"
        heard = until("every message is accounted for", lambda: (found := counts(daemon))["messages"]["to_target"] +
                      found["dropped"].get("overflow", 0) >= 280 and reader.all())
        assert heard == sorted(set(heard)) and len(heard) < 300
        if overflow == "drop-new":
            assert heard[:10] == list(range(10))
        else:
            assert heard[-1] == 299
        assert counts(daemon)["dropped"]["overflow"] == 300 - len(heard)


def test_descriptors_are_dropped_and_counted(place):
    front, back = End("unix-seqpacket", place), End("unix-seqpacket", place)
    with Echo(back), daemon_for(front, back) as daemon, front.client() as client:
        before = len(harness.descriptors(daemon.worker))
        sent_with_descriptor(client.sock, b"with")
        assert client.hear() == b"with"
        assert counts(daemon)["descriptors"] == 1
        assert len(harness.descriptors(daemon.worker)) <= before + 4


# ---- change ----


def test_a_session_goes_on_over_reloads_and_kills():
    front, back = End("udp4"), End("udp4")
    echo = Echo(back)
    with echo, daemon_for(front, back) as daemon, front.client() as client:
        for turn in range(6):
            client.say(b"%d" % turn)
            assert client.hear() == b"%d" % turn
            if turn % 2:
                worker = daemon.worker
                os.kill(worker, signal.SIGKILL)
                daemon.worker_after(worker)
            else:
                daemon.reload()
        assert len(set(echo.asked)) == 1, "the target saw more than one port"
        assert counts(daemon)["sessions"]["total"] == 1


def test_a_new_target_gets_what_comes_after_the_reload():
    front, old, new = End("udp4"), End("udp4"), End("udp4")
    with Echo(old, lambda data: [b"old"]), Echo(new, lambda data: [b"new"]):
        with daemon_for(front, old) as daemon, front.client() as client:
            client.say(b"x")
            assert client.hear() == b"old"
            daemon.reload({"r": {"listen": str(front), "target": str(new)}})
            client.say(b"x")
            assert client.hear() == b"new"


def test_a_listener_that_is_taken_away_is_gone(place):
    front, other, back = End("udp4"), End("unix-dgram", place), End("udp4")
    with Echo(back), daemon_for(front, back, timeout={"idle": "300ms"}) as daemon, front.client() as client:
        client.say(b"x")
        assert client.hear() == b"x"
        daemon.reload({"r": {"listen": str(other), "target": str(back)}})
        until("the port is free", lambda: not any(one["address"] == str(front)
                                                   for one in daemon.ctl("listeners")["listeners"]))
        with other.client() as client_again:
            client_again.say(b"y")
            assert client_again.hear() == b"y"


def test_a_listener_that_changes_loses_nothing():
    """Another receive buffer is another socket on the same port: the old one gives what it has, the new one takes the rest."""
    front, back = End("udp4"), End("udp4")
    with Echo(back), daemon_for(front, back) as daemon, front.client() as client:
        for turn in range(5):
            for number in range(20):
                client.say(b"%d" % number)
            daemon.reload({"r": {"listen": f"{front}?rcvbuf={100 + turn}K", "target": str(back)}})
            assert [client.hear() for _ in range(20)] == [b"%d" % number for number in range(20)]
