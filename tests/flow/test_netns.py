# SPDX-License-Identifier: LGPL-2.1-or-later
"""Endpoints in other network namespaces."""

import json
import os
import socket
import subprocess

import pytest

import harness
from harness import Daemon, until



class Elsewhere:
    """A namespace that is kept by a process."""

    def __enter__(self):
        if os.geteuid() != 0:
            pytest.skip("another namespace takes root")
        self.process = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link set lo up && exec sleep infinity"])
        self.netns = f"/proc/{self.process.pid}/ns/net"
        until("it is there", lambda: os.readlink(self.netns) != os.readlink("/proc/thread-self/ns/net"))
        until("its lo is up", lambda: "UP" in self.run("ip", "link", "show", "lo"))
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()

    def run(self, *words, **options):
        done = subprocess.run(["nsenter", "-t", str(self.process.pid), "-n", *words], capture_output=True, text=True, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout


CLIENT = "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); s.sendall(b'hello'); s.shutdown(1); " \
         "print(s.makefile().read(), end='')"


def test_a_listener_elsewhere_and_a_target_here():
    port = harness.free_port()
    with Elsewhere() as elsewhere, socket.create_server(("127.0.0.1", 0)) as server:
        end = {"family": "inet", "host": "127.0.0.1", "port": port, "netns": elsewhere.netns}
        routes = {"out": {"listen": end, "target": f"tcp4://127.0.0.1:{server.getsockname()[1]}"},
                  "same": {"listen": f"tcp4://127.0.0.1:{port}", "target": end}}
        with Daemon(routes) as daemon:
            for _ in range(3):
                client = socket.create_connection(("127.0.0.1", port)) # by way of the other namespace
                accepted, _ = server.accept()
                client.sendall(b"there")
                assert accepted.recv(5, socket.MSG_WAITALL) == b"there"
                accepted.sendall(b"back")
                assert client.recv(4, socket.MSG_WAITALL) == b"back"
                client.close()
                accepted.close()
                daemon.reload()
                os.kill(daemon.worker, 9)


def test_netlink_elsewhere():
    port = harness.free_port()
    with Elsewhere() as elsewhere:
        target = {"family": "netlink", "protocol": "route", "groups": ["link"], "format": "json", "netns": elsewhere.netns}
        with Daemon({"events": {"listen": f"tcp4://127.0.0.1:{port}", "target": target}}) as daemon:
            client = socket.create_connection(("127.0.0.1", port))
            client.settimeout(10)
            until("it follows", daemon.relays)
            elsewhere.run("ip", "link", "add", "there0", "type", "veth", "peer", "name", "there1")
            names = set()
            for line in client.makefile():
                names.add(json.loads(line).get("ifname"))
                if {"there0", "there1"} <= names:
                    break


def test_packet_elsewhere():
    port = harness.free_port()
    with Elsewhere() as elsewhere:
        target = {"family": "packet", "interface": "lo", "filter": "udp port 9", "format": "pcap", "netns": elsewhere.netns}
        with Daemon({"capture": {"listen": f"tcp4://127.0.0.1:{port}", "target": target}}):
            client = socket.create_connection(("127.0.0.1", port))
            client.settimeout(10)
            assert len(client.recv(24, socket.MSG_WAITALL)) == 24
            elsewhere.run("python3", "-c", "import socket; socket.socket(2, 2).sendto(b'from there', ('127.0.0.1', 9))")
            assert client.recv(16 + 52, socket.MSG_WAITALL).endswith(b"from there")


def test_one_that_is_missing_is_told():
    end = {"family": "inet", "host": "127.0.0.1", "port": harness.free_port(), "netns": "nosuchplace"}
    with Daemon({"a": {"listen": end, "target": "tcp4://127.0.0.1:1"}}, wait=False) as daemon:
        until("it runs", lambda: daemon.ctl_run("status").returncode == 1)
        assert "No such file or directory; no such network namespace?" in daemon.log()
        assert "waits (No such file or directory)" in daemon.status()["verdict"]
