# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the daemon does for a family that describes little: tests/plugins/plain.c."""

import os
import socket
import subprocess

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
