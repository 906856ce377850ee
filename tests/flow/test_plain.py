# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the daemon does for a family that describes little: tests/plugins/plain.c."""

import os
import socket
import subprocess
import threading

import pytest

import harness
from harness import Daemon, Endpoint, free_port


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
        """The target's answer comes, or the client's end."""
        with socket.create_connection(("127.0.0.1", port), harness.PATIENCE, (address, 0)) as client:
            client.settimeout(harness.PATIENCE)
            try:
                client.sendall(b"word")
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
