# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who is who is told by names and by what they mean, never by where they stand: routes and endpoints come, go and change places, and
what was not edited keeps its sessions and its sockets, each feed and each dial exactly one."""

import contextlib
import os
import random
import signal

import pytest

import harness
from harness import Daemon, until
from messages import Echo, End, Wire
from namespace import Namespace

QUIET = {"log": {"to": "stderr", "level": "warning", "sessions": False}}
FEED = {"family": "netlink", "protocol": "route", "groups": ["link"], "format": "json"}
LISTS = 5


class World:
    """Routes of each kind, what stands at their ends, and a client of each datagram listener."""

    def __init__(self, place, stack):
        self.routes = {}
        self.clients = []
        self.fronts = []
        self.echoes = []
        targets = [End("unix-dgram", place) for _ in range(4)]
        self.streams = [End("unix", place) for _ in range(3)]
        for end in (*targets, *self.streams):
            self.echoes.append(stack.enter_context(Echo(end)))
        for i in range(3):
            self.routes[f"feed{i}"] = {"listen": dict(FEED), "target": str(targets[0])}
            fronts = [End("unix", place) for _ in range(LISTS)]
            for front in fronts:
                listener = stack.enter_context(front.server())
                listener.settimeout(harness.PATIENCE)
                self.fronts.append(listener)
            self.routes[f"dial{i}"] = {"dial": tuple(map(str, fronts)), "target": tuple(map(str, self.streams))}
            listens = [End("unix-dgram", place) for _ in range(LISTS)]
            self.routes[f"datagrams{i}"] = {"listen": tuple(map(str, listens)), "target": tuple(map(str, targets[1:]))}
            self.clients += [(f"datagrams{i}", listen) for listen in listens]
            self.routes[f"stream{i}"] = {"listen": tuple(f"tcp4://127.0.0.1:{harness.free_port()}" for _ in range(LISTS)),
                                         "target": str(self.streams[0])}

    def open(self, stack):
        """Sessions of everybody who has to be asked for."""
        self.wires = []
        for _, listen in self.clients:
            wire = listen.client()
            stack.callback(wire.close)
            self.wires.append(wire)
        self.dialed = []
        for listener in self.fronts:
            sock, _ = listener.accept()
            sock.settimeout(harness.PATIENCE)
            self.dialed.append(stack.enter_context(Wire("unix", sock)))
        self.speak()

    def speak(self):
        """Everybody is answered, through the connection that they have."""
        for number, wire in enumerate(self.wires):
            wire.say(b"datagram %d" % number)
            assert wire.hear() == b"datagram %d" % number
        for number, wire in enumerate(self.dialed):
            wire.say(b"dial %d" % number)
            assert wire.hear() == b"dial %d" % number


def known(daemon):
    """Sessions by id, of routes whose sessions outlive a change of places."""
    return {one["id"]: one["route"] for one in daemon.sessions()}


def sockets(daemon):
    """The listening sockets' inodes."""
    return {what for what in harness.descriptors(daemon.keeper).values() if what.startswith("socket:")}


def turned(values, edit):
    values = list(values)
    if edit == "reversed":
        values.reverse()
    elif edit == "shuffled":
        random.shuffle(values)
    return values


def edited(routes, edit, place):
    """The same routes in other places."""
    new = {}
    if edit in ("added before", "lists added to"):
        new["a" + str(random.randrange(1 << 30))] = {"listen": str(End("unix", place)), "target": "unix:///nowhere"}
    for name in turned(routes, edit):
        route = dict(routes[name])
        for key in ("listen", "dial", "target"):
            if isinstance(route.get(key), tuple):
                values = turned(route[key], edit)
                if edit == "lists added to" and key != "dial":
                    kind = values[0].split("://")[0]
                    values.insert(0, str(End(kind, place)))
                route[key] = tuple(values)
        if edit == "retried otherwise":  # who has a target asks for none
            route["retry"] = {"attempts": 7, "total": "3s"}
        new[name] = route
    if edit == "added behind":
        new["z"] = {"listen": str(End("unix", place)), "target": "unix:///nowhere"}
    return new


EDITS = ("added before", "reversed", "shuffled", "lists added to", "added behind", "shuffled", "retried otherwise", "as it was")


@pytest.mark.parametrize("killed", (False, True), ids=("reloaded", "and killed"))
def test_what_is_not_edited_keeps_its_sessions_and_sockets(place, killed):
    with contextlib.ExitStack() as stack:
        stack.enter_context(Namespace())
        world = World(place, stack)
        daemon = stack.enter_context(Daemon(world.routes, QUIET))
        world.open(stack)
        until("each feed has its session", lambda: len(known(daemon)) == 3 + 6 * LISTS)
        before, open_before = known(daemon), sockets(daemon)
        for edit in EDITS:
            routes = edited(world.routes, edit, place)
            daemon.reload(routes)
            if killed:
                worker = daemon.worker
                os.kill(worker, signal.SIGKILL)
                daemon.worker_after(worker)
            assert known(daemon) == before, edit
            assert open_before <= sockets(daemon), edit
            world.speak()
            assert known(daemon) == before, edit
        assert daemon.ctl("status", status=None)["worker"]["starts"]["crash"] == (len(EDITS) if killed else 0)
        generations = {one["generation"] for one in daemon.sessions()}
        assert len(generations) == 1, "sessions that mean what the newest configuration says are of it"


def test_what_is_edited_gets_new_sessions_once(place):
    with contextlib.ExitStack() as stack:
        stack.enter_context(Namespace())
        world = World(place, stack)
        daemon = stack.enter_context(Daemon(world.routes, QUIET))
        world.open(stack)
        until("each feed has its session", lambda: len(known(daemon)) == 3 + 6 * LISTS)
        before = known(daemon)
        routes = edited(world.routes, "shuffled", place)
        routes["dial1"]["timeout"] = {"connect": "4s"}
        routes["feed1"]["timeout"] = {"connect": "4s"}
        daemon.reload(routes)
        kept = {one: route for one, route in before.items() if route not in ("dial1", "feed1")}
        until("both have their sessions again",
              lambda: sorted(known(daemon).values()) == sorted(before.values()) and known(daemon) != before)
        now = known(daemon)
        assert kept.items() <= now.items()
        assert not {one for one, route in before.items() if route in ("dial1", "feed1")} & set(now)
