# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every example, of conf/examples with its traffic, of the README and of the manual, runs under the unit as it is installed, with what the
example says that it takes."""

import contextlib
import ctypes
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import threading

import pytest

import harness
import service
from harness import until
from namespace import CLONE_NEWNET, ip
from service import Service, drop_in, run

TOP = os.path.join(os.path.dirname(harness.__file__), "..", "..")
EXAMPLES = os.path.join(TOP, "conf", "examples")
PATIENCE = 2 * harness.PATIENCE
ADDRESSES = ("10.0.0.11", "10.0.0.12", "10.0.0.13", "10.1.0.9", "10.1.9.1", "10.2.0.5", "10.2.0.6", "198.51.100.7", *(f"192.0.2.{last}" for last in (1, 7, 10, 11, 12, 13, 60, 80, 100)),
             "2001:db8::1")
HOSTS = "192.0.2.11 web1.example.org\n192.0.2.12 web2.example.org\n192.0.2.13 logs.example.net\n"
GROUPS = "[Service]\nSupplementaryGroups=www-data adm\n"


class World:
    """The machines, devices and programs that the examples speak of."""

    def __init__(self):
        self.sockets = []

    def listen(self, family, address, kind=socket.SOCK_STREAM):
        sock = socket.socket(family, kind)
        if family == socket.AF_UNIX:
            os.makedirs(os.path.dirname(address), exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(address)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        if family == socket.AF_UNIX:
            os.chmod(address, 0o666)
        if kind != socket.SOCK_DGRAM:
            sock.listen(64)
        sock.settimeout(PATIENCE)
        self.sockets.append(sock)
        return sock

    def echo(self, family, address, kind=socket.SOCK_STREAM):
        sock = self.listen(family, address, kind)
        sock.settimeout(None)
        threading.Thread(target=answer_datagrams if kind == socket.SOCK_DGRAM else answer, args=(sock,), daemon=True).start()

    def close(self):
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


def answer_one(sock):
    with sock, contextlib.suppress(OSError):
        while data := sock.recv(1000):
            sock.sendall(data)


def answer(listener):
    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=answer_one, args=(listener.accept()[0],), daemon=True).start()


def answer_datagrams(sock):
    with contextlib.suppress(OSError):
        while True:
            data, peer = sock.recvfrom(1000)
            if peer:
                sock.sendto(data, peer)


def make_far():
    """Another machine: what listens on a port of every address here leaves none for a server."""
    ip("netns", "add", "far")
    ip("link", "add", "far0", "type", "veth", "peer", "name", "far1", "netns", "far")
    ip("address", "add", "192.0.2.200/32", "dev", "far0")
    ip("link", "set", "far0", "up")
    for address in ("192.0.2.53", "192.0.2.54"):
        ip("route", "add", address, "dev", "far0", "src", "192.0.2.200")
        ip("-n", "far", "address", "add", address, "dev", "lo")
    for end in ("lo", "far1"):
        ip("-n", "far", "link", "set", end, "up")
    for number in range(2):
        ip("link", "add", f"lan{number}", "type", "veth", "peer", "name", f"lan{number}", "netns", "far")
        for options, host in (([], 1), (["-n", "far"], 2)):
            ip(*options, "address", "add", f"10.9.{number}.{host}/24", "dev", f"lan{number}")
            ip(*options, "link", "set", f"lan{number}", "up")
    ip("-n", "far", "route", "add", "192.0.2.200", "dev", "far1")


@contextlib.contextmanager
def far():
    """What this thread opens meanwhile is on that machine."""
    libc = ctypes.CDLL(None)
    before, there = os.open("/proc/thread-self/ns/net", os.O_RDONLY), os.open("/run/netns/far", os.O_RDONLY)
    assert libc.setns(there, CLONE_NEWNET) == 0
    try:
        yield
    finally:
        libc.setns(before, CLONE_NEWNET)
        os.close(before)
        os.close(there)


@pytest.fixture(scope="module", autouse=True)
def installed():
    service.install()
    for address in ADDRESSES:
        ip("address", "add", address, "dev", "lo", *(("nodad",) if ":" in address else ()))
    for number in range(4):
        ip("link", "add", f"eth{number}", "type", "veth", "peer", "name", f"peer{number}")
        for end in ("eth", "peer"):
            ip("link", "set", f"{end}{number}", "up")
    for end in ("eth3", "peer3"):
        run("ethtool", "-K", end, "tso", "off", "gso", "off")
    make_far()
    with open("/etc/hosts", "a", encoding="utf-8") as file:
        file.write(HOSTS)
    run("groupadd", "--force", "cache")
    # Where a directory is not the service's, its user may not write; where it is, the unit may be in the way.
    os.makedirs("/var/cache/elsewhere", exist_ok=True)
    shutil.chown("/var/cache/elsewhere", "spliced")
    yield
    for address in ADDRESSES:
        ip("address", "delete", address + ("/128" if ":" in address else "/32"), "dev", "lo")
    for link in ("eth0", "eth1", "eth2", "eth3", "far0", "lan0", "lan1", "ue0"):
        subprocess.run(["ip", "link", "delete", link], check=False, capture_output=True)
    for name in ("far", "somewhere"):
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
    subprocess.run(["ip", "route", "delete", "blackhole", "203.0.113.0/24"], check=False, capture_output=True)
    shutil.rmtree(service.DROP_INS, ignore_errors=True)
    run("systemctl", "daemon-reload")


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()


def connect(to, source=None):
    sock = socket.socket(socket.AF_UNIX) if isinstance(to, str) else socket.socket(socket.AF_INET6 if ":" in to[0] else socket.AF_INET)
    sock.settimeout(PATIENCE)
    if source:
        sock.bind((source, 0))
    sock.connect(to)
    return sock


def echoes(to, source=None):
    with connect(to, source) as sock:
        sock.sendall(b"served")
        assert sock.recv(6, socket.MSG_WAITALL) == b"served", to


def is_refused(to, source=None):
    try:
        with connect(to, source) as sock:
            return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def first_line(to):
    with connect(to) as sock, sock.makefile("rb") as file:
        return json.loads(file.readline())


# ---- the traffic of each ----


def access(world):
    world.echo(socket.AF_INET, ("10.2.0.5", 22))
    world.echo(socket.AF_INET, ("10.2.0.6", 4000))
    yield
    echoes(("127.0.0.1", 2222), "10.1.0.9")
    echoes(("127.0.0.1", 2222), "198.51.100.7")
    assert is_refused(("127.0.0.1", 2222), "10.1.9.1") and is_refused(("127.0.0.1", 2223))
    echoes("/run/spliced/device.sock")


def daemon(world):
    world.echo(socket.AF_INET, ("127.0.0.1", 80))
    yield
    echoes(("127.0.0.1", 8080))


def datagrams(world):
    with far():
        world.echo(socket.AF_INET, ("192.0.2.53", 53), socket.SOCK_DGRAM)
        world.echo(socket.AF_INET, ("192.0.2.54", 53), socket.SOCK_DGRAM)
    collector = world.listen(socket.AF_INET, ("192.0.2.13", 601))
    lines = world.listen(socket.AF_INET, ("192.0.2.60", 514), socket.SOCK_DGRAM)
    meter = world.listen(socket.AF_INET, ("192.0.2.80", 4001))
    readings = world.listen(socket.AF_UNIX, "/run/meter/readings.sock", socket.SOCK_DGRAM)
    yield
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asks:
        asks.settimeout(PATIENCE)
        for _ in range(4):
            asks.sendto(b"where", ("127.0.0.1", 53))
            assert asks.recv(100) == b"where"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as program:
        program.sendto(b"hello", "/run/spliced/log.sock")
    with collector.accept()[0] as stream:
        stream.settimeout(PATIENCE)
        assert stream.recv(7, socket.MSG_WAITALL) == b"5 hello"
    with connect(("127.0.0.1", 5140)) as client:
        client.sendall(b"a line\n")
        assert lines.recv(100) == b"a line"
    with meter.accept()[0] as device:
        device.sendall(b"42 kWh\n")
        assert readings.recv(100) == b"42 kWh"


def ip_listen(world):
    world.echo(socket.AF_INET, ("127.0.0.1", 80))
    yield
    for to in (("127.0.0.1", 8001), ("::1", 8001), ("127.0.0.1", 8002), ("::1", 8002), ("192.0.2.1", 8003), ("2001:db8::1", 8004),
               ("192.0.2.100", 8006), ("127.0.0.1", 8007), "/run/spliced/several.sock"):
        echoes(to)


def in_group(world, number):
    """A program of the network behind lanN, which says and hears mDNS."""
    with far():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        index = socket.if_nametoindex(f"lan{number}")
    world.sockets.append(sock)
    sock.settimeout(PATIENCE)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, f"lan{number}".encode())
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("=4s4si", socket.inet_aton("224.0.0.251"), b"", index))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", b"", b"", index))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    sock.bind(("224.0.0.251", 5353))
    return sock


def mdns(world):
    asks, answers = in_group(world, 0), in_group(world, 1)
    yield
    asks.sendto(b"who is a printer", ("224.0.0.251", 5353))
    assert answers.recvfrom(100) == (b"who is a printer", ("10.9.1.1", 5353))
    answers.sendto(b"I am", ("224.0.0.251", 5353))
    assert asks.recvfrom(100) == (b"I am", ("10.9.0.1", 5353))


def netlink(world):
    watcher = world.listen(socket.AF_UNIX, "/run/watcher/routes.sock", socket.SOCK_SEQPACKET)
    yield
    assert first_line(("127.0.0.1", 7002))["kind"] in ("link", "address")
    with connect(("127.0.0.1", 7003)) as client, client.makefile("rb") as file:
        until("it hears", lambda: any(one["route"] == "devices" and one["state"] == "relaying" for one in
                                      json.loads(run("splicectl", "--json", "sessions").stdout)["sessions"]))
        ip("link", "add", "ue0", "type", "veth", "peer", "name", "ue1")
        assert "ue" in file.readline().decode()
    ip("route", "add", "blackhole", "203.0.113.0/24")
    with watcher.accept()[0] as stream:
        stream.settimeout(PATIENCE)
        heard = stream.recv(4096)
        while b"203.0.113.0" not in heard:
            heard = stream.recv(4096)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as container:
        container.settimeout(PATIENCE)
        container.connect("/run/spliced/ask.sock")
        container.send(bytes.fromhex("20000000 12000103 01000000 00000000 00000000 00000000 00000000 00000000".replace(" ", "")))
        assert container.recv(65536)[4:6] == b"\x10\x00", "a link"


HEADER = b"\xff" * 6 + b"\x02\0\0\0\0\x01" + b"\x88\xb5"


def say_frame(interface, words):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((interface, 0))
        sock.send(HEADER + words.ljust(60, b"."))


def hear_frame(sock, words):
    while words not in sock.recv(4096):
        pass


def packet(world):
    far = world.listen(socket.AF_INET, ("192.0.2.7", 4789), socket.SOCK_DGRAM)
    yield
    with connect(("127.0.0.1", 7010)) as client:
        assert client.recv(4, socket.MSG_WAITALL) == b"\x0a\x0d\x0d\x0a"
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(0x88b5)) as other:
        other.settimeout(PATIENCE)
        other.bind(("peer2", 0x88b5))
        say_frame("peer1", b"over the bridge")
        hear_frame(other, b"over the bridge")
    say_frame("peer3", b"through the tunnel")
    hear_frame(far, b"through the tunnel")


def pool(world):
    for host in ("192.0.2.11", "192.0.2.12", "192.0.2.7"):
        world.echo(socket.AF_INET, (host, 8080))
    yield
    for _ in range(6):
        echoes(("127.0.0.1", 80))


def answer_status(listener, status):
    with contextlib.suppress(OSError):
        while True:
            with listener.accept()[0] as sock, contextlib.suppress(OSError):
                sock.recv(1000)
                sock.sendall(f"HTTP/1.1 {status} -\r\nContent-Length: 0\r\n\r\n".encode())


def postgresql(world):
    """Each says that it is the primary: a standby counts as down, and status is asked whether all is well."""
    for last in (11, 12, 13):
        patroni = world.listen(socket.AF_INET, (f"10.0.0.{last}", 8008))
        patroni.settimeout(None)
        threading.Thread(target=answer_status, args=(patroni, 200), daemon=True).start()
        world.echo(socket.AF_INET, (f"10.0.0.{last}", 5432))
    yield
    for _ in range(6):
        echoes(("127.0.0.1", 5432))


def tcp_to_unix(world):
    world.echo(socket.AF_UNIX, "/run/postgresql/.s.PGSQL.5432")
    yield
    echoes(("127.0.0.1", 5432))
    echoes(("::1", 5432))
    assert is_refused(("127.0.0.1", 5432), "198.51.100.7")


def unix_socket(world):
    world.echo(socket.AF_INET, ("192.0.2.10", 6379))
    yield
    echoes("/run/spliced/redis.sock")
    echoes("\0redis")
    done = run("stat", "-c", "%G %a", "/run/spliced/redis.sock")
    assert done.stdout == "www-data 660\n"


def no_traffic(world):
    """This kernel has none of the sockets: the routes wait."""
    del world
    yield


TRAFFIC = {"access": access, "bluetooth": no_traffic, "daemon": daemon, "datagrams": datagrams, "ip-listen": ip_listen, "mdns": mdns, "netlink": netlink,
           "packet": packet, "pool": pool, "postgresql": postgresql, "tcp-to-unix": tcp_to_unix, "unix-socket": unix_socket, "vsock": no_traffic}


def drop_in_of(text):
    """What an example says that the unit needs beside: comments from [Service] on."""
    found = re.search(r"^#\s+(\[Service\]\n(?:#\s+\w+=.*\n)+)", text, re.M)
    return re.sub(r"^#\s+", "", found[1], flags=re.M) if found else None


def put(text):
    with open(service.CONF, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(service.CONF, 0o644)


def test_all_are_here():
    assert sorted(TRAFFIC) == sorted(name.removesuffix(".conf") for name in os.listdir(EXAMPLES))


@pytest.mark.parametrize("name", TRAFFIC)
def test_an_example(world, name):
    if name == "bluetooth" and not os.path.exists(os.path.join(service.PLUGINS, "bluetooth.so")):
        pytest.skip("built without Bluetooth")
    with open(os.path.join(EXAMPLES, name + ".conf"), encoding="utf-8") as file:
        text = file.read()
    steps = TRAFFIC[name](world)
    next(steps)
    put(text)
    more = drop_in_of(text)
    if more:
        drop_in("example", more)
    try:
        with Service(None) as spliced:
            verdict = spliced.status()["verdict"]
            if TRAFFIC[name] is not no_traffic:
                until("all is well", lambda: spliced.status()["verdict"] == "OK" or name == "netlink", PATIENCE)
            assert "denied" not in verdict and "not permitted" not in verdict and "Read-only" not in verdict, verdict
            next(steps, None)
    finally:
        if more:
            os.unlink(os.path.join(service.DROP_INS, "example.conf"))
            run("systemctl", "daemon-reload")


def test_a_file_is_given_away_under_what_harden_prints(world):
    """And a group that the service's user is not in is told, with the remedy; the other drop-in does without the calls."""
    del world
    with open(os.path.join(EXAMPLES, "unix-socket.conf"), encoding="utf-8") as file:
        text = file.read()
    put(text)
    drop_in("example", drop_in_of(text))
    try:
        with Service(None) as spliced:
            hardened = spliced.ctl("harden").stdout
            assert "SystemCallFilter=@chown" in hardened and "PrivateUsers" not in hardened and "AF_NETLINK" in hardened, hardened
            drop_in("harden", hardened)
            spliced.systemctl("restart")
            assert spliced.status()["verdict"] == "OK"
            assert run("stat", "-c", "%G", "/run/spliced/redis.sock").stdout == "www-data\n"
            put("")
            spliced.systemctl("reload")
            until("what was is lived in no more", lambda: "SystemCallFilter=~@chown" in spliced.ctl("harden").stdout)
    finally:
        for name in ("example", "harden"):
            os.unlink(os.path.join(service.DROP_INS, name + ".conf"))
        run("systemctl", "daemon-reload")


def literals():
    """Of README and manual, as far as they are whole routes, or files."""
    for name in ("spliced.conf.5.in", *(f"spliced-{family}.5" for family in ("inet", "unix", "netlink", "packet", "vsock"))):
        with open(os.path.join(TOP, "doc", name), encoding="utf-8") as file:
            for text in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed$", file.read(), re.M | re.S):
                for escaped, plain in (("\\(dq", '"'), ("\\&", ""), ("\\e", "\\")):
                    text = text.replace(escaped, plain)
                if re.match(r"(?:#.*\n)*[a-z]\w*: \{", text):
                    yield name, text
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as file:
        for text in re.findall(r"(?:^    .*\n|^\n)+", file.read(), re.M):
            if re.search(r"^    routes: \{", text, re.M):
                yield "README.md", re.sub(r"^    ", "", text, flags=re.M)


def test_what_manual_and_readme_show():
    """It is begun with, and nothing is refused: what this machine has not is waited for."""
    drop_in("groups", GROUPS)
    try:
        count = 0
        for name, text in literals():
            put(text if re.match(r"(?:#.*\n|\n)*(?:daemon|lists|defaults|routes): ", text) else "routes: {\n" + text + "\n};\n")
            with Service(None) as spliced:
                verdict = spliced.status()["verdict"]
                refused = ("denied", "not permitted", "Read-only")
                assert not any(word in verdict for word in refused), f"{name}: {verdict}\n{text}"
            count += 1
        assert count > 15
    finally:
        os.unlink(os.path.join(service.DROP_INS, "groups.conf"))
        run("systemctl", "daemon-reload")


def test_the_drop_in_for_another_namespace_is_enough():
    """As the check prints it."""
    ip("netns", "add", "somewhere")
    ip("-n", "somewhere", "link", "set", "lo", "up")
    put('routes: { r: { listen = "tcp4://127.0.0.1:7777?netns=somewhere"; target = "unix://@x"; }; };')
    noted = run("spliced", "-t", "-c", service.CONF).stderr
    lines = re.search(r"\[Service\] (.*) \(each", noted)[1].split()
    drop_in("namespace", "[Service]\n" + "\n".join(lines) + "\n")
    try:
        with Service(None) as spliced:
            assert spliced.status()["verdict"] == "OK"
            assert "7777" in run("ip", "netns", "exec", "somewhere", "ss", "-ltn").stdout
    finally:
        os.unlink(os.path.join(service.DROP_INS, "namespace.conf"))
        run("systemctl", "daemon-reload")


# ---- what the unit does not let it do ----


REFUSED = (
    ('{ r: { listen = "unix:///run/elsewhere.sock"; target = "unix://@x"; }; }', ("user spliced may not write to /run", "below /run/spliced", "fd://NAME")),
    ('{ r: { listen = "unix:///var/cache/elsewhere/r.sock"; target = "unix://@x"; }; }', ("user spliced may not write", "/run/spliced",
                                                                                       "ReadWritePaths=/var/cache/elsewhere")),
    ('{ r: { listen = "unix:///run/spliced/r.sock?group=www-data"; target = "unix://@x"; }; }', ("www-data", "SupplementaryGroups=www-data")),
    ('{ r: { listen = "unix:///run/spliced/r.sock?owner=www-data"; target = "unix://@x"; }; }', ("www-data", "CAP_CHOWN")),
    ('{ r: { listen = "tcp4://127.0.0.1:7777?netns=somewhere"; target = "unix://@x"; }; }', ("CAP_SYS_ADMIN", "RestrictNamespaces=net",
                                                                                            "SystemCallFilter=setns", ":1: ")),
    ('{ r: { listen = "tcp4://127.0.0.1:7777"; target = "tcp4://127.0.0.1:1?netns=somewhere"; }; }', ("CAP_SYS_ADMIN", "systemctl edit")),
)


@pytest.mark.parametrize("routes, said", REFUSED)
def test_what_is_refused_is_told_with_its_remedy(routes, said):
    put("")
    with Service(None) as spliced:
        put(f"routes: {routes};")
        done = spliced.ctl("reload")
        text = done.stdout + done.stderr
        assert done.returncode == 1 and all(word in text for word in said), text
        if "netns" in routes:
            checked = run("spliced", "-t", "-c", service.CONF)
            assert "note: " in checked.stderr and "CAP_SYS_ADMIN" in checked.stderr, checked
    done = run("systemctl", "start", "spliced", check=False)
    assert done.returncode
    log = subprocess.run(["journalctl", "-u", "spliced", "-o", "cat", "-n", "20", "--no-pager"], capture_output=True, text=True, check=True).stdout
    assert all(word in log for word in said), log
    put("")
