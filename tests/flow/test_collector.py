# SPDX-License-Identifier: LGPL-2.1-or-later
"""A collector of datagrams that goes and comes back, and overflow = "block": whoever can be held back waits for it, and nothing is lost; of whom
cannot be, what the kernel had no room for is counted."""

import struct
import threading

import pytest

import harness
from harness import Daemon, until
from messages import End, route

ROUNDS, EACH = 3, 100  # what a collector's usual buffer takes at once
SETTINGS = {"workers": 1, "log": {"to": "stderr", "level": "warning"}}
SOURCES = ("unix-seqpacket", "unix-dgram", "tcp4", "unix")
COLLECTORS = ("udp4", "udp6", "unix-dgram")


class Collector:
    """It takes what is there before it goes."""

    def __init__(self, end):
        self.end, self.sock, self.heard = end, None, []

    def comes(self):
        self.sock = self.end.server()
        self.sock.setblocking(False)

    def hears(self):
        try:
            while True:
                self.heard.append(struct.unpack_from(">I", self.sock.recv(1 << 16))[0])
        except BlockingIOError:
            return self.heard

    def goes(self):
        if self.sock:
            self.sock.close()
            self.sock = None


def says(client, first, count, rest=b""):
    for number in range(first, first + count):
        client.say(struct.pack(">I", number) + rest)


def told(daemon):
    """What has been received, sent on, and dropped."""
    one = route(daemon, "r")
    return one["received"]["from_client"], one["messages"]["to_target"], one["dropped"]


@pytest.mark.parametrize("kind", COLLECTORS)
@pytest.mark.parametrize("source, replies", [*((source, {}) for source in SOURCES), ("unix-dgram", {"replies": 0})])
def test_nothing_is_lost_while_it_is_away(place, source, kind, replies):
    """The source is held back meanwhile; then all comes, once and in order."""
    if kind == "udp6" and not harness.has_ipv6():
        pytest.skip("no IPv6 here")
    front, back = End(source, place), End(kind, place)
    collector = Collector(back)
    routes = {"r": {"listen": front.framed, "target": str(back), "overflow": "block", **replies}}
    with Daemon(routes, SETTINGS) as daemon, front.client() as client:
        for number in range(ROUNDS):
            before = route(daemon, "r")["connect_errors"]
            said = threading.Thread(target=says, args=(client, number * EACH, EACH))
            said.start()
            until("some of it was refused", lambda before=before: route(daemon, "r")["connect_errors"] > before)
            collector.comes()
            wanted = list(range((number + 1) * EACH))
            until("all of it is there", lambda: collector.hears()[-1:] == wanted[-1:])
            said.join()
            assert collector.heard == wanted
            assert told(daemon) == (len(wanted), len(wanted), {})
            collector.goes()


def test_of_udp_what_the_kernel_keeps_is_not_lost(place):
    """A sender of UDP is not held back: its messages wait in the listener's buffer, as far as rcvbuf goes, and the others are the kernel's."""
    front, back = End("udp4"), End("udp4")
    collector = Collector(back)
    with Daemon({"r": {"listen": f"{front}?rcvbuf=64K", "target": str(back), "overflow": "block"}}, SETTINGS) as daemon, \
            front.client() as client:
        says(client, 0, 1000, b"x" * 996)
        assert told(daemon)[1:] == (0, {})
        until("the kernel's are counted", lambda: route(daemon, "r")["kernel_dropped"] > 0)
        collector.comes()

        def is_all():
            collector.hears()
            one = route(daemon, "r")
            return len(collector.heard) and len(collector.heard) + one["kernel_dropped"] == 1000
        until("all is accounted for", is_all)
        assert collector.heard == sorted(set(collector.heard)) and told(daemon)[1:] == (len(collector.heard), {})
        collector.goes()


def test_who_has_not_asked_for_it_loses_them(place):
    """The default, of a lone target of UDP: what is refused is dropped, and counted."""
    front, back = End("unix-seqpacket", place), End("udp4")
    with Daemon({"r": {"listen": str(front), "target": str(back)}}, SETTINGS) as daemon, front.client() as client:
        says(client, 0, EACH)
        until("all is done with", lambda: told(daemon)[0] == EACH)
        received, sent, dropped = told(daemon)
        assert received == sent + dropped["unreachable"] and sent <= 1, dropped


def test_in_a_pool_the_others_have_them(place):
    """One that is away holds nobody back."""
    front, ends = End("unix-seqpacket", place), [End("udp4"), End("udp4")]
    collector = Collector(ends[1])
    collector.comes()
    with Daemon({"r": {"listen": str(front), "target": tuple(map(str, ends)), "overflow": "block"}}, SETTINGS) as daemon:
        for _ in range(4):
            with front.client() as client:
                says(client, 0, EACH)
                until("it has all", lambda: collector.hears() == list(range(EACH)))
                collector.heard.clear()
        assert not told(daemon)[2]
    collector.goes()


