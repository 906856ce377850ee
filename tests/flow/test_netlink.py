# SPDX-License-Identifier: LGPL-2.1-or-later
"""Netlink route as JSON: what ip(8) says, followed live, with every loss told and healed. In a namespace of our own."""

import json
import os
import signal
import socket

import pytest

import harness
from follower import Follower, addresses, from_ip, key_of, same
from harness import Daemon, until
from messages import KINDS, MESSAGES, End, Wire, route, socket_type
from namespace import Namespace, ip, ip_batch

CHANGES = int(os.environ.get("SPLICED_CHANGES", "20000"))


@pytest.fixture(autouse=True)
def namespace():
    if not hasattr(socket, "AF_NETLINK"):
        pytest.skip("no netlink here")
    with Namespace():
        yield


class Route:
    """A route from TCP to netlink."""

    def __init__(self, **target):
        self.port = harness.free_port()
        endpoint = {"family": "netlink", "protocol": "route", "groups": ["link", "addr"], "dump": True, "format": "json"}
        endpoint.update(target)
        self.routes = {"events": {"listen": f"tcp4://127.0.0.1:{self.port}", "target": endpoint}}

    def daemon(self, **options):
        return Daemon(self.routes, **options)

    def follow(self):
        sock = socket.create_connection(("127.0.0.1", self.port))
        follower = Follower(sock)
        until("the snapshot is complete", lambda: follower.ends)
        return follower


def furnish():
    """A little of everything that this kernel has."""
    ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")
    ip("link", "add", "br0", "type", "bridge")
    ip("link", "set", "v0", "master", "br0", "up")
    ip("link", "set", "v1", "up", "alias", "the other end")
    ip("link", "property", "add", "dev", "v1", "altname", "another")
    ip("addr", "add", "10.0.0.1/24", "brd", "+", "dev", "v1", "label", "v1:a")
    ip("addr", "add", "10.9.0.1", "peer", "10.9.0.2", "dev", "v1")
    ip("addr", "add", "2001:db8::1/64", "dev", "v1", "nodad")
    ip("route", "add", "blackhole", "192.0.2.0/24")
    ip("route", "add", "198.51.100.0/24", "via", "10.0.0.2", "metric", "5", "mtu", "1300", "table", "77")
    ip("route", "add", "203.0.113.0/24", "nexthop", "via", "10.0.0.3", "weight", "2", "nexthop", "via", "10.0.0.4")
    ip("route", "add", "unreachable", "198.18.0.0/15", "proto", "static")
    ip("-6", "route", "add", "2001:db8:5::/48", "via", "2001:db8::9")
    ip("-6", "route", "add", "2001:db8:6::/48", "nexthop", "via", "2001:db8::9", "nexthop", "via", "2001:db8::8")
    ip("neigh", "add", "10.0.0.7", "lladdr", "02:00:00:00:00:07", "dev", "v1", "nud", "permanent")
    ip("neigh", "add", "2001:db8::7", "lladdr", "02:00:00:00:00:08", "dev", "v1", "nud", "stale")
    ip_batch(f"addr add 10.{number // 250}.{number % 250}.1/32 dev br0" for number in range(300))
    until("no address is tentative any more",
          lambda: not any("tentative" in one for link in from_ip("addr") for one in link["addr_info"]))


def test_the_snapshot_is_what_ip_says():
    furnish()
    route_ = Route(groups=["link", "addr", "route", "neigh"])
    with route_.daemon():
        follower = route_.follow()
        same(follower.known("link"), from_ip("link"), "link")
        same(follower.known("address"), addresses(), "address", ("valid_life_time", "preferred_life_time"))
        assert len(follower.known("address")) > 300
        theirs = [dict(one, family=family, table=one.get("table", "main"))
                  for flag, family in (("-4", "inet"), ("-6", "inet6")) for one in
                  from_ip(flag, "route", "show", "table", "all")]
        same(follower.known("route"), theirs, "route", ("expires",))
        same(follower.known("neighbour"), from_ip("neigh"), "neighbour")
        assert follower.counts["snapshot"] == sum(len(follower.known(kind))
                                                  for kind in ("link", "address", "route", "neighbour"))


def test_what_a_client_says_is_dropped_and_its_fin_ends_nothing():
    """nc(1) says FIN at once when its input is empty."""
    route_ = Route()
    with route_.daemon() as daemon:
        sock = socket.create_connection(("127.0.0.1", route_.port))
        sock.sendall(b"hello?\n")
        sock.shutdown(socket.SHUT_WR)
        follower = Follower(sock)
        until("the snapshot is complete", lambda: follower.ends)
        until("its words are dropped and counted", lambda: route(daemon, "events")["dropped"].get("receive-only"))
        ip("addr", "add", "10.1.1.1/32", "dev", "lo")
        until("it still hears", lambda: any(event["local"] == "10.1.1.1" for event in follower.known("address").values()))
        assert route(daemon, "events")["sessions"]["active"] == 1
        sock.shutdown(socket.SHUT_RDWR)
        sock.close()


def test_a_client_that_is_gone_is_noticed():
    route_ = Route()
    with route_.daemon() as daemon:
        with socket.create_connection(("127.0.0.1", route_.port)) as sock:
            sock.recv(1)
            harness.reset(sock)
        until("its session has ended", lambda: route(daemon, "events")["sessions"]["active"] == 0)


def changes(count, first=0):
    """Half of them add an address, the other half take it away, but for the last hundred."""
    pairs = count // 2
    for number in range(first, first + pairs):
        address = f"10.{number // 60000 + 1}.{number // 250 % 240}.{number % 250 + 1}/32"
        yield f"addr add {address} dev lo"
        if number < first + pairs - 100:
            yield f"addr del {address} dev lo"


def test_20000_changes_are_followed_without_a_gap():
    route_ = Route(groups=["addr"], rcvbuf="32M")
    with route_.daemon() as daemon:
        follower = route_.follow()
        before = dict(follower.counts)
        lines = list(changes(CHANGES))
        ip_batch(lines)
        until("every change was told", lambda: sum(follower.counts.get(name, 0) - before.get(name, 0)
                                                   for name in ("new", "del")) == len(lines))
        same(follower.known("address"), addresses(), "address")
        assert not follower.reasons
        assert route(daemon, "events")["lost"] == 0


def change_unheard(daemon, count, first=0):
    """More changes than the buffer holds, while nobody reads it; then it is read again."""
    worker = daemon.hold_worker()
    try:
        ip_batch(changes(count, first))
    finally:
        os.kill(worker, signal.SIGCONT)


def test_with_a_tiny_buffer_every_loss_is_told_and_healed():
    route_ = Route(groups=["addr"], rcvbuf="4K")
    with route_.daemon() as daemon:
        follower = route_.follow()
        for turn in range(3):
            change_unheard(daemon, 400, turn * 2000)
            ip_batch(changes(1000, turn * 2000 + 1000))
        until("the state is right again", lambda: follower.known("address").keys() ==
              {key_of("address", one) for one in addresses()}, harness.PATIENCE * 3)
        until("each is told", lambda: 0 < follower.reasons.count("overrun") == route(daemon, "events")["lost"])
        assert follower.ends >= 2


# Of a dump: several parts of any buffer. An emulated processor takes a second for a hundred of them.
ADDRESSES = 300 if os.environ.get("SPLICED_VM") else 1000
DUMPS = 20  # that one may take, each time anew


class Whole:
    """What a whole dump has, while nothing changes."""

    def __init__(self):
        self.addresses = {key_of("address", one) for one in addresses()}
        self.links = len(from_ip("link"))

    def is_in(self, follower):
        return follower.ends and self.addresses <= follower.known("address").keys() and len(follower.known("link")) == self.links

    def until(self, what, condition, followers):
        """Waits for as long as the followers are told anything: how long a dump takes is up to the machine. How much it has is not."""
        def told():
            return sum(sum(one.counts.values()) for one in followers)

        while not condition():
            before = told()
            assert before < DUMPS * len(followers) * 4 * len(self.addresses), f"without an end: {what}"
            until(what, lambda: condition() or told() > before)  # noqa: B023


@pytest.mark.parametrize("how", ("resync", "mark", "ignore"))
def test_a_dump_with_any_buffer(how):
    """The kernel gives it in pieces. For one that finds no room yet it says ENOBUFS, as for what it drops: but that comes later, nothing is
    missing, and nothing is counted as lost. What is dropped nevertheless is counted, and as often told; with resync another dump follows."""
    furnish()
    ip_batch(f"addr add 10.{number // 250}.{number % 250}.2/32 dev br0" for number in range(ADDRESSES))
    cases = [(size, how) for size in ("1K", "2304", "4K", "8K", "16K", "32K", "64K", "1M")]
    routes = [Route(groups=["link", "addr", "route", "neigh"], rcvbuf=size, on_overrun=how) for size, _ in cases]
    with Daemon({f"r{i}": one.routes["events"] for i, one in enumerate(routes)}) as daemon:
        whole = Whole()
        followers = [Follower(socket.create_connection(("127.0.0.1", one.port))) for one in routes]
        for i, (case, follower) in enumerate(zip(cases, followers)):
            def lost(i=i):
                return route(daemon, f"r{i}")["lost"]

            whole.until(f"the dump of {case} is whole, or what is missing is counted", lambda: whole.is_in(follower) or  # noqa: B023
                        (how == "mark" and "overrun" in follower.reasons) or  # noqa: B023
                        (how == "ignore" and follower.ends and lost()), followers)  # noqa: B023
            until(f"of {case} as much is told as was lost",
                  lambda: follower.reasons.count("overrun") == (lost() if how != "ignore" else 0))  # noqa: B023
            follower.sock.close()


@pytest.mark.parametrize("how", ("mark", "ignore"))
def test_a_loss_is_only_marked_or_ignored(how):
    route_ = Route(groups=["addr"], rcvbuf="4K", on_overrun=how)
    with route_.daemon() as daemon:
        follower = route_.follow()
        change_unheard(daemon, 1000)
        overruns = until("messages were lost", lambda: route(daemon, "events")["lost"])
        if how == "mark":
            until("each was told", lambda: follower.reasons.count("overrun") == route(daemon, "events")["lost"])
        else:
            assert not follower.reasons
        assert overruns and follower.ends == 1


def test_the_state_is_right_after_kills_and_reloads():
    route_ = Route(groups=["link", "addr"])
    with route_.daemon() as daemon:
        follower = route_.follow()
        for number in range(12):
            ip_batch(changes(300, number * 1000))
            if number % 2:
                os.kill(daemon.worker, signal.SIGKILL)
            else:
                daemon.reload()
        until("the state is right", lambda: follower.known("address").keys() ==
              {key_of("address", one) for one in addresses()}, harness.PATIENCE * 3)
        assert route(daemon, "events")["sessions"]["active"] == 1
        assert set(follower.reasons) <= {"restart", "interrupted", "overrun"} # the last where the machine is slow


def test_events_are_pushed_to_a_target_that_comes_and_goes(place):
    path = os.path.join(place, "log")
    routes = {"push": {"listen": {"family": "netlink", "protocol": "route", "groups": ["addr"], "format": "json"},
                       "target": f"unix-dgram://{path}"}}

    def target():
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sock.settimeout(harness.PATIENCE)
        sock.bind(path)
        return sock

    with Daemon(routes) as daemon:
        for address in ("10.5.5.1", "10.5.5.2"):
            with target() as sock:
                until("the feed has its session", daemon.relays)
                ip("addr", "add", address + "/32", "dev", "lo")
                heard = json.loads(sock.recv(65536))
                assert (heard["event"], heard["kind"], heard["local"]) == ("new", "address", address)
            os.unlink(path)
        # Nobody is there now: what comes waits in the kernel.
        ip("addr", "add", "10.5.5.3/32", "dev", "lo")
        with target() as sock:
            assert json.loads(sock.recv(65536))["local"] == "10.5.5.3"


def test_only_the_kernel_is_heard(place):
    path = os.path.join(place, "log")
    routes = {"push": {"listen": {"family": "netlink", "protocol": "route", "groups": ["addr"], "format": "json",
                                  "portid": 4711},
                       "target": f"unix-dgram://{path}"}}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(harness.PATIENCE)
        sock.bind(path)
        with Daemon(routes) as daemon:
            until("the feed has its session", daemon.relays)
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as liar:
                liar.sendto(bytes(16), (4711, 0))
            until("the forgery is dropped", lambda: route(daemon, "push")["dropped"].get("sender") == 1)
            ip("addr", "add", "10.5.5.1/32", "dev", "lo")
            assert json.loads(sock.recv(65536))["local"] == "10.5.5.1"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_client(place, kind):
    """Who has no connection says something first: that opens the session."""
    front = End(kind, place)
    target = {"family": "netlink", "protocol": "route", "groups": ["link"], "dump": True, "format": "json"}
    with Daemon({"events": {"listen": front.framed, "target": target}}), front.client() as client:
        if kind in MESSAGES:
            client.say(b"hello")
        heard = [json.loads(client.hear()) for _ in range(2)]
        assert [one["event"] for one in heard] == ["snapshot", "snapshot-end"] and heard[0]["ifname"] == "lo"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_target(place, kind):
    back = End(kind, place)
    feed = {"family": "netlink", "protocol": "route", "groups": ["link"], "dump": True, "format": "json"}
    with back.server() as server, Daemon({"events": {"listen": feed, "target": back.framed}}):
        server.settimeout(harness.PATIENCE)
        sock = server if socket_type(kind) == socket.SOCK_DGRAM else server.accept()[0]
        with Wire(kind, sock) as wire:
            heard = [json.loads(wire.hear()) for _ in range(2)]
            assert [one["event"] for one in heard] == ["snapshot", "snapshot-end"] and heard[0]["ifname"] == "lo"
