# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sockets that systemd makes and passes: by name, of each type, across reload, upgrade and restart; and those that cannot be used."""

import os
import signal
import socket

import pytest

import harness
import service
from harness import Serve, until
from service import Service, run

BACK = 7201
UNITS = "/etc/systemd/system"


@pytest.fixture(scope="module", autouse=True)
def server():
    service.install()
    with Serve(f"tcp://127.0.0.1:{BACK}") as serving:
        yield serving


@pytest.fixture
def units():
    """units(name, what it listens to): a socket unit, started."""
    made = []

    def make(name, *lines):
        path = os.path.join(UNITS, f"test-{name}.socket")
        with open(path, "w", encoding="utf-8") as file:
            file.write("[Socket]\n" + "\n".join(lines) + f"\nFileDescriptorName={name}\nService=spliced.service\n")
        made.append(path)
        run("systemctl", "daemon-reload")
        run("systemctl", "start", os.path.basename(path))

    yield make
    run("systemctl", "stop", "spliced", check=False)
    for path in made:
        run("systemctl", "stop", os.path.basename(path), check=False)
        os.unlink(path)
    run("systemctl", "daemon-reload")



def tcp(port):
    sock = socket.create_connection(("127.0.0.1", port))
    sock.settimeout(harness.PATIENCE)
    return sock


def answers(listener, client):
    """Whether what a client says comes to a server of ours, and back."""
    listener.settimeout(harness.PATIENCE)
    accepted, _ = listener.accept()
    accepted.settimeout(harness.PATIENCE)
    client.sendall(b"question")
    assert accepted.recv(100) == b"question"
    accepted.sendall(b"answer")
    assert client.recv(100) == b"answer"
    accepted.close()
    client.close()


def test_a_client_starts_the_service(units):
    """TCP, on a low port: it waits in the socket until the service has started."""
    units("web", "ListenStream=127.0.0.1:80")
    with socket.create_server(("127.0.0.1", 0)) as server:
        spliced = Service({"web": {"listen": "fd://web", "target": f"tcp4://127.0.0.1:{server.getsockname()[1]}"}})
        assert spliced.show("ActiveState") == "inactive"
        answers(server, tcp(80))
        assert spliced.show("ActiveState") == "active"
        assert "tcp4://127.0.0.1:80" in spliced.ctl("listeners").stdout
        for change in (lambda: spliced.systemctl("reload"), lambda: spliced.ctl("upgrade"), lambda: spliced.systemctl("restart"),
                       lambda: os.kill(spliced.worker, signal.SIGKILL), lambda: spliced.systemctl("restart")):
            change()
            answers(server, tcp(80))
        # The socket outlives the service, and starts it again.
        spliced.systemctl("stop")
        answers(server, tcp(80))


def test_a_route_that_leaves_and_comes_back(units):
    """The socket is systemd's: what closes it here leaves it as it is."""
    units("web", "ListenStream=127.0.0.1:80")
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = f"tcp4://127.0.0.1:{server.getsockname()[1]}"
        other = {"other": {"listen": "tcp4://127.0.0.1:7203", "target": target}}
        with Service({"web": {"listen": "fd://web", "target": target}, **other}) as spliced:
            answers(server, tcp(80))
            spliced.write(other)
            spliced.systemctl("reload")
            spliced.write({"web": {"listen": "fd://web", "target": target}, **other})
            spliced.systemctl("reload")
            answers(server, tcp(80))


def test_datagrams(units):
    units("log", "ListenDatagram=127.0.0.1:514")
    units("unixlog", "ListenDatagram=/run/test-log.sock", "SocketMode=0666")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink, Service({}) as spliced:
        sink.bind(("127.0.0.1", 0))
        sink.settimeout(harness.PATIENCE)
        target = f"udp4://127.0.0.1:{sink.getsockname()[1]}"
        spliced.write({"log": {"listen": "fd://log", "target": target}, "unix": {"listen": "fd://unixlog", "target": target}})
        spliced.systemctl("restart")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.settimeout(harness.PATIENCE)
            sender.sendto(b"line", ("127.0.0.1", 514))
            data, peer = sink.recvfrom(100)
            assert data == b"line"
            sink.sendto(b"reply", peer)
            assert sender.recv(100) == b"reply"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"local", "/run/test-log.sock")
            assert sink.recv(100) == b"local"


def test_seqpacket_and_netlink(units):
    units("packets", "ListenSequentialPacket=/run/test-packets.sock")
    units("links", "ListenNetlink=route 1")
    with socket.create_server(("127.0.0.1", 0)) as feed, Service({}) as spliced:
        # The service has a /tmp of its own: an abstract name is seen by both.
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as target:
            target.bind("\0test-packets-target")
            target.listen()
            spliced.write({"packets": {"listen": "fd://packets", "target": "unix-seqpacket://@test-packets-target"},
                           "links": {"listen": "fd://links?groups=link&format=json", "target": f"tcp4://127.0.0.1:{feed.getsockname()[1]}"}})
            spliced.systemctl("restart")
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                client.connect("/run/test-packets.sock")
                answers(target, client)
            feed.settimeout(harness.PATIENCE)
            accepted, _ = feed.accept()
            accepted.settimeout(harness.PATIENCE)
            run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
            said = b""
            while b'"v0"' not in said:
                part = accepted.recv(65536)
                assert part, said
                said += part
            run("ip", "link", "del", "v0")


def test_what_cannot_be_used(units):
    units("web", "ListenStream=127.0.0.1:7204")
    target = f"tcp4://127.0.0.1:{BACK}"
    with Service({"web": {"listen": "fd://web", "target": target}}) as spliced:
        spliced.write({"web": {"listen": "fd://other", "target": target}})
        done = spliced.ctl("reload")
        assert done.returncode == 1 and 'passes no socket of this name; it passes "web"' in done.stderr + done.stdout, done
        spliced.write({"web": {"listen": {"family": "unix", "path": "/run/x.sock", "fd": "web"}, "target": target}})
        done = spliced.ctl("reload")
        assert done.returncode == 1 and "has another family or type" in done.stderr + done.stdout, done
        tcp(7204).close()


def test_without_the_unit():
    spliced = Service({"web": {"listen": "fd://web", "target": f"tcp4://127.0.0.1:{BACK}"}})
    assert run("spliced", "-t").returncode == 0, "what will be passed is not known where a file is checked"
    assert spliced.systemctl("start", check=False).returncode != 0
    until("it says why", lambda: "systemd passed no socket" in spliced.log())
    run("systemctl", "reset-failed", check=False)
