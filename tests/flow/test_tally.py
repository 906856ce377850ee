# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every message is accounted for: received = sent on + dropped + waiting, whatever becomes of them: while they wait for a target, when their
session gives up or is killed, where there is no room, over a reload and a kill."""

import contextlib
import os
import signal
import tempfile
import threading

import pytest

from harness import Daemon, Injected, Skip, until
from messages import End, Echo, route

COUNT = 5
PATIENT = {"total": "10min", "attempts": 100000, "max_backoff": "100ms"}
HASTY = {"total": "200ms", "attempts": 2, "backoff": "50ms"}


def tally(daemon, name):
    """What the route counts; once nothing is in hand, it adds up."""
    def adds_up():
        counts = route(daemon, name)
        return counts if sum(counts["received"].values()) == \
            sum(counts["messages"].values()) + sum(counts["dropped"].values()) + counts["waiting"] else None

    return until(f"{name} adds up", adds_up)


def received(daemon, name, count):
    """The same, once so many have come in from clients."""
    until(f"{name} has received {count}", lambda: route(daemon, name)["received"]["from_client"] == count)
    return tally(daemon, name)


def kill_worker(daemon):
    worker = daemon.worker
    os.kill(worker, signal.SIGKILL)
    daemon.worker_after(worker)


class World:
    """One daemon, a route a case: name -> (front, target's kind, options)."""

    CASES = {
        "waits-as-frames": ("udp4", "tcp4", {"retry": PATIENT}),
        "waits": ("udp4", "unix-seqpacket", {"retry": PATIENT}),
        "killed": ("udp4", "unix-seqpacket", {"retry": PATIENT}),
        "killed-as-frames": ("udp4", "unix", {"retry": PATIENT}),
        "gives-up": ("udp4", "unix-seqpacket", {"retry": HASTY}),
        "gives-up-as-frames": ("udp4", "tcp4", {"retry": HASTY}),
        "no-room": ("unix-dgram", "unix-dgram", {"overflow": "drop-new"}),
        "no-room-old": ("unix-dgram", "unix-dgram", {"overflow": "drop-old"}),
        "frames-no-room": ("tcp4", "unix-dgram", {"overflow": "drop-new"}),
        "refuses": ("udp4", "udp4", {}),
        "denied": ("udp4", "udp4", {"allow": ["10.255.0.0/16"]}),
        "one-way": ("udp4", "udp4", {"replies": 0}),
        "answers": ("udp4", "udp4", {"replies": 1}),
        "floods": ("udp4", "udp4", {}),
        "injected": ("udp4", "udp4", {}),
        "moves": ("udp4", "udp4", {}),
        "overruns": ("udp4", "udp4", {}),
    }

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="tally-")
        os.chmod(self.directory, 0o755)
        self.front = {name: End(case[0], self.directory) for name, case in self.CASES.items()}
        self.back = {name: End(case[1], self.directory) for name, case in self.CASES.items()}
        routes = {name: {"listen": self.front[name].framed, "target": self.back[name].framed, **case[2]}
                  for name, case in self.CASES.items()}
        routes["moves"]["target"] = (End("udp4").text, self.back["moves"].text)  # nobody listens on the first
        for key in ("listen", "target"):
            routes["overruns"][key] += "?rcvbuf=8192"
        self.routes = routes
        self.daemon = Daemon(routes, {"log": {"to": "stderr", "level": "warning"}})

    def say(self, name, count=COUNT, size=10):
        with self.front[name].client() as client:
            for _ in range(count):
                client.say(os.urandom(size))


@pytest.fixture(scope="module")
def world():
    made = World()
    with made.daemon:
        yield made


def waits(world, name):
    """How many messages wait for the route's target: all, but frames wait for an empty pipe."""
    world.say(name)
    counts = received(world.daemon, name, COUNT)
    assert counts["waiting"] if "frames" in name else counts["waiting"] == COUNT, counts
    return counts["waiting"]


@pytest.mark.parametrize("name", ("waits", "waits-as-frames"))
def test_what_waits_for_a_target(world, name):
    """... is told while it does, goes on waiting over a reload and a kill, and is heard when the target comes."""
    waiting = waits(world, name)
    world.daemon.reload()
    assert tally(world.daemon, name)["waiting"] == waiting
    kill_worker(world.daemon)
    assert tally(world.daemon, name)["waiting"] == waiting
    server = world.back[name].server()
    server.settimeout(60)
    with server, world.back[name].wire(server.accept()[0]) as wire:
        assert all(len(wire.hear()) == 10 for _ in range(waiting))
        until("none waits", lambda: not route(world.daemon, name)["waiting"])
    counts = tally(world.daemon, name)
    assert counts["messages"]["to_target"] == waiting and counts["dropped"].get("unreachable", 0) == COUNT - waiting, counts


@pytest.mark.parametrize("name", ("gives-up", "gives-up-as-frames"))
def test_a_session_that_gives_up(world, name):
    world.say(name)
    until("it is given up", lambda: route(world.daemon, name)["dropped"].get("unreachable") == COUNT)
    assert tally(world.daemon, name)["received"]["from_client"] == COUNT


@pytest.mark.parametrize("name", ("killed", "killed-as-frames"))
def test_a_session_that_is_killed(world, name):
    waits(world, name)
    for one in world.daemon.sessions():
        if one["route"] == name:
            world.daemon.ctl("kill", one["id"])
    until("its messages are dropped", lambda: route(world.daemon, name)["dropped"] == {"unreachable": COUNT})
    assert not tally(world.daemon, name)["waiting"]


@pytest.mark.parametrize("name", ("no-room", "no-room-old", "frames-no-room"))
def test_a_target_that_does_not_read(world, name):
    """Its queue has 10 places, net.unix.max_dgram_qlen."""
    with world.back[name].server() as server:
        world.say(name, 40)
        counts = received(world.daemon, name, 40) if name != "no-room-old" else \
            until("some are dropped", lambda: route(world.daemon, name)["dropped"]) and tally(world.daemon, name)
        assert counts["dropped"].keys() == {"overflow"} and counts["messages"]["to_target"], counts
        server.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while server.recv(1 << 16):
                pass


def test_a_port_that_nobody_listens_on(world):
    """What the next call says of a message that was sent: it was not."""
    with world.front["refuses"].client() as client:
        for count in range(1, COUNT + 1):
            client.say(b"lost")
            received(world.daemon, "refuses", count)
    until("all but the last have come back", lambda: route(world.daemon, "refuses")["dropped"].get("unreachable", 0) >= COUNT - 1)
    tally(world.daemon, "refuses")


def test_a_message_that_goes_again(world):
    """... to the next of the pool is one message."""
    with Echo(world.back["moves"]):
        for count in range(COUNT):
            with world.front["moves"].client() as client:
                client.say(b"%d" % count)
                assert client.hear() == b"%d" % count
    counts = received(world.daemon, "moves", COUNT)
    assert counts["messages"] == {"to_target": COUNT, "from_target": COUNT} and not counts["dropped"], counts


def test_a_peer_that_is_denied(world):
    world.say("denied")
    assert received(world.daemon, "denied", COUNT)["dropped"] == {"denied": COUNT}


@pytest.mark.parametrize("name", ("one-way", "answers"))
def test_more_answers_than_are_wanted(world, name):
    with Echo(world.back[name], answer=lambda data: [data] * 3) as echo, world.front[name].client() as client:
        for _ in range(COUNT):
            client.say(b"?")
        until("all were asked", lambda: len(echo.asked) == COUNT)
        received(world.daemon, name, COUNT)


def test_what_the_kernel_refuses_to_send(world):
    """... is no target that is unreachable."""
    with Echo(world.back["injected"]), world.front["injected"].client() as client:
        client.say(b"first")
        assert client.hear() == b"first"
        try:
            with Injected(world.daemon, "sendmmsg", "error=EINVAL:when=1") as injected:
                client.say(b"second")
                until("it was refused", injected.calls)
        except Skip as reason:
            pytest.skip(str(reason))
        client.say(b"third")
        assert client.hear() == b"third"
    assert received(world.daemon, "injected", 3)["dropped"] == {"refused": 1}


def accounted(daemon, name, clients, targets):
    """Once all that both sides have sent was received, or dropped by the kernel: how many those were."""
    def all_of_them():
        counts = route(daemon, name)
        return counts if sum(counts["received"].values()) + counts["kernel_dropped"] == clients + targets else None

    return until("all are accounted for", all_of_them)["kernel_dropped"]


def test_what_the_kernel_drops(world):
    """... at the listener's socket and at a session's, is counted once, whoever reads the socket, and when it is closed."""
    daemon, name, burst = world.daemon, "overruns", 200
    with world.back[name].server() as server, world.front[name].client() as client:
        server.settimeout(60)
        client.say(b"hello")
        peer = server.recvfrom(100)[1]
        with daemon.worker_held():
            for _ in range(burst):
                client.say(b"x" * 500)
        dropped = accounted(daemon, name, 1 + burst, 0)
        assert dropped
        with daemon.worker_held():
            for _ in range(burst):
                server.sendto(b"x" * 500, peer)
        both = accounted(daemon, name, 1 + burst, burst)
        assert both > dropped
        kill_worker(daemon)
        assert accounted(daemon, name, 1 + burst, burst) == both
        for one in daemon.sessions():
            if one["route"] == name:
                daemon.ctl("kill", one["id"])
        assert accounted(daemon, name, 1 + burst, burst) == both
        tally(daemon, name)
    world.routes[name]["listen"] = End("udp4").text
    daemon.reload(world.routes)
    until("the old listener is closed", lambda: len([one for one in daemon.ctl("listeners")["listeners"] if one["route"] == name]) == 1)
    assert accounted(daemon, name, 1 + burst, burst) == both


def test_kills_under_load(world):
    """What was in hand is told; nothing else is missing."""
    with world.back["floods"].server(), world.front["floods"].client() as client:
        ended = threading.Event()

        def flood():
            while not ended.is_set():
                with contextlib.suppress(OSError):
                    client.say(b"x" * 100)

        thread = threading.Thread(target=flood)
        thread.start()
        try:
            for _ in range(5):
                before = route(world.daemon, "floods")["received"]["from_client"]
                until("it relays", lambda at=before: route(world.daemon, "floods")["received"]["from_client"] > at)
                kill_worker(world.daemon)
        finally:
            ended.set()
            thread.join()
        counts = tally(world.daemon, "floods")
    assert counts["messages"]["to_target"] and counts["dropped"].keys() <= {"crash", "unreachable", "overflow"}, counts
