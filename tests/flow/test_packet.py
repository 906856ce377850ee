# SPDX-License-Identifier: LGPL-2.1-or-later
"""Frames: bridged, carried through tunnels, captured; between namespaces, with real tools at both ends."""

import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

import harness
from harness import Daemon, until
from messages import route
from namespace import Namespace, ip

SUBNET = "10.77.0."


@pytest.fixture(autouse=True)
def namespace():
    if os.geteuid() != 0:
        pytest.skip("packet sockets take root")
    with Namespace():
        yield


class Machine:
    """Another machine: a namespace with one end of a veth, whose other end is ours."""

    def __init__(self, ours, number, **features):
        self.ours, self.address = ours, f"{SUBNET}{number}"
        self.process = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
        until("its namespace is there", lambda: os.readlink(f"/proc/{self.process.pid}/ns/net") != os.readlink("/proc/thread-self/ns/net"))
        self.connect()

    def connect(self):
        ip("link", "add", self.ours, "type", "veth", "peer", "name", "eth0", "netns", str(self.process.pid))
        for words in ("sysctl -qw net.ipv6.conf.all.disable_ipv6=1", "ip link set lo up", f"ip addr add {self.address}/24 dev eth0",
                      "ip link set eth0 up"):
            self.run(*words.split())
        ip("link", "set", self.ours, "up")

    def command(self, *words):
        return ["nsenter", "-t", str(self.process.pid), "-n", *words]

    def run(self, *words, **options):
        done = subprocess.run(self.command(*words), capture_output=True, text=True, timeout=60, **options)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *words):
        return subprocess.Popen(self.command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def offloads(self, state):
        """Of both ends."""
        words = [word for name in ("tx", "tso", "gso", "gro") for word in (name, state)]
        self.run("ethtool", "-K", "eth0", *words)
        subprocess.run(["ethtool", "-K", self.ours, *words], check=True, capture_output=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def machines():
    with Machine("left", 1) as left, Machine("right", 2) as right:
        yield left, right


def ping(left, right, count=5):
    return left.run("ping", "-q", "-n", "-i", "0.02", "-c", str(count), "-W", "2", right.address)


def reach(left, right):
    until("they reach each other",
          lambda: subprocess.run(left.command("ping", "-q", "-c", "1", "-W", "1", right.address), capture_output=True).returncode == 0)


LEAST = 1 << 20  # bytes of 16M that iperf3 has counted when its sender is done: the rest is in buffers still


def iperf(left, right, *words):
    server = right.start("iperf3", "-s", "-1")
    try:
        until("iperf3 listens", lambda: "5201" in right.run("ss", "-Hltn"))
        result = json.loads(left.run("iperf3", "-c", right.address, "-n", "16M", "-J", *words))
        assert "error" not in result, result
        return result["end"]
    finally:
        server.kill()
        server.wait()


def bridge(**options):
    return {"bridge": {"listen": {"family": "packet", "interface": "left", "promiscuous": True, **options},
                       "target": {"family": "packet", "interface": "right", "promiscuous": True, **options}}}


def all_of_tcp_and_udp(left, right):
    ping(left, right)
    for direction in ((), ("-R",)):
        assert iperf(left, right, *direction)["sum_received"]["bytes"] >= LEAST
    udp = iperf(left, right, "-u", "-b", "20M", "-l", "1400")["sum"]
    assert udp["lost_packets"] < udp["packets"], udp # how many arrive is the machine's affair


def test_bridge_with_offloads_on(machines):
    with Daemon(bridge()):
        reach(*machines)
        all_of_tcp_and_udp(*machines)


# From one machine to all, tagged: priority 3, VLAN 5.
TAGGED = "ffffffffffff" + "020000000001" + "81006005" + "88b5" + "74616767656421" + "00" * 50
SEND = "import socket; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(('eth0', 0)); " \
       f"[s.send(bytes.fromhex('{TAGGED}')) for _ in range(3)]"
# The kernel takes the tag out of what it receives, and tells it beside the frame.
RECEIVE = r"""
import socket, struct
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(("eth0", 3))
s.setsockopt(263, 8, 1)
s.settimeout(10)
print("ready", flush=True)
data = b""
while data[12:14] != b"\x88\xb5":
    data, control, *_ = s.recvmsg(2048, 100)
status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", control[0][2])
print(hex(tci), hex(tpid), data[14:21].decode(), len(data))
"""


def test_bridge_keeps_vlan_tags(machines):
    left, right = machines
    with Daemon(bridge()):
        reach(left, right)
        with subprocess.Popen(right.command("python3", "-c", RECEIVE), stdout=subprocess.PIPE, text=True) as receiver:
            assert receiver.stdout.readline() == "ready\n"
            left.run("python3", "-c", SEND)
            assert receiver.stdout.readline() == f"0x6005 0x8100 tagged! {len(TAGGED) // 2 - 4}\n"


def test_a_broadcast_does_not_go_round(machines):
    """Each frame crosses once: what the bridge sends does not come back to it."""
    left, right = machines
    with Daemon(bridge()) as daemon:
        reach(left, right)
        time.sleep(0.2)
        before = sum(route(daemon, "bridge")["messages"].values())
        subprocess.run(left.command("ping", "-b", "-q", "-c", "3", "-i", "0.1", "-W", "1", SUBNET + "255"), capture_output=True)
        time.sleep(0.5)
        assert sum(route(daemon, "bridge")["messages"].values()) - before < 20


def tunnel(near, far, **options):
    """Two routes of one daemon are two daemons' to each other."""
    front = {"family": "packet", "interface": "left", "promiscuous": True, **options}
    back = {"family": "packet", "interface": "right", "promiscuous": True, **options}
    return {"near": {"listen": front, "target": near}, "far": {"listen": far, "target": back, "timeout": {"idle": "5min"}}}


@pytest.fixture
def udp_port():
    return harness.free_port()


def test_tunnel_over_udp(machines, udp_port):
    """Super-frames have no room in a datagram; unfinished checksums are carried."""
    for machine in machines:
        machine.run("ethtool", "-K", "eth0", "tso", "off", "gso", "off", "gro", "off")
        subprocess.run(["ethtool", "-K", machine.ours, "tso", "off", "gso", "off", "gro", "off"], check=True, capture_output=True)
    with Daemon(tunnel(f"udp4://127.0.0.1:{udp_port}", f"udp4://127.0.0.1:{udp_port}", vnet_header=True)):
        reach(*machines)
        all_of_tcp_and_udp(*machines)


def test_tunnel_over_tcp_with_offloads_on(machines, udp_port):
    end = {"family": "inet", "host": "127.0.0.1", "port": udp_port, "framing": "length32", "max_frame": "128K"}
    with Daemon(tunnel(end, end, vnet_header=True)):
        reach(*machines)
        ping(*machines)
        for direction in ((), ("-R",)):
            assert iperf(*machines, *direction)["sum_received"]["bytes"] >= LEAST


@pytest.mark.parametrize("header", (False, True))
def test_unfinished_frames_are_refused_with_the_remedy(machines, udp_port, header):
    routes = {"near": {"listen": {"family": "packet", "interface": "left", "vnet_header": header},
                       "target": f"udp4://127.0.0.1:{udp_port}"}}
    with pytest.raises(Exception) as refused:
        with Daemon(routes):
            pass
    assert "ethtool -K left" in str(refused.value)
    assert ("tx off" in str(refused.value)) != header


def test_tunnel_without_headers(machines, udp_port):
    for machine in machines:
        machine.offloads("off")
    with Daemon(tunnel(f"udp4://127.0.0.1:{udp_port}", f"udp4://127.0.0.1:{udp_port}")):
        reach(*machines)
        all_of_tcp_and_udp(*machines)


# ---- captures ----


SMALLEST = "256K"  # two blocks, of 10 ms each: a reader who stands still for longer loses frames


AT_ONCE = 4        # frames


class Capture(threading.Thread):
    """What a client of a capture gets, into a file."""

    def __init__(self, port, path):
        super().__init__(daemon=True)
        self.sock, self.path = socket.create_connection(("127.0.0.1", port)), path
        self.bytes = 0
        self.start()

    def run(self):
        with open(self.path, "wb", buffering=0) as file:
            while data := self.sock.recv(1 << 16):
                file.write(data)
                self.bytes += len(data)

    def stop(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.join(10)


def fields(path, *names):
    if not shutil.which("tshark"):
        pytest.skip("no tshark (Debian: tshark)")
    words = [word for name in names for word in ("-e", name)]
    done = subprocess.run(["tshark", "-n", "-r", path, "-o", "frame.generate_md5_hash:TRUE", "-T", "fields", *words],
                          capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def capture_routes(**options):
    port = harness.free_port()
    return port, {"capture": {"listen": f"tcp4://127.0.0.1:{port}", "target": {"family": "packet", "interface": "left", **options}}}


def missing_from(path, expected):
    """How many frames of a capture are not in another, which has no others, and all in order. Two that come at once, one in and one out, by two
    CPUs, may come to one socket before the other, and to another socket after it."""
    places = {tuple(frame): place for place, frame in enumerate(expected)}
    frames = [tuple(frame) for frame in fields(path, "frame.len", "frame.md5_hash")]
    assert len(set(frames)) == len(frames) and all(frame in places for frame in frames), "a frame that is not there, or twice"
    found = [places[frame] for frame in frames]
    assert all(place > max(found[:number], default=0) - AT_ONCE for number, place in enumerate(found)), "a frame that is not in its place"
    return len(expected) - len(frames)


@pytest.mark.parametrize("form, ring", (("pcap", "4M"), ("pcapng", SMALLEST), ("pcap", "0")))
def test_capture_is_what_a_direct_one_is(machines, tmp_path, form, ring):
    left, _ = machines
    ip("addr", "add", SUBNET + "3/24", "dev", "left")
    port, routes = capture_routes(format=form, filter="icmp", ring=ring)
    direct = str(tmp_path / "direct")
    with Daemon(routes) as daemon:
        early = Capture(port, str(tmp_path / "early"))
        until("the header came", lambda: early.bytes)
        with subprocess.Popen(["dumpcap", "-q", "-i", "left", "-f", "icmp", "-w", direct], stderr=subprocess.PIPE, text=True) as dumpcap:
            until("dumpcap listens", lambda: os.path.exists(direct) and os.path.getsize(direct) > 0)
            time.sleep(0.5)
            left.run("ping", "-q", "-n", "-i", "0.002", "-c", "250", "-s", "900", SUBNET + "3")
            late = Capture(port, str(tmp_path / "late"))
            until("a late one has a header, too", lambda: late.bytes)
            left.run("ping", "-q", "-n", "-i", "0.002", "-c", "250", "-s", "56", SUBNET + "3")
            time.sleep(1)
            dumpcap.send_signal(signal.SIGINT)
        expected = fields(direct, "frame.len", "frame.md5_hash")
        assert len(expected) == 1000
        missing = missing_from(early.path, expected) + missing_from(late.path, expected[-500:])
        assert not missing or ring == SMALLEST
        until("what is missing is counted", lambda: route(daemon, "capture")["lost"] == missing)
        for one in early, late:
            one.stop()
        times = [float(line[0]) for line in fields(early.path, "frame.time_epoch")]
        assert times == sorted(times) and abs(times[-1] - time.time()) < 60


def test_a_ring_that_is_full_is_read_once(tmp_path):
    """Few frames in each of its blocks, and all of them ours: behind the last block comes the first."""
    port = harness.free_port()
    target = {"family": "packet", "interface": "lo", "format": "pcap", "filter": "udp dst port 9", "direction": "in", "ring": SMALLEST}
    with Daemon({"capture": {"listen": f"tcp4://127.0.0.1:{port}", "target": target}}) as daemon, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        capture = Capture(port, str(tmp_path / "capture"))
        until("the header came", lambda: capture.bytes)
        for turn in range(5):
            before, worker = capture.bytes, daemon.hold_worker()
            for number in range(20):
                sender.sendto(b"%d %d" % (turn, number), ("127.0.0.1", 9))
                time.sleep(0.005)  # a block is ours after 10 ms, however little is in it
            os.kill(worker, signal.SIGCONT)
            until("frames came", lambda before=before: capture.bytes > before)
            time.sleep(0.1)
        capture.stop()
        frames = [tuple(frame) for frame in fields(capture.path, "udp.payload")]
        assert len(frames) > 5 and len(set(frames)) == len(frames)


@pytest.mark.parametrize("ring", ("4M", "0"))
def test_capture_has_vlan_tags_and_is_cut(machines, tmp_path, ring):
    left, _ = machines
    port, routes = capture_routes(format="pcap", snaplen=64, direction="in", ring=ring)
    with Daemon(routes):
        capture = Capture(port, str(tmp_path / "capture"))
        until("the header came", lambda: capture.bytes)
        left.run("python3", "-c", SEND)
        until("frames came", lambda: capture.bytes > 100)
        time.sleep(0.3)
        capture.stop()
        tagged = [line[:2] for line in fields(capture.path, "vlan.id", "vlan.priority", "eth.src") if line[2] == "02:00:00:00:00:01"]
        assert tagged == [["5", "3"]] * 3
        assert all(int(line[0]) <= 68 for line in fields(capture.path, "frame.cap_len"))


@pytest.mark.parametrize("ring", ("4M", "0"))
def test_cooked_capture(machines, tmp_path, ring):
    port, routes = capture_routes(type="dgram", format="pcap", filter="icmp", ring=ring)
    left, _ = machines
    ip("addr", "add", SUBNET + "3/24", "dev", "left")
    with Daemon(routes):
        capture = Capture(port, str(tmp_path / "capture"))
        until("the header came", lambda: capture.bytes)
        left.run("ping", "-q", "-n", "-i", "0.01", "-c", "10", SUBNET + "3")
        time.sleep(0.3)
        capture.stop()
        got = fields(capture.path, "sll.pkttype", "icmp.type", "ip.src")
        assert len(got) == 20 and {line[2] for line in got} == {left.address, SUBNET + "3"}


class Numbers(threading.Thread):
    """The numbers in the datagrams of a capture in pcap, as they come."""

    def __init__(self, sock):
        super().__init__(daemon=True)
        self.file, self.seen, self.hold = sock.makefile("rb"), [], threading.Event()
        self.hold.set()
        assert len(self.file.read(24)) == 24 # from now on it captures
        self.start()

    def run(self):
        with contextlib.suppress(ConnectionResetError):
            while header := self.file.read(16):
                _, _, length, whole = struct.unpack("=IIII", header)
                data = self.file.read(length)
                assert length == whole == 14 + 20 + 8 + NUMBERED
                self.seen.append(struct.unpack("=I", data[42:46])[0])
                self.hold.wait()


NUMBERED, FRAMES = 200, 20000


AHEAD = 1500  # frames that a ring has room for, easily


def say_numbers(first, count, numbers=None):
    """numbers: who hears them, and is not left behind."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(first, first + count):
            sender.sendto(struct.pack("=I", number).ljust(NUMBERED), ("127.0.0.1", 9))
            if number % 50 == 0:
                time.sleep(0.001)
            while numbers and number - (numbers.seen[-1] if numbers.seen else first) > AHEAD:
                time.sleep(0.001)


def numbers_route(**options):
    port = harness.free_port()
    return port, {"capture": {"listen": f"tcp4://127.0.0.1:{port}", "target": {
        "family": "packet", "interface": "lo", "direction": "in", "filter": "udp port 9", "format": "pcap", **options}}}


def test_a_ring_outlives_the_worker():
    """Frames wait in it, and the heir goes on where the worker stopped; those that were in hand may come twice."""
    port, routes = numbers_route()
    with Daemon(routes) as daemon, socket.create_connection(("127.0.0.1", port)) as sock:
        numbers = Numbers(sock)
        speaker = threading.Thread(target=say_numbers, args=(0, FRAMES, numbers), daemon=True)
        speaker.start()
        kills = 0
        while speaker.is_alive():
            worker, heard = daemon.worker, len(numbers.seen)
            os.kill(worker, signal.SIGKILL if kills % 3 else signal.SIGHUP)
            kills += 1
            until("it goes on", lambda before=heard: len(numbers.seen) > before + 100 or not speaker.is_alive())
        speaker.join()
        until("the last frame came", lambda: numbers.seen and numbers.seen[-1] == FRAMES - 1)
        assert kills > 3 and route(daemon, "capture")["lost"] == 0
        assert sorted(set(numbers.seen)) == list(range(FRAMES))
        assert len(numbers.seen) < FRAMES + kills * 2000


def test_a_slow_reader_of_a_ring_loses_what_finds_no_room():
    port, routes = numbers_route(ring="1M", rcvbuf="64K")
    with Daemon(routes) as daemon, socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        numbers = Numbers(sock)
        numbers.hold.clear()
        say_numbers(0, FRAMES)
        lost = until("loss is counted", lambda: route(daemon, "capture")["lost"])
        numbers.hold.set()
        until("what had room came", lambda: len(numbers.seen) + route(daemon, "capture")["lost"] >= FRAMES)
        assert 0 < lost < FRAMES and numbers.seen == sorted(set(numbers.seen))
        say_numbers(FRAMES, 1)
        until("it goes on", lambda: numbers.seen[-1] == FRAMES)


def test_pushed_capture(machines):
    """A capture that is a feed: pushed to whoever is there."""
    left, _ = machines
    ip("addr", "add", SUBNET + "3/24", "dev", "left")
    with socket.create_server(("127.0.0.1", 0)) as server:
        routes = {"push": {"listen": {"family": "packet", "interface": "left", "filter": "icmp", "format": "pcap"},
                           "target": f"tcp4://127.0.0.1:{server.getsockname()[1]}"}}
        with Daemon(routes):
            peer, _ = server.accept()
            peer.settimeout(10)
            assert peer.recv(24, socket.MSG_WAITALL)[:4] == bytes.fromhex("4d3cb2a1")
            left.run("ping", "-q", "-c", "1", SUBNET + "3")
            assert len(peer.recv(16 + 98, socket.MSG_WAITALL)) == 16 + 98


def test_nothing_comes_unfiltered(machines, tmp_path):
    """Under a flood of what is filtered, from before the start on."""
    left, right = machines
    ip("addr", "add", SUBNET + "3/24", "dev", "left")
    flood = left.start("ping", "-q", "-f", SUBNET + "3")
    try:
        for attempt in range(20):
            port, routes = capture_routes(format="pcap", filter="udp port 9")
            with Daemon(routes):
                captures = [Capture(port, str(tmp_path / f"{attempt}-{i}")) for i in range(5)]
                until("headers came", lambda: all(capture.bytes for capture in captures))
                time.sleep(0.05)
                for capture in captures:
                    capture.stop()
                assert all(capture.bytes == 24 for capture in captures)
            if attempt == 4:
                break
    finally:
        flood.kill()
        flood.wait()


# ---- fanout ----


FLOWS = 300


def shared_out(sinks):
    """What came of one datagram of each of many flows: the numbers, by sink."""
    seen = [[] for _ in sinks]

    def came(count):
        for numbers, sink in zip(seen, sinks):
            with contextlib.suppress(BlockingIOError):
                while True:
                    numbers.append(struct.unpack("=I", sink.recv(2000)[-NUMBERED:][:4])[0])
        return sum(map(len, seen)) >= count

    for number in range(FLOWS):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(struct.pack("=I", number).ljust(NUMBERED), ("127.0.0.1", 9))
            until(f"frame {number} came", lambda: came(number + 1))
    assert sorted(seen[0] + seen[1]) == list(range(FLOWS))
    return seen


def fanout_route(path):
    return {"listen": {"family": "packet", "interface": "lo", "direction": "in", "filter": "udp port 9",
                       "vnet_header": True, "fanout": 7},
            "target": f"unix-dgram://{path}"}


def test_fanout_is_joined_by_what_is_used(place):
    """Two routes of one group share frames out. A socket of a reload that is refused is at no time a member: it would take some away."""
    paths = [os.path.join(place, name) for name in ("a", "b")]
    with contextlib.ExitStack() as stack:
        sinks = [stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)) for _ in paths]
        for sink, path in zip(sinks, paths):
            sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            sink.bind(path)
            os.chmod(path, 0o777)
        routes = {os.path.basename(path): fanout_route(path) for path in paths}
        daemon = stack.enter_context(Daemon(routes))
        until("both have begun", lambda: [one["state"] for one in daemon.sessions()] == ["relaying"] * 2)
        assert all(shared_out(sinks))
        busy = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        refused = {"c": fanout_route(paths[0]), "busy": {"listen": f"tcp4://127.0.0.1:{busy.getsockname()[1]}", "target": "tcp4://127.0.0.1:9"}}
        log = os.path.join(place, "calls")
        tracer = subprocess.Popen(["strace", "-f", "-e", "trace=bind,setsockopt", "-o", log, "-p", str(daemon.keeper)],
                                  stderr=subprocess.PIPE, text=True)
        assert "attached" in tracer.stderr.readline()
        try:
            daemon.write({**routes, **refused})
            assert daemon.ctl_run("reload").returncode != 0
        finally:
            tracer.terminate()
            tracer.wait()
            tracer.stderr.close()
        with open(log, encoding="utf-8", errors="replace") as file:
            calls = file.read()
        assert "AF_PACKET" in calls and "PACKET_FANOUT" not in calls
        assert all(shared_out(sinks))
        daemon.reload({**routes, "c": fanout_route(paths[0])})
        until("the third has begun", lambda: [one["state"] for one in daemon.sessions()] == ["relaying"] * 3)
        assert all(shared_out(sinks))


# ---- interfaces that come and go ----


def verdict(daemon):
    return daemon.status()["verdict"]


def test_missing_interface_is_waited_for(machines):
    left, right = machines
    ip("link", "del", "left")
    with Daemon(bridge()) as daemon:
        until("status says so", lambda: "left waits (No such device)" in verdict(daemon))
        left.connect()
        reach(left, right)
        until("all is well", lambda: verdict(daemon) == "OK")
        ip("link", "set", "left", "down")
        until("status says so", lambda: "left waits (Network is down)" in verdict(daemon))
        ip("link", "set", "left", "name", "other", "up")
        until("status says so", lambda: "left waits (No such device)" in verdict(daemon))
        assert subprocess.run(left.command("ping", "-q", "-c", "1", "-W", "1", right.address), capture_output=True).returncode
        ip("link", "set", "other", "down")
        ip("link", "set", "other", "name", "left", "up")
        reach(left, right)
        ip("link", "del", "right")
        until("status says so", lambda: "right" in verdict(daemon))
        right.connect()
        left.run("ip", "neigh", "flush", "all") # it has another address now
        reach(left, right)
        until("all is well", lambda: verdict(daemon) == "OK")


@pytest.mark.parametrize("side,gone,change", (("listen", "deleted", "kill"), ("listen", "renamed", "nothing"),
                                              ("target", "deleted", "nothing"), ("target", "renamed", "kill")))
def test_an_interface_of_a_fanout_group_goes(machines, side, gone, change):
    """The kernel binds no socket of such a group again: another takes its place."""
    left, right = machines
    routes = bridge()
    routes["bridge"][side]["fanout"] = 7
    interface, machine = {"listen": ("left", left), "target": ("right", right)}[side]
    with Daemon(routes) as daemon:
        reach(left, right)
        if gone == "deleted":
            ip("link", "del", interface)
        else:
            ip("link", "set", interface, "down")
            ip("link", "set", interface, "name", "other", "up")
        until("status says so", lambda: f"{interface} waits" in verdict(daemon))
        if change == "kill":
            worker = daemon.worker
            os.kill(worker, signal.SIGKILL)
            daemon.worker_after(worker)
        if gone == "deleted":
            machine.connect()
            for one in machines:
                one.run("ip", "neigh", "flush", "all")
        else:
            # To whoever was moved on, nothing of what has another name now comes.
            until("it was left alone", lambda: subprocess.run(left.command("ping", "-q", "-c", "1", "-W", "1", right.address),
                                                              capture_output=True).returncode)
            ip("link", "set", "other", "down")
            ip("link", "set", "other", "name", interface, "up")
        reach(left, right)
        until("all is well", lambda: verdict(daemon) == "OK")


@pytest.mark.parametrize("side", ("left", "right"))
def test_an_interface_is_missing_at_a_start(machines, side):
    ip("link", "del", side)
    with Daemon(bridge()) as daemon:
        until("status says so", lambda: f"{side} waits (No such device)" in verdict(daemon))
        dict(zip(("left", "right"), machines))[side].connect()
        reach(*machines)
        until("all is well", lambda: verdict(daemon) == "OK")


def test_bridge_survives_the_worker(machines):
    left, right = machines
    with Daemon(bridge()) as daemon:
        reach(left, right)
        pinging = left.start("ping", "-q", "-i", "0.01", "-c", "300", "-W", "2", right.address)
        for _ in range(10):
            time.sleep(0.1)
            os.kill(daemon.worker, signal.SIGKILL)
        pinging.wait(30)
        ping(left, right)
        assert verdict(daemon) == "OK"
