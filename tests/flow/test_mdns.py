# SPDX-License-Identifier: LGPL-2.1-or-later
"""Multicast DNS between two networks: a question that leaves from the group's port is answered to the group, one from another port to its sender
alone (RFC 6762, 6.7). Each hears each message once, and none comes back."""

import contextlib
import ipaddress
import os
import socket

import pytest

import harness
from harness import Daemon, holds, until
from namespace import Namespace
from test_multicast import FOUR, GROUP, LINK_GROUP, SETTINGS, SIX, STILL, Member, Network, both_ways

PORT = 5353
EXAMPLE = os.path.join(os.path.dirname(harness.__file__), "..", "..", "conf", "examples", "mdns.conf")
HOPS = {FOUR: (socket.IPPROTO_IP, 12, socket.IP_TTL), SIX: (socket.IPPROTO_IPV6, 51, 52)}  # the option that asks for them, and what tells


class Host:
    """A program that speaks mDNS, on PORT: on another machine, or on this one on all interfaces, as a responder is there (then of IPv6 it is two)."""

    def __init__(self, name, members):
        self.name, self.members, self.heard = name, members, []
        for one in members:
            one.sock.setsockopt(*HOPS[FOUR if one.sock.family == socket.AF_INET else SIX][:2], 1)

    def say(self, word, where=0):
        self.members[where].say(word)

    def read(self):
        """Who said what, and from how far."""
        for one in self.members:
            with contextlib.suppress(BlockingIOError):
                while True:
                    data, control, _, sender = one.sock.recvmsg(1 << 16, 256)
                    hops = {kind: int.from_bytes(value, "little") for _, kind, value in control}
                    self.heard.append((data, ipaddress.ip_address(sender[0].split("%")[0]), sender[1], hops[HOPS[FOUR if len(sender) == 2 else SIX][2]]))
        return self.heard


@pytest.fixture(name="networks")
def two_networks():
    if os.geteuid() != 0:
        pytest.skip("namespaces take root")
    with Namespace():
        networks = [Network(0), Network(1)]
        yield networks
        for network in networks:
            network.close()


def ours(network, kind):
    return ipaddress.ip_address(network.ours[kind]), ipaddress.ip_address("fe80::1")


def routes_of(name, kind, networks):
    if name == "example":
        return None
    return both_ways(kind, LINK_GROUP[kind] if name == "link" else GROUP[kind], PORT, networks)


@pytest.mark.parametrize("kind", (FOUR, SIX))
@pytest.mark.parametrize("name", ("example", "link", "wider"))
def test_a_question_is_one_for_the_group(networks, kind, name):
    """With the example, without sessions; and with sessions. Beside us a responder of this machine has the port, too."""
    group, (here, there) = GROUP[kind] if name == "wider" else LINK_GROUP[kind], networks
    routes = routes_of(name, kind, networks)
    for one in (routes or {}).values():
        one["target"].update(source=f":{PORT}", multicast_ttl=255)
    with contextlib.ExitStack() as stack:
        asks, answers = (Host(network.name, [stack.enter_context(network.member(kind, group, PORT))]) for network in networks)
        beside = Host("beside", [stack.enter_context(Member(kind, group, PORT, socket.if_nametoindex(network.name))) for network in networks])
        daemon = Daemon(routes or {}, SETTINGS)
        if name == "example":
            with open(EXAMPLE, encoding="utf-8") as file:
                daemon.write(text=harness.config_text({"daemon": daemon.settings})[2:-1] + file.read())
        stack.enter_context(daemon)
        def hear(due):
            """Each of them what it is to hear, and nothing more."""
            until("it is heard", lambda: all([len(host.read()) >= len(words) for host, words in due.items()]))
            holds("once", lambda: all([sorted(one[0] for one in host.read()) == sorted(words) for host, words in due.items()]), STILL)
            heard = {host: dict((data, rest) for data, *rest in host.heard) for host in due}
            for host in due:
                host.heard.clear()
            return heard

        for number in range(2):
            question, answer, word = (b"%s %d" % (what, number) for what in (b"question", b"answer", b"beside"))
            asks.say(question)
            sender, port, hops = hear({asks: [question], answers: [question], beside: [question]})[answers][question]
            assert sender in ours(there, kind) and (port, hops) == (PORT, 255)
            answers.say(answer)
            sender, port, hops = hear({asks: [answer], answers: [answer], beside: [answer]})[asks][answer]
            assert sender in ours(here, kind) and (port, hops) == (PORT, 255)
            beside.say(word, number % 2)
            hear({asks: [word], answers: [word], beside: [word]})
            if number == 0:
                daemon.reload()
                os.kill(daemon.worker, 9)
        for one in daemon.ctl("routes")["routes"]:
            assert not any(one["dropped"].values()) and not one["refused"]
            assert one["messages"]["from_target"] == 0
        assert "loop" not in daemon.log()

