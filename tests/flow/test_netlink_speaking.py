# SPDX-License-Identifier: LGPL-2.1-or-later
"""Netlink that is spoken, not only heard: usersock between processes, messages that may be written to the kernel, what nftables logs."""

import base64
import contextlib
import json
import os
import select
import shutil
import socket
import struct
import subprocess

import pytest

import harness
from harness import Daemon, until
from messages import route
from namespace import Namespace, ip
from test_netlink_protocols import Events, Lines
from test_netns import Elsewhere

USERSOCK, CONNECTOR = 2, 11
NEWLINK, GETLINK, DELLINK = 16, 18, 17
REQUEST, ACK, DUMP = 1, 4, 0x300
DONE, ERROR = 3, 2


@pytest.fixture(autouse=True)
def namespace():
    with Namespace() as inside:
        yield inside


def netlink(protocol, portid=0, groups=0):
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    sock.bind((portid, groups))
    sock.settimeout(harness.PATIENCE)
    return sock


# ---- usersock ----


def test_usersock_in_and_its_answers():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, netlink(USERSOCK) as one, netlink(USERSOCK) as other:
        server.bind(("127.0.0.1", 0))
        server.settimeout(harness.PATIENCE)
        routes = {"in": {"listen": "netlink://usersock?portid=4242", "target": f"udp4://127.0.0.1:{server.getsockname()[1]}"}}
        with Daemon(routes) as daemon:
            for sock, name in ((one, b"one"), (other, b"other")):
                for number in range(20):
                    sock.sendto(name + b"%d" % number, (4242, 0))
                    data, back = server.recvfrom(100)
                    assert data == name + b"%d" % number
                    server.sendto(b"to " + data, back)
                    assert sock.recvfrom(100) == (b"to " + data, (4242, 0))
            assert len(daemon.sessions()) == 2


def test_usersock_out_and_back():
    with netlink(USERSOCK, 4243) as server:
        port = harness.free_port()
        routes = {"out": {"listen": f"udp4://127.0.0.1:{port}", "target": "netlink://usersock?portid=4243"}}
        with Daemon(routes), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.1", port))
            client.settimeout(harness.PATIENCE)
            for number in range(20):
                client.send(b"ask %d" % number)
                data, back = server.recvfrom(100)
                assert data == b"ask %d" % number
                server.sendto(b"answer", back)
                assert client.recv(100) == b"answer"


def test_usersock_groups():
    """What is sent to a group is heard by a route that has joined it; an answer goes to the sender alone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, netlink(USERSOCK, 0, 1 << 6) as bystander:
        server.bind(("127.0.0.1", 0))
        server.settimeout(harness.PATIENCE)
        routes = {"in": {"listen": "netlink://usersock?groups=7", "target": f"udp4://127.0.0.1:{server.getsockname()[1]}"}}
        with Daemon(routes), netlink(USERSOCK) as sender:
            with contextlib.suppress(ConnectionRefusedError): # by the kernel itself, which is no process
                sender.sendto(b"to all", (0, 1 << 6))
            data, back = server.recvfrom(100)
            assert data == b"to all" and bystander.recv(100) == b"to all"
            server.sendto(b"to you", back)
            assert sender.recv(100) == b"to you"
            assert not select.select([bystander], [], [], 0.1)[0]


def test_a_slow_usersock_holds_back():
    with netlink(USERSOCK, 4244) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        port = harness.free_port()
        routes = {"out": {"listen": f"tcp4://127.0.0.1:{port}?framing=length16",
                          "target": "netlink://usersock?portid=4244", "overflow": "block"}}
        with Daemon(routes), socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"".join(struct.pack(">HI", 500, number) + bytes(496) for number in range(200)))
            for number in range(200):
                assert struct.unpack(">I", server.recv(600)[:4])[0] == number


# ---- to the kernel ----


def request(kind, flags=0, body=bytes(16), seq=7):
    return struct.pack("=IHHII", 16 + len(body), kind, REQUEST | flags, seq, 0) + body


class Kernel:
    """A UNIX seqpacket client of a netlink target."""

    def __init__(self, tmp_path, **target):
        self.path = str(tmp_path / "kernel")
        self.routes = {"kernel": {"listen": f"unix-seqpacket://{self.path}", "target": {"family": "netlink", "protocol": "route", **target}}}

    def connect(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(self.path)
        sock.settimeout(harness.PATIENCE)
        return sock


def answers(sock):
    """(type, body) of each message up to the end of a dump, or an answer."""
    while True:
        data = sock.recv(1 << 16)
        while data:
            length, kind = struct.unpack("=IH", data[:6])
            yield kind, data[16:length]
            if kind in (DONE, ERROR):
                return
            data = data[(length + 3) & ~3:]


def test_what_may_be_written_is(tmp_path):
    kernel = Kernel(tmp_path, write=["getlink", "RTM_NEWLINK", "17"])
    with Daemon(kernel.routes) as daemon, kernel.connect() as sock:
        sock.send(request(GETLINK, DUMP))
        links = [body for kind, body in answers(sock) if kind == NEWLINK]
        assert len(links) == len(json.loads(subprocess.run(["ip", "-json", "link"], capture_output=True, text=True, check=True).stdout))
        up = struct.pack("=BBHiII", 0, 0, 0, 1, 0, 1) # lo goes down
        sock.send(request(NEWLINK, ACK, up))
        assert struct.unpack("=i", next(answers(sock))[1][:4])[0] == 0
        assert "UP" not in json.loads(subprocess.run(["ip", "-json", "link", "show", "lo"], capture_output=True, text=True,
                                                     check=True).stdout)[0]["flags"]
        # Two at once, of which one may not.
        sock.send(request(GETLINK, DUMP) + request(20, 0, bytes(8)))
        sock.send(request(20, DUMP, bytes(8)))
        sock.send(b"no message")
        sock.send(request(GETLINK, DUMP) + b"and more")
        until("they are counted", lambda: route(daemon, "kernel")["dropped"].get("forbidden") == 4)
        assert not select.select([sock], [], [], 0.1)[0]


def test_nothing_is_written_unasked(tmp_path):
    kernel = Kernel(tmp_path, groups=["link"])
    with Daemon(kernel.routes) as daemon, kernel.connect() as sock:
        sock.send(request(GETLINK, DUMP))
        until("it is counted", lambda: route(daemon, "kernel")["dropped"].get("receive-only") == 1)
        ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")
        assert struct.unpack("=IH", sock.recv(1 << 16)[:6])[1] == NEWLINK


def test_a_generic_family_may_be_written_to(tmp_path):
    kernel = Kernel(tmp_path, protocol="generic", write=["nlctrl"])
    with Daemon(kernel.routes) as daemon, kernel.connect() as sock:
        sock.send(request(16, DUMP, struct.pack("=BBH", 3, 1, 0)))
        assert sum(kind == 16 for kind, _ in answers(sock)) >= 1
        sock.send(request(17, DUMP, struct.pack("=BBH", 3, 1, 0)))
        until("another family is refused", lambda: route(daemon, "kernel")["dropped"].get("forbidden") == 1)


@pytest.mark.parametrize("target, said", (
    ({"write": ["getlnik"]}, '"getlnik" is not a message type of protocol route; write a name such as getlink'),
    ({"protocol": "audit", "write": ["get"]}, '"get" is not a message type; write its number'),
    ({"write": ["getlink"], "groups": ["link"], "format": "json"}, "but format is \"json\""),
    ({"protocol": "usersock"}, "set its portid"),
    ({"portid": 5, "groups": ["link"]}, "whose port is 0"),
    ({"groups": []}, "no groups, so that no message would ever arrive"),
))
def test_wrong_words_are_refused(tmp_path, target, said):
    daemon = Daemon(Kernel(tmp_path, **target).routes, wait=False)
    try:
        daemon.start()
        assert daemon.process.wait(harness.PATIENCE) == 78
        assert said in daemon.log()
    finally:
        daemon.kill()


def test_a_protocol_by_its_number():
    events = Events(protocol=0, groups=["link"])
    with Daemon(events.routes) as daemon:
        seen = Lines(events.connect(daemon))
        ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")
        assert seen.until(lambda event: event.get("ifname") == "v0")["kind"] == "link"


# ---- logged packets ----


def test_what_nftables_logs():
    rules = "table ip t { chain c { type filter hook input priority 0; udp dport 9 log prefix \"seen\" group 5; }; }"
    done = subprocess.run(["nft", rules], capture_output=True, text=True) if shutil.which("nft") else None
    if not done or done.returncode:
        pytest.skip(f"nothing is logged here: {done.stderr if done else 'no nft (Debian: nftables)'}")
    events = Events(protocol="netfilter", groups=["nflog/5"])
    with Daemon(events.routes) as daemon:
        sock = events.connect(daemon)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number in range(3):
                sender.sendto(b"packet %d" % number, ("127.0.0.1", 9))
        seen = Lines(sock)
        for number in range(3):
            event = seen.until(lambda event: event["event"] == "message")
            assert b"packet %d" % number in base64.b64decode(event["payload"]) and event["type"] == 4 << 8, event
        # One socket alone can have a group: another client is told, and the first goes on.
        with socket.create_connection(("127.0.0.1", events.port)):
            until("it is said", lambda: "cannot receive the messages logged to group 5" in daemon.log())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"one more", ("127.0.0.1", 9))
        assert b"one more" in base64.b64decode(seen.until(lambda event: True)["payload"])


# ---- names ----


def test_names_are_those_of_the_socket_s_namespace(namespace):
    """Interfaces there have the numbers of others here."""
    namespace.leave()
    with Elsewhere() as elsewhere, Namespace():
        ip("link", "add", "here0", "type", "veth", "peer", "name", "here1")
        elsewhere.run("ip", "link", "add", "there0", "type", "veth", "peer", "name", "there1")
        events = Events(protocol="route", groups=["link", "addr"], netns=elsewhere.netns, dump=True)
        with Daemon(events.routes) as daemon:
            seen = Lines(events.connect(daemon))
            seen.until(lambda event: event["event"] == "snapshot-end")
            elsewhere.run("ip", "addr", "add", "10.0.0.1/24", "dev", "there0")
            assert seen.until(lambda event: event["kind"] == "address" and event["event"] == "new")["ifname"] == "there0"
            elsewhere.run("ip", "link", "del", "there0")
            assert seen.until(lambda event: event["kind"] == "address" and event["event"] == "del")["ifname"] == "there0"


def test_other_namespaces_are_told_by_number(namespace):
    """What comes from a namespace that this one has a number for has that number, and never a name from here."""
    with Elsewhere() as elsewhere:
        ip("link", "add", "here0", "type", "veth", "peer", "name", "here1")
        with open(elsewhere.netns, "rb"):
            ip("netns", "attach", "spliced-test", str(elsewhere.process.pid))
        try:
            ip("netns", "set", "spliced-test", "9")
            events = Events(protocol="route", groups=["link", "addr"], all_nsid=True)
            with Daemon(events.routes) as daemon:
                seen = Lines(events.connect(daemon))
                elsewhere.run("ip", "link", "add", "there0", "type", "veth", "peer", "name", "there1")
                link = seen.until(lambda event: event["kind"] == "link" and event.get("nsid") == 9 and event["ifname"] == "there0")
                elsewhere.run("ip", "addr", "add", "10.0.0.1/24", "dev", "there0")
                address = seen.until(lambda event: event["kind"] == "address")
                assert address["nsid"] == 9 and address["ifindex"] == link["ifindex"] and address["ifname"] == "there0"
                ip("addr", "add", "10.0.0.2/24", "dev", "here0")
                address = seen.until(lambda event: event["kind"] == "address" and "nsid" not in event)
                assert address["ifname"] == "here0"
        finally:
            ip("netns", "del", "spliced-test")


# ---- processes ----


def listeners(probe):
    """Whether the kernel still tells of processes."""
    while select.select([probe], [], [], 0)[0]:
        probe.recv(4096)
    subprocess.run(["true"], check=True)
    return bool(select.select([probe], [], [], 0.2)[0])


def test_the_kernel_stops_telling_of_processes(namespace):
    """Who has joined the group hears what others asked for, and no more once the last of them has gone."""
    namespace.leave()
    events = Events(protocol="connector", groups=["proc"])
    with netlink(CONNECTOR, 0, 1) as probe:
        if listeners(probe):
            pytest.skip("somebody else on this machine has asked for process events")
        with Daemon(events.routes, unrest="it hears of each process of this machine") as daemon:
            with events.connect(daemon) as client:
                if not listeners(probe):
                    pytest.skip("this kernel tells of no processes here (a namespace, or no CONFIG_PROC_EVENTS)")
                client.shutdown(socket.SHUT_RDWR)
            until("the session ends", lambda: not daemon.sessions())
            until("it is silent after the session's end", lambda: not listeners(probe))
            again = events.connect(daemon)
            assert listeners(probe)
            os.kill(daemon.worker, 9)
            until("the heir has it", lambda: daemon.sessions())
        until("it is silent after the daemon's end", lambda: not listeners(probe))
        again.close()
