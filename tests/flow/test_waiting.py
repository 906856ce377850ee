# SPDX-License-Identifier: LGPL-2.1-or-later
"""One of several listeners of a route waits: for a device that comes, or for a family that this kernel lacks. The others serve, nothing is
reloaded meanwhile, and the verdict names the one that waits."""

import itertools
import os
import signal
import socket
import time

import pytest

import harness
from harness import Daemon, until
from namespace import Namespace, ip
from test_absent import FAMILIES, is_missing

LOOKS = 12  # seconds: the keeper looks every 5


def lacking():
    """An endpoint of a family that is not here, whose plugin is; None where there is none."""
    for family, (number, listen) in FAMILIES.items():
        if is_missing(number) and os.path.exists(os.path.join(harness.plugin_dir(), family + ".so")):
            return listen
    return None


@pytest.fixture
def space():
    with Namespace():
        yield


class Fronts:
    """A listener that is well, one whose interface is not there, and perhaps one whose family is not."""

    def __init__(self, server):
        self.well, self.late = harness.free_port(), harness.free_port()
        self.target = f"tcp4://127.0.0.1:{server.getsockname()[1]}"
        self.texts = {"well": f"tcp4://127.0.0.1:{self.well}", "late": f"udp4://127.0.0.1:{self.late}?interface=late0"}
        if lacking():
            self.texts["never"] = lacking()

    def routes(self, order, **more):
        """late is of datagrams, and so in a route of its own, beside another of its kind."""
        streams = tuple(self.texts[name] for name in order if name != "late")
        messages = tuple(self.texts["late"] if name == "late" else f"udp4://127.0.0.1:{self.well}" for name in order if name != "never")
        return {"streams": {"listen": streams, "target": self.target},
                "messages": {"listen": messages, "target": "udp4://127.0.0.1:9"}, **more}


def serves(port, server):
    with socket.create_connection(("127.0.0.1", port), harness.PATIENCE) as client:
        accepted, _ = server.accept()
        accepted.settimeout(harness.PATIENCE)
        client.sendall(b"hello")
        assert accepted.recv(5) == b"hello"
        accepted.close()


def facts(daemon):
    status = daemon.status()
    return status["reload"]["generation"], status["reload"]["succeeded"], status["worker"]["starts"]["reload"], status["worker"]["pid"]


def waiting(daemon):
    return sorted(one["address"] for one in daemon.ctl("listeners")["listeners"] if one["state"] == "waiting")


def orders():
    names = ("well", "late", "never") if lacking() else ("well", "late")
    return list(itertools.permutations(names))


@pytest.mark.parametrize("order", orders(), ids="-".join)
def test_the_one_that_waits_is_named(space, order):
    with socket.create_server(("127.0.0.1", 0)) as server:
        fronts = Fronts(server)
        with Daemon(fronts.routes(order), wait=False) as daemon:
            until("it listens", lambda: daemon.ctl_run("status").returncode in (0, 1))
            serves(fronts.well, server)
            status = daemon.status()
            assert status["verdict"].startswith("DEGRADED"), status
            assert f"messages: udp4://127.0.0.1:{fronts.late} waits (No such device)" in status["verdict"], status
            assert f"127.0.0.1:{fronts.well}" not in status["verdict"], status
            listeners = {(one["route"], one["state"], one["sockets"] > 0) for one in daemon.ctl("listeners")["listeners"]}
            assert ("messages", "waiting", False) in listeners and ("messages", "listening", True) in listeners
            if lacking():
                assert f"streams: {lacking()} waits (" in status["verdict"], status
                assert ("streams", "waiting", False) in listeners and ("streams", "listening", True) in listeners
            assert "late0" in daemon.log()


def test_it_waits_in_peace_and_comes_alone(space):
    with socket.create_server(("127.0.0.1", 0)) as server:
        fronts = Fronts(server)
        order = orders()[-1]
        with Daemon(fronts.routes(order), wait=False) as daemon:
            until("it listens", lambda: daemon.ctl_run("status").returncode in (0, 1))
            before, waits = facts(daemon), waiting(daemon)
            started = time.monotonic()
            while time.monotonic() < started + LOOKS:
                serves(fronts.well, server)
                time.sleep(0.2)
            assert facts(daemon) == before, "it reloads while it waits"
            assert daemon.ctl("reload") is not None and waiting(daemon) == waits
            assert daemon.status()["reload"]["generation"] == before[0], "a reload that changes nothing has changed something"
            # It waits over a death, a reload that changes something, and one that is refused.
            os.kill(daemon.worker, signal.SIGKILL)
            until("the next worker runs", lambda: daemon.status()["worker"]["starts"]["crash"] == 1)
            assert waiting(daemon) == waits
            daemon.reload(fronts.routes(order, more={"listen": f"tcp4://127.0.0.1:{harness.free_port()}", "target": fronts.target}))
            assert waiting(daemon) == waits
            daemon.write(fronts.routes(order, bad={"listen": "unix:///etc/passwd/no-directory", "target": fronts.target}))
            assert daemon.ctl_run("reload").returncode == 1
            assert waiting(daemon) == waits
            daemon.write(fronts.routes(order))
            daemon.reload()
            assert waiting(daemon) == waits
            generation = daemon.status()["reload"]["generation"]
            # What the file says meanwhile is not read.
            daemon.write(text="routes = no configuration")
            ip("link", "add", "late0", "type", "veth", "peer", "name", "late1")
            until("it listens there", lambda: not any(f":{fronts.late}" in address for address in waiting(daemon)))
            until("the worker runs", lambda: daemon.status()["worker"]["pid"])
            assert daemon.status()["reload"]["generation"] == generation
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, pytest.raises(OSError):
                probe.bind(("127.0.0.1", fronts.late))
            serves(fronts.well, server)
            daemon.write(fronts.routes(order))


def test_it_waits_over_an_upgrade(space):
    with socket.create_server(("127.0.0.1", 0)) as server:
        fronts = Fronts(server)
        with Daemon(fronts.routes(orders()[0]), wait=False) as daemon:
            until("it listens", lambda: daemon.ctl_run("status").returncode in (0, 1))
            waits = waiting(daemon)
            daemon.ctl("upgrade")
            until("the new one runs", lambda: daemon.status()["worker"]["starts"]["upgrade"] == 1)
            assert waiting(daemon) == waits
            before = facts(daemon)
            serves(fronts.well, server)
            harness.holds("it stays as it is", lambda: facts(daemon) == before, 6)
            ip("link", "add", "late0", "type", "veth", "peer", "name", "late1")
            until("it listens there", lambda: not any(f":{fronts.late}" in address for address in waiting(daemon)))
