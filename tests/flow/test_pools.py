# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pools of every size whose members are all down, for many rounds: whoever waits goes on waiting, nothing spins, and the first member
that comes up gets all sessions. One thread, so that a session which never ends its turn is everybody's."""

import contextlib
import os
import signal
import socket

import pytest

import harness
from harness import Daemon, until
from messages import Echo, End, Wire
from namespace import Namespace

SIZES = (1, 2, 3, 7, 64, 250, 251, 300)
ROUNDS = 300  # beyond what a byte counts
SETTINGS = {"workers": 1, "log": {"to": "stderr", "level": "warning", "sessions": False}}
PATIENT = {"attempts": 1, "backoff": "1ms", "max_backoff": "1ms", "total": "1ms"}  # what holds for others only
TENACIOUS = {**PATIENT, "attempts": 1 << 30, "total": "0s"}


class Pool:
    """A route to members that nobody serves."""

    def __init__(self, place, kind, size):
        self.name = f"{kind}-{size}"
        self.members = [End(self.target_kind, place) for _ in range(size)]
        self.front = self.make_front(place)

    target_kind = "unix"
    options = {"retry": PATIENT}

    def make_front(self, place):
        return End("unix", place)

    def route(self):
        return {"listen": str(self.front), "target": tuple(str(member) for member in self.members), **self.options}

    def open(self, stack):
        """Somebody who waits."""
        self.client = self.front.client()
        stack.callback(self.client.close)

    def passes(self):
        """Once a member is up."""
        self.client.say(b"through")
        return self.client.hear() == b"through"


class Streams(Pool):
    options = {"retry": TENACIOUS}


class Datagrams(Pool):
    """Senders that can be held back: their session never gives up."""

    target_kind = "unix-dgram"
    options = {"overflow": "block", "retry": PATIENT}

    def make_front(self, place):
        return End("unix-dgram", place)

    def open(self, stack):
        super().open(stack)
        self.client.say(b"through")

    def passes(self):
        return self.client.hear() == b"through"


class Impatient(Datagrams):
    """Messages that may be lost."""

    options = {"overflow": "drop-new", "retry": TENACIOUS}

    def passes(self):
        self.client.sock.settimeout(0.2)
        for _ in range(int(harness.PATIENCE * 5)):
            try:
                self.client.say(b"through")
                return self.client.hear() == b"through"
            except (TimeoutError, socket.timeout, ConnectionRefusedError):
                continue
        return False


class Dials(Pool):
    def open(self, stack):
        listener = stack.enter_context(self.front.server())
        listener.settimeout(harness.PATIENCE)
        self.listener = listener

    def route(self):
        made = super().route()
        made["dial"] = made.pop("listen")
        return made

    def passes(self):
        sock, _ = self.listener.accept()
        sock.settimeout(harness.PATIENCE)
        with Wire("unix", sock) as wire:
            wire.say(b"through")
            return wire.hear() == b"through"


class Feeds(Pool):
    target_kind = "unix-dgram"

    def route(self):
        return {**super().route(), "listen": {"family": "netlink", "protocol": "route", "groups": ["link"], "dump": True, "format": "json"}}

    def open(self, stack):
        pass

    def passes(self):
        until("what it says arrives", lambda: self.echo.asked)
        return True


KINDS = {"streams": Streams, "datagrams": Datagrams, "impatient": Impatient, "dials": Dials, "feeds": Feeds}


def errors(daemon):
    return {one["name"]: one["connect_errors"] for one in daemon.ctl("routes")["routes"]}


def wait_for_rounds(daemon, pools, rounds):
    """Until each pool was gone through so often more, and nothing stood still meanwhile."""
    before = errors(daemon)

    def done():
        now = errors(daemon)
        return all(now[pool.name] - before[pool.name] >= rounds * min(len(pool.members), 3) for pool in pools)

    until(f"{rounds} rounds of each pool", done, harness.PATIENCE * 6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pool_that_is_down_for_many_rounds(place, kind):
    with contextlib.ExitStack() as stack:
        if kind == "feeds":
            stack.enter_context(Namespace())
        pools = [KINDS[kind](place, kind, size) for size in SIZES]
        healthy = Streams(place, "healthy", 1)
        stack.enter_context(Echo(healthy.members[0]))
        routes = {pool.name: pool.route() for pool in (*pools, healthy)}
        if kind == "dials":
            for pool in pools:
                pool.open(stack)
        daemon = stack.enter_context(Daemon(routes, SETTINGS))
        if kind != "dials":
            for pool in pools:
                pool.open(stack)
        wait_for_rounds(daemon, pools, ROUNDS)
        worker = daemon.worker
        os.kill(worker, signal.SIGKILL)
        daemon.worker_after(worker)
        wait_for_rounds(daemon, pools, 10)
        daemon.reload({"first": Streams(place, "first", 2).route(), **routes})
        wait_for_rounds(daemon, pools, 10)
        with contextlib.closing(healthy.front.client()) as client:
            client.say(b"the others are served")
            assert client.hear() == b"the others are served"
        for pool in pools:
            pool.echo = stack.enter_context(Echo(pool.members[-1]))
        for pool in pools:
            assert pool.passes(), pool.name
        assert daemon.status()["worker"]["starts"]["hang"] == 0
