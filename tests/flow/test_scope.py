# SPDX-License-Identifier: LGPL-2.1-or-later
"""fe80::1%eth0 is an address of the interface that has this name where the socket is: in the network namespace of its endpoint, at the moment in
which it is bound or connected. One that is not there is waited for, and ends nothing."""

import os
import socket
import subprocess

import pytest

import harness
from harness import Endpoint, until
from kept import Kept
from namespace import Namespace, ip
from test_netns import Elsewhere

PATIENCE = 3 * harness.PATIENCE


@pytest.fixture(autouse=True)
def space():
    if os.geteuid():
        pytest.skip("namespaces take root")
    with Namespace():
        yield


def link(name="v0", address="fe80::77"):
    ip("link", "add", name, "type", "veth", "peer", "name", "peer" + name)
    for end in (name, "peer" + name):
        ip("link", "set", end, "up")
    ip("address", "add", address + "/64", "dev", name, "nodad")


def is_served(to, listener):
    with socket.create_connection(to, harness.PATIENCE) as client, listener.accept()[0] as server:
        client.sendall(b"served")
        return server.recv(6) == b"served"


def states(daemon):
    return {one["route"]: one["state"] for one in daemon.ctl("listeners")["listeners"]}


def test_an_interface_comes_and_goes(place):
    port, back = harness.free_port(), Endpoint("unix", place)
    far = f"[fe80::77%25v0]:{port + 1}"
    routes = {"scoped": {"listen": f"tcp6://[fe80::77%25v0]:{port}", "target": str(back)},
              "messages": {"listen": f"udp6://[fe80::77%25v0]:{port}", "target": "udp4://127.0.0.1:9"},
              "well": {"listen": f"unix://{place}/well", "target": str(back)},
              "out": {"listen": f"unix://{place}/out", "target": f"tcp6://{far}", "retry": {"attempts": 1000, "max_backoff": "200ms",
                                                                                         "total": "1h"}}}
    with back.listen() as listener, Kept(routes) as daemon:
        until("the others run", lambda: os.path.exists(f"{place}/well"))
        assert states(daemon) == {"scoped": "waiting", "messages": "waiting", "well": "listening", "out": "listening"}
        client = socket.socket(socket.AF_UNIX)
        client.connect(f"{place}/well")
        session, _ = listener.accept()
        link()
        until("it listens", lambda: set(states(daemon).values()) == {"listening"}, PATIENCE)
        until("all is well", lambda: daemon.status()["verdict"] == "OK", PATIENCE)
        assert is_served(("fe80::77%v0", port), listener)
        with socket.socket(socket.AF_INET6) as server, socket.socket(socket.AF_UNIX) as asks:
            server.bind(("fe80::77", port + 1, 0, socket.if_nametoindex("v0")))
            server.listen()
            server.settimeout(PATIENCE)
            asks.connect(f"{place}/out")
            server.accept()[0].close()
        ip("link", "delete", "v0")
        # What it was configured with has an interface that nobody has.
        daemon.restart()
        client.sendall(b"alive")
        assert session.recv(5) == b"alive"
        assert daemon.ctl_run("upgrade").returncode == 0
        daemon.ctl("reload")
        until("it waits", lambda: "waits" in daemon.status()["verdict"], PATIENCE)
        link()
        until("all is well", lambda: daemon.status()["verdict"] == "OK", PATIENCE)
        until("it listens", lambda: set(states(daemon).values()) == {"listening"}, PATIENCE)
        assert is_served(("fe80::77%v0", port), listener)
        client.sendall(b"alive")
        assert session.recv(5) == b"alive"
        client.close()
        session.close()


def test_a_check_waits_for_none(place):
    daemon = Kept({"scoped": {"listen": "tcp6://[fe80::77%25late0]:80", "target": f"unix://{place}/back"}})
    done = subprocess.run([harness.spliced(), "-t", "-c", daemon.file], capture_output=True, text=True, check=False)
    daemon.own.close()
    assert done.returncode == 0, done


def test_its_index_is_that_of_the_namespace(place):
    """There the interface has another index than here, where another has its name."""
    port, back = harness.free_port(), Endpoint("unix", place)
    for number in range(3):
        link(f"more{number}", f"fe80::{number + 1}")
    with Elsewhere() as elsewhere, back.listen() as listener:
        elsewhere.run("ip", "link", "add", "more1", "type", "veth", "peer", "name", "other1")
        for name in ("more1", "other1"):
            elsewhere.run("ip", "link", "set", name, "up")
        elsewhere.run("ip", "address", "add", "fe80::99/64", "dev", "more1", "nodad")
        there = {"netns": elsewhere.netns}
        routes = {"in": {"listen": {"family": "inet6", "host": "fe80::99%more1", "port": port, **there}, "target": str(back)},
                  "messages": {"listen": {"family": "inet6", "type": "dgram", "host": "fe80::99%more1", "port": port, **there},
                               "target": "udp4://127.0.0.1:9"},
                  "out": {"listen": f"unix://{place}/out", "target": {"family": "inet6", "host": "fe80::99%more1", "port": port, **there}}}
        with Kept(routes) as daemon:
            until("it listens", lambda: os.path.exists(f"{place}/out") and set(states(daemon).values()) == {"listening"}, PATIENCE)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(f"{place}/out")  # from here to there, and back again by the other route
                server, _ = listener.accept()
                client.sendall(b"served")
                assert server.recv(6) == b"served"
                server.close()
            assert daemon.status()["verdict"] == "OK"
