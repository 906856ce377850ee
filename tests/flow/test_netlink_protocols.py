# SPDX-License-Identifier: LGPL-2.1-or-later
"""Netlink beside links and addresses: rules, next hops, devices, processes, generic families; and as a capture."""

import json
import os
import select
import shutil
import socket
import struct
import subprocess
import time

import pytest

import harness
from follower import from_ip
from harness import Daemon, until
from messages import route
from namespace import Namespace, ip


@pytest.fixture(autouse=True)
def namespace():
    with Namespace() as inside:
        yield inside


class Events:
    """A route from TCP to netlink, and a client of it."""

    def __init__(self, **target):
        self.port = harness.free_port()
        self.routes = {"events": {"listen": f"tcp4://127.0.0.1:{self.port}",
                                  "target": {"family": "netlink", "format": "json", **target}}}

    def connect(self, daemon):
        sock = socket.create_connection(("127.0.0.1", self.port))
        until("the client is heard, and its target", daemon.relays)
        return sock


class Lines:
    def __init__(self, sock):
        sock.settimeout(10)
        self.file = sock.makefile("rb")

    def until(self, condition):
        for line in self.file:
            event = json.loads(line)
            if condition(event):
                return event
        raise AssertionError("it ended")


def own(event):
    return {key: value for key, value in event.items() if key not in ("event", "kind", "time", "family")}


def in_order(events):
    return sorted((json.dumps(own(event), sort_keys=True) for event in events))


RULES = (
    "add from 10.0.0.0/8 lookup 100 priority 100",
    "add to 10.1.2.3 table main priority 101",
    "add fwmark 0x10/0xff table 254 priority 102",
    "add fwmark 7 iif lo table 300 priority 103",
    "add not from 10.2.0.0/16 oif nowhere0 lookup 5 priority 104",
    "add uidrange 1000-2000 lookup main suppress_prefixlength 0 priority 105",
    "add ipproto tcp dport 80 sport 1000-2000 lookup main priority 106",
    "add from 10.3.0.0/16 blackhole priority 107",
    "add from 10.4.0.0/16 prohibit protocol static priority 108",
    "add from 10.5.0.0/16 goto 32766 priority 109",
    "add from 10.6.0.0/16 goto 999999 priority 110",
    "add tos 0x10 lookup main priority 111",
    "add unreachable priority 112",
)


def test_rules_are_what_ip_says():
    events = Events(protocol="route", groups=["rule"], dump=True)
    for rule in RULES:
        ip("rule", *rule.split())
    with Daemon(events.routes) as daemon:
        sock = events.connect(daemon)
        seen, snapshot = Lines(sock), []
        seen.until(lambda event: snapshot.append(event) or event["event"] == "snapshot-end")
        shown = {4: [one for one in snapshot if one.get("family") == "inet"], 6: [one for one in snapshot if one.get("family") == "inet6"]}
        assert in_order(shown[4]) == in_order(from_ip("-4", "rule"))
        assert in_order(shown[6]) == in_order(from_ip("-6", "rule"))
        ip("rule", "add", "from", "10.9.0.0/16", "lookup", "9", "priority", "9")
        new = seen.until(lambda event: event["event"] == "new")
        assert own(new) in [own(one) for one in from_ip("rule")]
        ip("rule", "del", "priority", "9")
        assert own(seen.until(lambda event: event["event"] == "del")) == own(new)


def test_next_hops_are_what_ip_says():
    ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")
    ip("link", "set", "v1", "up")
    ip("link", "set", "v0", "up")
    ip("addr", "add", "10.0.0.1/24", "dev", "v1")
    try:
        ip("nexthop", "add", "id", "1", "via", "10.0.0.2", "dev", "v1")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no next hops in this kernel: {error.stderr}")
    for words in ("id 2 dev v1", "id 3 blackhole", "id 4 via 10.0.0.3 dev v1 protocol static", "id 5 group 1,20/4",
                  "id 6 via 10.99.0.1 dev v1 onlink"):
        ip("nexthop", "add", *words.split())
    events = Events(protocol="route", groups=["nexthop"], dump=True)
    with Daemon(events.routes) as daemon:
        seen, snapshot = Lines(events.connect(daemon)), []
        seen.until(lambda event: snapshot.append(event) or event["event"] == "snapshot-end")
        assert in_order(snapshot[:-1]) == in_order(from_ip("nexthop"))
        ip("nexthop", "del", "id", "5")
        assert seen.until(lambda event: event["event"] == "del")["id"] == 5


def test_devices():
    """The kernel tells the namespaces of its own user namespace."""
    events = Events(protocol="uevent", groups=["kernel"])
    with Daemon(events.routes) as daemon:
        seen = Lines(events.connect(daemon))
        ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")
        new = seen.until(lambda event: event["kind"] == "uevent" and event.get("INTERFACE") == "v0")
        assert new["event"] == "new" and new["ACTION"] == "add" and new["SUBSYSTEM"] == "net" and new["SEQNUM"].isdigit()
        ip("link", "del", "v0")
        gone = seen.until(lambda event: event.get("INTERFACE") == "v0" and event["event"] == "del")
        assert gone["DEVPATH"] == new["DEVPATH"]


LISTEN, IGNORE = 1, 2


def tell(word):
    """What the connector is asked, connector.h and cn_proc.h."""
    return struct.pack("=IHHIIIIIIHHI", 40, 3, 0, 0, 0, 1, 1, 0, 0, 4, 0, word)


FIRST_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO


@pytest.fixture
def processes(namespace):
    """Outside of the namespace: processes are told of in the first one alone."""
    namespace.leave()
    if os.stat("/proc/self/ns/pid").st_ino != FIRST_PID_NAMESPACE:
        pytest.skip("processes have other numbers here than the kernel tells: this is a PID namespace")
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 11) as probe:
        probe.settimeout(1)
        try:
            probe.bind((0, 1))
            probe.send(tell(LISTEN))
            subprocess.run(["true"], check=True)
            probe.recv(4096) # what was asked
            probe.recv(4096)
        except OSError as error:
            pytest.skip(f"this kernel tells of no processes here: {error} (a namespace, or no CONFIG_PROC_EVENTS)")
        probe.send(tell(IGNORE))


def test_processes(processes):
    events = Events(protocol="connector", groups=["proc"])
    with Daemon(events.routes, unrest="it hears of each process of this machine") as daemon:
        seen = Lines(events.connect(daemon))
        process = subprocess.Popen(["/bin/sh", "-c", "exit 3"])
        fork = seen.until(lambda event: event["event"] == "new" and event["pid"] == process.pid)
        assert fork["kind"] == "process" and fork["what"] == "fork"
        seen.until(lambda event: event["what"] == "exec" and event["pid"] == process.pid)  # others live beside it
        gone = seen.until(lambda event: event["event"] == "del" and event["pid"] == process.pid)
        assert gone["exit_code"] == 3 << 8
        process.wait()


def test_generic_families():
    """The controller's own group tells of families that come; all we can see is that the group is joined."""
    events = Events(protocol="generic", groups=["nlctrl/notify"])
    with Daemon(events.routes) as daemon:
        events.connect(daemon)
        with open("/proc/net/netlink", encoding="ascii") as file:
            joined = [line.split() for line in file if line.split()[1] == "16" and int(line.split()[3], 16)]
        assert joined


@pytest.mark.parametrize("target, said", (
    ({"protocol": "uevent", "groups": ["link"]}, '"link" is not a group of protocol uevent; the groups are kernel'),
    ({"protocol": "netfilter", "groups": ["conntrack"]}, "the groups are conntrack-new"),
    ({"protocol": "route", "groups": ["liink"]}, "the groups are link, addr, route, neigh, rule"),
    ({"protocol": "generic", "groups": []}, "no groups, so that"),
    ({"protocol": "nowhere", "groups": ["1"]}, '"uevent"'),
))
def test_wrong_groups_are_refused(target, said):
    with pytest.raises(AssertionError) as refused:
        with Daemon(Events(**target).routes):
            pass
    assert said in str(refused.value)


@pytest.mark.parametrize("group, said", (("nosuchfamily", 'no generic netlink family "nosuchfamily"'), ("nlctrl/nothing", 'has no group nothing')))
def test_generic_families_that_are_not_there(group, said):
    """They may come with a module: they are waited for."""
    with Daemon({"push": {"listen": f"netlink://generic?groups={group}&format=json", "target": "tcp4://127.0.0.1:1"}}) as daemon:
        assert "waits" in daemon.status()["verdict"] and said in daemon.log()


def test_groups_by_number():
    events = Events(protocol="route", groups=["1"])
    with Daemon(events.routes) as daemon:
        seen = Lines(events.connect(daemon))
        ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")
        assert seen.until(lambda event: event.get("ifname") == "v0")["event"] == "new"


def test_only_the_kernel_is_heard():
    """Whoever may send to a port number does; it is dropped and counted."""
    port = 4711
    with socket.create_server(("127.0.0.1", 0)) as server:
        routes = {"push": {"listen": f"netlink://route?groups=link&portid={port}", "target": {
            "family": "inet", "host": "127.0.0.1", "port": server.getsockname()[1], "framing": "length32"}}}
        with Daemon(routes) as daemon:
            server.accept()
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as liar:
                liar.sendto(bytes(32), (port, 0))
            until("it is counted", lambda: route(daemon, "push")["dropped"].get("sender") == 1)


def test_capture_is_read_by_tshark(tmp_path):
    if not shutil.which("tshark"):
        pytest.skip("no tshark (Debian: tshark)")
    events = Events(protocol="route", groups=["link", "addr"], format="pcap")
    path = str(tmp_path / "capture")
    with Daemon(events.routes) as daemon:
        sock = events.connect(daemon)
        for number in range(50):
            ip("addr", "add", f"10.0.{number}.1/24", "dev", "lo")
        time.sleep(0.2)
        sock.settimeout(0.5)
        data = b""
        try:
            while part := sock.recv(1 << 16):
                data += part
        except TimeoutError:
            pass
    with open(path, "wb") as file:
        file.write(data)
    done = subprocess.run(["tshark", "-n", "-r", path, "-T", "fields", "-e", "netlink-route.nltype", "-e", "frame.protocols"],
                          capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 50 and all(line.startswith("20\t") and "netlink" in line for line in lines), lines[:3]


RULESET = "table ip t { chain c { type filter hook input priority 0; ct state new accept; }; }"


def speaks(sock, server):
    with socket.create_connection(server.getsockname()):
        server.accept()[0].close()
    return bool(select.select([sock], [], [], 0.5)[0])


def test_tracked_connections():
    done = subprocess.run(["nft", RULESET], capture_output=True, text=True) if shutil.which("nft") else None
    if not done or done.returncode:
        pytest.skip(f"this kernel tracks no connections here: {done.stderr if done else 'no nft (Debian: nftables)'}")
    events = Events(protocol="netfilter", groups=["conntrack-new", "conntrack-update", "conntrack-destroy"])
    with Daemon(events.routes) as daemon, socket.create_server(("127.0.0.1", 0)) as server:
        sock = events.connect(daemon)
        port = server.getsockname()[1]
        until("the kernel's module, which the first listener makes it load, tells of connections",
              lambda: speaks(sock, server))
        seen = Lines(sock)
        with socket.create_connection(("127.0.0.1", port)) as client:
            mine = client.getsockname()[1]

            def is_ours(event):
                return event["kind"] == "conntrack" and event["orig"].get("sport") == mine and event["orig"].get("dport") == port

            new = seen.until(is_ours)
            assert new["event"] == "new" and new["family"] == "inet" and new["orig"]["protocol"] == "tcp"
            assert new["orig"]["src"] == new["reply"]["dst"] == "127.0.0.1" and new["reply"]["sport"] == port
            update = seen.until(lambda event: is_ours(event) and event.get("tcp_state") == "ESTABLISHED")
            assert update["event"] == "update" and "seen-reply" in update["status"] and update["id"] == new["id"]
            server.accept()[0].close()
        assert seen.until(lambda event: is_ours(event) and event.get("tcp_state") in ("FIN_WAIT", "LAST_ACK", "TIME_WAIT"))
