# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the daemon does for a family that describes little: tests/plugins/plain.c."""

import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import struct
import subprocess
import termios
import threading

import pytest

import harness
from harness import Daemon, Endpoint, free_port, until
from messages import route
from test_live import sockets

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    return harness.copy_families(str(tmp_path_factory.mktemp("plugins")), "plain")


def check(place, plugins, endpoint, role="target"):
    """The errors of a file with this endpoint."""
    path = os.path.join(place, "checked.conf")
    other = {"listen": "target", "target": "listen"}[role]
    with open(path, "w", encoding="utf-8") as file:
        file.write('routes: { r: { %s = "unix:///run/other"; %s: { family = "plain"; %s }; }; };\n' % (other, role, endpoint))
    done = subprocess.run([harness.spliced(), "--plugin-dir", plugins, "--check", "-c", path], capture_output=True, text=True, check=False)
    return done.stderr


def accept_from(front, listener):
    """The address that the target sees for a new client."""
    with front.connect() as client:
        server, peer = listener.accept()
        server.close()
        assert client.recv(1) == b""
        return peer[0]


# ---- more than one host ----

def test_two_hosts_of_a_row(place, plugins):
    """The first is a name that is resolved, the second an address that a reload changes."""
    front = Endpoint("unix", place)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(harness.PATIENCE)
        port = listener.getsockname()[1]

        def routes(source):
            target = {"family": "plain", "host": "localhost", "port": port, **({"source": source} if source else {})}
            return {"r": {"listen": str(front), "target": target}}
        with Daemon(routes("127.0.0.7"), {"plugin_dir": plugins}) as daemon:
            assert accept_from(front, listener) == "127.0.0.7"
            daemon.reload(routes("127.0.0.8"))
            assert accept_from(front, listener) == "127.0.0.8"
            daemon.reload(routes(""))
            assert accept_from(front, listener) == "127.0.0.1"


def test_a_host_for_each_row(place, plugins):
    """The row of datagrams has another host option than that of streams: a listener with a name, a target with a number."""
    ports = free_port(), free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        server.bind(("127.0.0.1", ports[1]))
        for sock in (server, client):
            sock.settimeout(harness.PATIENCE)
        with Daemon({"r": {"listen": {"family": "plain", "type": "dgram", "at": "localhost", "port": ports[0]},
                           "target": f"plain-dgram://127.0.0.1:{ports[1]}"}}, {"plugin_dir": plugins}):
            client.connect(("127.0.0.1", ports[0]))
            client.send(b"question")
            words, peer = server.recvfrom(100)
            server.sendto(words.upper(), peer)
            assert client.recv(100) == b"QUESTION"


@pytest.mark.parametrize("source, expected", (
    ("localhost", 'target.source is "localhost"; it must be a number: only the name in target.host is resolved'),
    ("fe80::1%lo", 'target.source is "fe80::1%lo"; only target.host can contain an interface'),
    ("::1", "source is not an IPv4 address"),
    ("10.0.0.256", 'target.source is "10.0.0.256"')))
def test_a_second_host_is_a_number(place, plugins, source, expected):
    assert expected in check(place, plugins, f'host = "127.0.0.1"; port = 7; source = "{source}";')


def test_a_host_option_of_another_row(place, plugins):
    assert "at" in check(place, plugins, 'at = "127.0.0.1"; port = 7;')
    assert "source" in check(place, plugins, 'host = "127.0.0.1"; port = 7; source = "127.0.0.1";', "listen")
    assert not check(place, plugins, 'host = "127.0.0.1"; port = 7; source = "127.0.0.1";')


# ---- rules by address, which the family knows nothing of ----

class Greeter:
    """A target that says hello to each client."""

    def __init__(self, listener):
        self.listener = listener
        self.thread = threading.Thread(target=self.greet)

    def greet(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with sock:
                sock.sendall(b"hello")

    def __enter__(self):
        self.listener.settimeout(None)
        self.thread.start()

    def __exit__(self, *exception):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()


def test_rules_by_address(place, plugins):
    """Prefixes, and the more specific one decides; a reload changes them; datagrams are compared, too."""
    back, port, datagrams = Endpoint("unix", place), free_port(), free_port()

    def routes(allow, deny):
        return {"r": {"listen": f"plain://127.0.0.1:{port}", "target": str(back), "allow": allow, "deny": deny},
                "d": {"listen": f"plain-dgram://127.0.0.1:{datagrams}", "target": f"udp4://127.0.0.1:{server.getsockname()[1]}",
                      "allow": allow, "deny": deny}}

    def send(address):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind((address, 0))
            client.sendto(address.encode(), ("127.0.0.1", datagrams))

    def served(address):
        """The target's answer comes; a refused client is reset, perhaps before its connect(2) has returned."""
        try:
            with socket.create_connection(("127.0.0.1", port), harness.PATIENCE, (address, 0)) as client:
                return client.recv(10) == b"hello"
        except ConnectionError:
            return False

    with back.listen() as listener, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(harness.PATIENCE)
        with Greeter(listener), Daemon(routes(["127.0.0.0/29"], ["127.0.0.2", "127.0.0.4/30"]), {"plugin_dir": plugins}) as daemon:
            assert [served(f"127.0.0.{last}") for last in (1, 2, 3, 4, 7, 8)] == [True, False, True, False, False, False]
            for last in (2, 4, 9, 1):
                send(f"127.0.0.{last}")
            assert server.recv(100) == b"127.0.0.1"
            daemon.reload(routes(["127.0.0.2"], []))
            assert [served(f"127.0.0.{last}") for last in (1, 2)] == [False, True]


def test_rules_that_are_none(place, plugins):
    def said(rule):
        path = os.path.join(place, "rules.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write('routes: { r: { listen = "plain://:7"; target = "unix:///run/x"; deny = [ "%s" ]; }; };\n' % rule)
        return subprocess.run([harness.spliced(), "--plugin-dir", plugins, "--check", "-c", path], capture_output=True, text=True,
                              check=False).stderr
    assert 'write "10.0.0.0/8" for the network' in said("10.0.0.1/8")
    assert '"localhost" is not a rule; it must be an address or a network' in said("localhost")
    assert not said("10.0.0.0/8") and not said("2001:db8::/32")


# ---- captures, by link type ----

def records(data):
    """(link type, messages) of a capture."""
    if data[:4] == struct.pack("=I", 0xa1b23c4d):
        link_type, at, found = struct.unpack_from("=I", data, 20)[0], 24, []
        while at < len(data):
            _, nanoseconds, length, wire = struct.unpack_from("=4I", data, at)
            assert length == wire and nanoseconds < 10 ** 9
            found.append(data[at + 16:at + 16 + length])
            at += 16 + length
        return link_type, found
    assert data[:4] == b"\x0a\x0d\x0d\x0a"
    at, link_type, found = 0, None, []
    while at < len(data):
        kind, size = struct.unpack_from("=2I", data, at)
        assert size % 4 == 0 and struct.unpack_from("=I", data, at + size - 4)[0] == size
        if kind == 1:
            link_type = struct.unpack_from("=H", data, at + 8)[0]
        elif kind == 6:
            length, wire = struct.unpack_from("=2I", data, at + 20)
            assert length == wire
            found.append(data[at + 28:at + 28 + length])
        at += size
    return link_type, found


def at_targets(daemon, name, ask):
    """What ask() says of each of the daemon's sockets that is connected to this name."""
    def is_it(sock):
        with contextlib.suppress(OSError):
            return sock.type == socket.SOCK_DGRAM and sock.getpeername() == name
        return False
    found = sockets(daemon, is_it)
    try:
        return [ask(sock) for sock in found]
    finally:
        for sock in found:
            sock.close()


def connected_to(daemon, name):
    return at_targets(daemon, name, lambda sock: sock.getsockname())


def waiting_at(daemon, name):
    """Bytes that the daemon has not taken out of the socket."""
    return sum(at_targets(daemon, name, lambda sock: struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, b"\0" * 4))[0]))


def has_record(server, data, count):
    """Reads on until so many are whole."""
    with contextlib.suppress(BlockingIOError, TimeoutError):
        data += server.recv(65536, socket.MSG_DONTWAIT)
    with contextlib.suppress(struct.error, AssertionError):
        return len(records(bytes(data))[1]) > count
    return False


@pytest.mark.parametrize("form", ("pcap", "pcapng"))
def test_a_capture(place, plugins, form):
    """What a target sends, after a header; what the client says is dropped; an heir goes on with it."""
    front, words = Endpoint("unix", place), [b"a", b"bcde", b"", b"fghij" * 100]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(harness.PATIENCE)
        name = server.getsockname()
        with Daemon({"r": {"listen": str(front), "target": f"plain-dgram://127.0.0.1:{name[1]}?format={form}"}},
                    {"plugin_dir": plugins}) as daemon, front.connect() as client:
            client.sendall(b"dropped")
            data = bytearray()
            for count, message in enumerate(words):
                until("it is connected", lambda: connected_to(daemon, name))
                server.sendto(message, connected_to(daemon, name)[0])
                until("its record is there", lambda count=count: has_record(client, data, count))
                if count == 1:
                    until("it is consumed", lambda: not waiting_at(daemon, name))
                    pid = daemon.worker
                    os.kill(pid, signal.SIGKILL)
                    daemon.worker_after(pid)
            server.setblocking(False)
            with pytest.raises(BlockingIOError):
                server.recv(100)
            until("it is counted", lambda: route(daemon, "r")["dropped"]["receive-only"] >= 1)
        assert records(bytes(data)) == (147, words)


def test_no_format_for_datagrams_of_clients(place, plugins):
    assert "datagrams of clients are forwarded as they are; remove it, or set it on the target" in \
        check(place, plugins, 'type = "dgram"; at = "127.0.0.1"; port = 7; format = "pcap";', "listen")


# ---- what it logs and counts ----

def test_log_and_counts(place, plugins):
    """From a worker and from an errand, not from a checker; an heir and a reload go on counting."""
    front, port = Endpoint("unix", place), free_port()
    routes = {"r": {"listen": str(front), "target": f"plain://127.0.0.1:{port}?source=127.0.0.3"}}

    def counts():
        return daemon.status()["families"]["plain"]

    with socket.create_server(("127.0.0.1", port)) as listener, Daemon(routes, {"plugin_dir": plugins}) as daemon:
        listener.settimeout(harness.PATIENCE)
        assert counts() == {"prepared": 0, "bound": 0}
        for count in (1, 2, 3):
            assert accept_from(front, listener) == "127.0.0.3"
            until("it is counted", lambda count=count: counts() == {"prepared": count, "bound": count})
        pid = daemon.worker
        os.kill(pid, signal.SIGKILL)
        daemon.worker_after(pid)
        assert accept_from(front, listener) == "127.0.0.3"
        until("the heir counts, too", lambda: counts() == {"prepared": 4, "bound": 4})
        daemon.reload({**routes, "s": {"listen": f"plain://127.0.0.1:{free_port()}", "target": str(front)}})
        until("an errand counts", lambda: counts() == {"prepared": 5, "bound": 4})
        said = subprocess.run([harness.splicectl(), "-s", daemon.control, "status"], capture_output=True, text=True, check=False).stdout
        assert "plain 5 prepared, 4 bound" in said, said
        log = daemon.log()
        assert "never" not in log, log
        # the first, and not those that followed at once; after that the heir's first, which knows nothing of them
        assert 1 <= log.count("family plain: a connecting socket is prepared") <= 2, log
        assert log.count("family plain: a listening socket is prepared") == 1, log


def test_counters_are_described(plugins):
    def described(what):
        return json.loads(subprocess.run([harness.spliced(), "--plugin-dir", plugins, "--describe", what, "--json"], capture_output=True,
                                         text=True, check=True).stdout)
    expected = [{"name": "prepared", "help": "Sockets that were prepared"}, {"name": "bound", "help": "Sockets that were bound to a source"}]
    assert described("counters")["plugins"] == {"plain": expected}
    assert described("plain")["counters"] == expected and described("unix")["counters"] == []


# ---- received() ----

@pytest.mark.parametrize("overflow", ("drop-new", "drop-old"))
def test_received_of_targets_and_listeners(plugins, overflow):
    """Both ways, whether messages are read in batches or one by one: it changes one, and refuses another."""
    port = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        server.bind(("127.0.0.1", 0))
        client.connect(("127.0.0.1", port))
        for sock in (server, client):
            sock.settimeout(harness.PATIENCE)
        with Daemon({"r": {"listen": f"plain-dgram://127.0.0.1:{port}", "target": f"plain-dgram://127.0.0.1:{server.getsockname()[1]}",
                           "overflow": overflow}}, {"plugin_dir": plugins}) as daemon:
            for message in (b"forged", b"id 1:question"):
                client.send(message)
            words, peer = server.recvfrom(100)
            assert words == b"question"
            for message in (b"forged", b"id 2:answer"):
                server.sendto(message, peer)
            assert client.recv(100) == b"answer"
            until("they are counted", lambda: route(daemon, "r")["dropped"].get("sender") == 2)


# ---- the manual's example ----

def test_the_smallest_plugin(place):
    """The one that spliced-plugin(7) shows whole: it compiles without a warning, listens, connects, and says what is wrong."""
    directory = os.path.join(place, "plugins")
    os.mkdir(directory, 0o755)
    harness.copy_families(directory)
    source, front = os.path.join(place, "abstract.c"), f"front-{os.path.basename(place)}"
    with open(os.path.join(TOP, "doc", "spliced-plugin.7.in"), encoding="utf-8") as page, open(source, "w", encoding="utf-8") as file:
        shown = page.read().partition('.\\" example: abstract.c\n.Bd -literal -offset 2n\n')[2].partition("\n.Ed\n")[0]
        assert "spliced_plugin = {" in shown
        file.write(re.sub(r"^\\&", "", shown, flags=re.M).replace("\\e", "\\") + "\n")
    subprocess.run([os.environ.get("CC", "cc").split()[0], "-O2", "-Wall", "-Wextra", "-Werror", "-I", os.path.join(TOP, "include"), "-fPIC",
                    "-fvisibility=hidden", "-shared", "-Wl,-z,defs", "-o", os.path.join(directory, "abstract.so"), source], check=True)
    os.chmod(os.path.join(directory, "abstract.so"), 0o755)
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind("\0" + front + "-back")
        listener.listen()
        for sock in (listener, client):
            sock.settimeout(harness.PATIENCE)
        with Daemon({"r": {"listen": f"abstract://{front}", "target": f"abstract://{front}-back"}}, {"plugin_dir": directory}) as daemon:
            client.connect("\0" + front)
            client.sendall(b"question")
            client.shutdown(socket.SHUT_WR)
            server, _ = listener.accept()
            with server:
                server.settimeout(harness.PATIENCE)
                assert server.recv(100) == b"question" and server.recv(100) == b""
                server.sendall(b"answer")
            assert client.recv(100) == b"answer" and client.recv(100) == b""
            daemon.write({"r": {"listen": f"abstract://{'x' * 108}", "target": f"abstract://{front}-back"}})
            assert "socket has 108 bytes; it must have 1 to 107" in daemon.ctl_run("reload").stdout
