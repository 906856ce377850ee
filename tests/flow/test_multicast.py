# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the kernel hands to each socket of a port: broadcasts, and what is sent to groups. One message in is one message out, and between two
networks none comes back."""

import contextlib
import ctypes
import os
import socket
import struct

import pytest

import harness
from harness import Daemon, free_port, holds, until
from messages import Echo, End, route
from namespace import CLONE_NEWNET, Namespace, ip

SETTINGS = {"workers": 4, "log": {"to": "stderr", "level": "warning"}}
FOUR, SIX = "udp4", "udp6"
GROUP = {FOUR: "239.1.2.3", SIX: "ff15::123"}
LINK_GROUP = {FOUR: "224.0.0.251", SIX: "ff02::fb"}
STILL = 0.3 # s for which nothing more may happen
IP_PKTINFO, IP_MULTICAST_ALL, IPV6_MULTICAST_ALL = 8, 49, 29

_libc = ctypes.CDLL(None, use_errno=True)


class Network:
    """What is behind an interface of ours, NAME: another machine's namespace, where the interface is eth0. We are .1 there, it is .2."""

    def __init__(self, number):
        self.name = f"lan{number}"
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        assert not _libc.unshare(CLONE_NEWNET)
        self.netns = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        ip("link", "set", "lo", "up")
        _libc.setns(before, CLONE_NEWNET)
        os.close(before)
        self.ours = {FOUR: f"10.77.{number}.1", SIX: f"fd77:{number}::1"}
        self.theirs = {FOUR: f"10.77.{number}.2", SIX: f"fd77:{number}::2"}
        self.others = {FOUR: f"10.77.{number}.3", SIX: f"fd77:{number}::3"}
        self.broadcast = f"10.77.{number}.255"
        ip("link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", f"/proc/{os.getpid()}/fd/{self.netns}")
        self._set_up(self.name, 1, [self.ours])
        with self.inside():
            self._set_up("eth0", 2, [self.theirs, self.others])
            self.index = socket.if_nametoindex("eth0")

    @staticmethod
    def _set_up(name, host, addresses):
        ip("link", "set", name, "addrgenmode", "none")
        ip("link", "set", name, "up")
        ip("addr", "add", f"fe80::{host}/64", "dev", name, "nodad")
        for one in addresses:
            ip("addr", "add", one[FOUR] + "/24", "broadcast", one[FOUR].rsplit(".", 1)[0] + ".255", "dev", name)
            ip("addr", "add", one[SIX] + "/64", "dev", name, "nodad")

    @contextlib.contextmanager
    def inside(self):
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        _libc.setns(self.netns, CLONE_NEWNET)
        try:
            yield
        finally:
            _libc.setns(before, CLONE_NEWNET)
            os.close(before)

    def has_only_links(self):
        for enter in (contextlib.nullcontext, self.inside):
            with enter():
                ip("-6", "addr", "flush", "scope", "global")
        self.theirs[SIX] = self.ours[SIX] = None

    def close(self):
        os.close(self.netns)

    def member(self, kind, group, port, address=None):
        """A program there, on the group's port and in the group."""
        with self.inside():
            return Member(kind, group, port, self.index, address or self.theirs[kind])


class Member:
    """A program of a group, as those of mDNS: it says from the group's port, and hears what it has joined, itself too."""

    def __init__(self, kind, group, port, index, address=None, port_of_its_own=False):
        six = kind == SIX
        self.to = (group, port, 0, index) if six else (group, port)
        self.sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if six:
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            self.sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0)
            # What it has joined in one place the kernel lets it hear in all.
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, socket.if_indextoname(index).encode())
        else:
            self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=iii", 0, 0, index))
            self.sock.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
        self.joins(group, index)
        self.sock.bind((address or "", 0) if port_of_its_own else ("", port))
        self.sock.setblocking(False)
        self.index, self.address = index, address

    def joins(self, group, index):
        if self.sock.family == socket.AF_INET6:
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(socket.AF_INET6, group) + struct.pack("=i", index))
        else:
            self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + struct.pack("=ii", 0, index))

    def say(self, data):
        """From the address that it was told, if any: of several, any would be taken."""
        control = []
        if self.address:
            source = socket.inet_pton(self.sock.family, self.address)
            control = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, source + struct.pack("=i", self.index))
                       if self.sock.family == socket.AF_INET6 else (socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=i4s4s", self.index, source, b""))]
        self.sock.sendmsg([data], control, 0, self.to)

    def heard(self):
        """All that has come."""
        messages = []
        with contextlib.suppress(BlockingIOError):
            while True:
                data, sender = self.sock.recvfrom(1 << 16)
                messages.append((data, sender[0].split("%")[0]))
        return messages

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.sock.close()


class Sink:
    """A target here, and all that it ever got."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.setblocking(False)
        self.text = f"udp4://127.0.0.1:{self.sock.getsockname()[1]}"
        self.got = []

    def has(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.got.append(self.sock.recv(1 << 16))
        return self.got

    def expect(self, messages):
        """These, in any order, and nothing more."""
        until(f"{messages} come", lambda: len(self.has()) >= len(messages))
        holds("no more come", lambda: sorted(self.has()) == sorted(messages), STILL)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.sock.close()


@pytest.fixture(name="networks")
def two_networks():
    if os.geteuid() != 0:
        pytest.skip("namespaces take root")
    with Namespace():
        networks = [Network(0), Network(1)]
        yield networks
        for network in networks:
            network.close()


def from_many(network, count, to, broadcast=False):
    """As many clients of that network, each with a message of its own."""
    said = []
    with network.inside():
        for number in range(count):
            with socket.socket(socket.AF_INET6 if ":" in to[0] else socket.AF_INET, socket.SOCK_DGRAM) as client:
                if broadcast:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                said.append(b"%d of %d" % (number, count))
                client.sendto(said[-1], to)
    return said


# ---- broadcasts ----

@pytest.mark.parametrize("overflow", ("drop-new", "block"))
@pytest.mark.parametrize("listen", ("udp4://:{}", "udp6://[::]:{}?v6only=false", "udp4://:{}?interface=lan0"))
def test_a_broadcast_is_relayed_once(networks, listen, overflow):
    """Each thread's socket gets it. What is sent to one address is shared among them, as ever."""
    port, network = free_port(), networks[0]
    with network.inside():
        ip("route", "add", "255.255.255.255", "dev", "eth0")
    with Sink() as sink, Daemon({"r": {"listen": listen.format(port), "target": sink.text, "overflow": overflow}}, SETTINGS) as daemon:
        said = from_many(network, 5, (network.broadcast, port), broadcast=True)
        said += from_many(network, 3, ("255.255.255.255", port), broadcast=True)
        said += from_many(network, 20, (network.ours[FOUR], port))
        sink.expect(said)
        assert route(daemon, "r")["messages"]["to_target"] == len(said) and not any(route(daemon, "r")["dropped"].values())
        daemon.reload()
        os.kill(daemon.worker, 9)
        said += from_many(network, 4, (network.broadcast, port), broadcast=True)
        sink.expect(said)


def test_a_listener_at_the_broadcast_address(networks):
    port, network = free_port(), networks[0]
    with Sink() as sink, Daemon({"r": {"listen": f"udp4://{network.broadcast}:{port}", "target": sink.text}}, SETTINGS):
        sink.expect(from_many(network, 5, (network.broadcast, port), broadcast=True))


@pytest.mark.parametrize("listen", ("udp4://:{}", "udp6://[::]:{}?v6only=false"))
def test_who_broadcasts_is_answered(networks, listen):
    """From the address that we have there: nothing is sent from a broadcast address."""
    port, network = free_port(), networks[0]
    back = End("udp4")
    with Echo(back), Daemon({"r": {"listen": listen.format(port), "target": str(back)}}, SETTINGS), network.inside(), \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.settimeout(harness.PATIENCE)
        client.sendto(b"who is there", (network.broadcast, port))
        assert client.recvfrom(100) == (b"who is there", (network.ours[FOUR], port))


# ---- groups ----

@pytest.mark.parametrize("kind", (FOUR, SIX))
def test_what_other_programs_have_joined_is_theirs(networks, kind):
    """A listener at every address of the port is in no group."""
    port, network = free_port(), networks[0]
    dual = f"udp6://[::]:{port}?v6only=false"
    for listen in (f"{kind}://{'[::]' if kind == SIX else ''}:{port}", dual):
        with Member(kind, GROUP[kind], free_port(), socket.if_nametoindex(network.name)), network.member(kind, GROUP[kind], port) as there, \
                Sink() as sink, Daemon({"r": {"listen": listen, "target": sink.text}}, SETTINGS):
            there.say(b"to the group")
            sink.expect(from_many(network, 3, (network.ours[kind], port)))


@pytest.mark.parametrize("kind, source, scope", ((FOUR, False, False), (FOUR, True, False), (SIX, False, False), (SIX, False, True), (SIX, True, False)))
def test_of_groups_a_listener_hears_what_it_joined(networks, kind, source, scope):
    """There, from whom it was told, once; whatever others on this machine have joined, and where."""
    port, (network, other) = free_port(), networks
    listen = {"family": "inet6" if kind == SIX else "inet", "type": "dgram", "host": GROUP[kind], "port": port, "interface": network.name}
    if source:
        listen["multicast_source"] = network.theirs[kind]
    if scope:
        listen["host"] += "%" + listen.pop("interface")
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(Sink())
        for index in (network, other):
            stack.enter_context(Member(kind, GROUP[kind], port, socket.if_nametoindex(index.name)))
        stack.enter_context(Daemon({"r": {"listen": listen, "target": sink.text}}, SETTINGS))
        members = {where.name: stack.enter_context(where.member(kind, GROUP[kind], port)) for where in networks}
        for name, member in members.items():
            for number in range(5):
                member.say(f"{number} of {name}".encode())
        with network.inside():
            stranger = stack.enter_context(Member(kind, GROUP[kind], port, network.index, network.others[kind], port_of_its_own=True))
        stranger.say(b"of another there")
        sink.expect([b"%d of lan0" % number for number in range(5)] + ([] if source else [b"of another there"]))


# ---- between two networks ----

def both_ways(kind, group, port, networks, **options):
    """As a reflector of mDNS: what is said to the group on one side is said to it on the other."""
    def at(network):
        return {"family": "inet6" if kind == SIX else "inet", "type": "dgram", "host": group, "port": port, "interface": network.name}

    return {f"from-{one.name}": {"listen": at(one), "target": at(other), **options}
            for one in networks for other in networks if one is not other}


def hear(members, due):
    """Each of them every message, once, whoever said it."""
    heard = {name: [] for name in members}

    def look():
        for name, member in members.items():
            heard[name] += [data for data, _ in member.heard()]
        return all(len(some) >= len(due) for some in heard.values())

    until(f"all hear {due}", look)
    holds("nobody hears more", lambda: look() and all(sorted(some) == sorted(due) for some in heard.values()), STILL)


BOTH_WAYS = ((FOUR, GROUP[FOUR], {}, False), (FOUR, LINK_GROUP[FOUR], {"replies": 0}, False), (SIX, GROUP[SIX], {"replies": 0}, False),
             (SIX, LINK_GROUP[SIX], {}, False), (SIX, GROUP[SIX], {"overflow": "block"}, True))


@pytest.mark.parametrize("kind, group, options, link_only", BOTH_WAYS)
def test_one_message_is_one_message_on_the_other_side(networks, kind, group, options, link_only):
    """None comes back. What we say is not heard again; what another program says here, from the group's port, is, and it hears us."""
    port = free_port()
    if link_only:
        for network in networks:
            network.has_only_links()
    with contextlib.ExitStack() as stack:
        members = {network.name: stack.enter_context(network.member(kind, group, port)) for network in networks}
        for network in networks:
            members["here " + network.name] = stack.enter_context(Member(kind, group, port, socket.if_nametoindex(network.name)))
        daemon = stack.enter_context(Daemon(both_ways(kind, group, port, networks, **options), SETTINGS))
        for number in range(3):
            said = [f"{number} of {name}".encode() for name in members]
            for member, message in zip(members.values(), said):
                member.say(message)
            hear(members, said)
            if number == 0:
                daemon.reload()
                os.kill(daemon.worker, 9)
        for one in daemon.ctl("routes")["routes"]:
            assert one["messages"] == {"to_target": 6, "from_target": 0} and not one["refused"]
            assert not any(one["dropped"].values()) and one["sessions"]["active"] <= 2
        assert "loop" not in daemon.log()


@pytest.mark.parametrize("kind", (FOUR, SIX))
def test_both_ways_for_one_sender_each(networks, kind):
    """Source-specific."""
    port, group = free_port(), GROUP[kind]
    routes = both_ways(kind, group, port, networks)
    for network in networks:
        routes[f"from-{network.name}"]["listen"]["multicast_source"] = network.theirs[kind]
    with contextlib.ExitStack() as stack:
        members = {network.name: stack.enter_context(network.member(kind, group, port)) for network in networks}
        others = [stack.enter_context(network.member(kind, group, port, network.others[kind])) for network in networks]
        stack.enter_context(Daemon(routes, SETTINGS))
        for other in others:
            other.say(b"not for the other side")
        for network in networks:
            members[network.name].say(b"of " + network.name.encode())
        hear(members, [b"not for the other side", b"of lan0", b"of lan1"])


@pytest.mark.parametrize("kind", (FOUR, SIX))
def test_who_is_asked_by_a_group_answers_himself(networks, kind):
    """As of SSDP: a question to the group, and from the other network each answers from an address of its own, with reply_from."""
    port, group, (here, there) = free_port(), GROUP[kind], networks
    routes = both_ways(kind, group, port, networks)
    for one in routes.values():
        one["target"]["reply_from"] = "any"
    with contextlib.ExitStack() as stack:
        answering = [stack.enter_context(there.member(kind, group, port, address)) for address in (there.theirs[kind], there.others[kind])]
        with here.inside():
            client = stack.enter_context(Member(kind, group, port, here.index, here.theirs[kind], port_of_its_own=True))
        daemon = stack.enter_context(Daemon(routes, SETTINGS))
        client.say(b"who is there?")
        for number, member in enumerate(answering):
            member.sock.setblocking(True)
            member.sock.settimeout(harness.PATIENCE)
            data, peer = member.sock.recvfrom(100)
            assert data == b"who is there?"
            member.to = peer
            member.say(b"I am %d" % number)
        heard = []
        until("both are heard", lambda: heard.extend(data for data, _ in client.heard() if data != b"who is there?") or len(heard) >= 2)
        holds("once", lambda: not client.heard(), STILL)
        assert sorted(heard) == [b"I am 0", b"I am 1"]
        assert route(daemon, "from-lan0")["messages"] == {"to_target": 1, "from_target": 2}
        assert route(daemon, "from-lan1")["sessions"]["total"] == 0


def test_what_was_sent_to_a_group_goes_on_from_there(networks):
    """A chain: what came to a route from one client, and was sent to a group, is heard by a route that listens there."""
    port, first, network = free_port(), free_port(), networks[0]
    group = f"udp4://{GROUP[FOUR]}:{port}?interface={network.name}"
    with Sink() as sink, Daemon({"say": {"listen": f"udp4://:{first}", "target": group}, "hear": {"listen": group, "target": sink.text}}, SETTINGS):
        sink.expect(from_many(network, 3, (network.ours[FOUR], first)))
