# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many routes, targets and list entries, and names of any length: what the check lets pass starts, reloads and answers; what is beyond a
limit the check refuses, with file and line. SPLICED_ROUTES=10000 is the size that the manual promises, by hand."""

import os
import resource
import shutil
import signal
import socket
import subprocess

import pytest

import harness
from harness import Daemon, until
from messages import Echo, End, Wire, route

ROUTES = int(os.environ.get("SPLICED_ROUTES", "2500"))
TARGETS = 4  # of each route
QUIET = {"log": {"to": "stderr", "level": "warning", "sessions": False}}
LONG = "n" * 300


def address(number):
    return f"127.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def many(place, port, count=ROUTES):
    return {f"r{i}": {"listen": f"tcp4://{address(i)}:{port}",
                      "target": tuple(f"unix://{place}/{i}.{k}" for k in range(TARGETS))} for i in range(count)}


class Big(Daemon):
    """Asked by the control socket alone whether it is ready: the kernel's tables are long."""

    def ready(self):
        assert self.process.poll() is None, f"the daemon ended with status {self.process.returncode}\n{self.log()}"
        return self.ctl_run("status").returncode in (0, 1)


def check(daemon):
    return subprocess.run([harness.spliced(), "-t", "-c", daemon.file], capture_output=True, text=True, check=False)


def is_served(end, number, port):
    with Echo(end), socket.create_connection((address(number), port), harness.PATIENCE) as sock:
        wire = Wire("unix", sock)
        wire.say(b"through")
        return wire.hear() == b"through"


def listening(daemon):
    return daemon.status()["listeners"]["listening"]


def test_many_routes_start_reload_and_answer(place):
    port = harness.free_port()
    routes = many(place, port)
    last = End("unix", place)
    last.address = last.path = f"{place}/{ROUTES - 1}.2"
    with Big(routes, QUIET) as daemon:
        assert "no errors" in check(daemon).stdout
        status = daemon.status()
        assert (status["routes"], status["listeners"]["listening"]) == (ROUTES, ROUTES)
        assert len(daemon.ctl("routes")["routes"]) == ROUTES and len(daemon.ctl("listeners")["listeners"]) == ROUTES
        assert is_served(last, ROUTES - 1, port)
        kept = {what for what in harness.descriptors(daemon.keeper).values() if what.startswith("socket:")}
        daemon.reload({"first": {"listen": f"unix://{place}/first", "target": "unix:///nowhere"}, **dict(reversed(routes.items()))})
        until("all listen", lambda: listening(daemon) == ROUTES + 1)
        assert kept <= set(harness.descriptors(daemon.keeper).values())
        assert is_served(last, ROUTES - 1, port)
        half = dict(list(routes.items())[::2])
        daemon.reload(half)
        assert daemon.status()["routes"] == len(half)


def test_errors_are_told_at_their_places_among_many(place):
    routes = many(place, 1, 1000)
    for number in (0, 63, 64, 65, 777, 999):
        routes[f"r{number}"]["frobnicate"] = number
    daemon = Daemon(routes, QUIET)
    with open(daemon.file, encoding="utf-8") as file:
        lines = [number for number, line in enumerate(file, 1) if "frobnicate" in line]
    assert [int(line.split(":")[1]) for line in check(daemon).stderr.splitlines()] == lines
    shutil.rmtree(daemon.directory)


def test_where_descriptors_are_short_threads_share_a_socket(place):
    port, count = harness.free_port(), 300
    last = End("unix", place)
    last.address = last.path = f"{place}/{count - 1}.1"
    with Big(many(place, port, count), QUIET, limit_nofile=1000) as daemon:
        listeners = daemon.ctl("listeners")["listeners"]
        shared = [one for one in listeners if one["sockets"] == 1]
        assert len(shared) == daemon.status()["listeners"]["shared"] > 0
        assert all("one socket" in one["reason"] for one in shared)
        assert is_served(last, count - 1, port)
        before = {what for what in harness.descriptors(daemon.keeper).values() if what.startswith("socket:")}
        daemon.reload(dict(list(daemon.routes.items())[:200]))
        until("the others have left", lambda: len(daemon.ctl("listeners")["listeners"]) == 200, harness.PATIENCE * 3)
        now = daemon.ctl("listeners")["listeners"]
        assert [one["sockets"] for one in now] == [one["sockets"] for one in listeners if one["address"] in {o["address"] for o in now}]
        assert {what for what in harness.descriptors(daemon.keeper).values() if what.startswith("socket:")} - before == set()


@pytest.mark.parametrize("what", ("routes", "targets", "sockets"))
def test_what_is_beyond_a_limit_is_refused_with_its_place(place, what):
    if what == "routes":
        routes = {f"r{i}": {"listen": "tcp4://127.0.0.1:1", "enabled": False, "target": "unix:///x"} for i in range(16385)}
        said = "more than 16384 routes"
    elif what == "targets":
        routes = {"r": {"listen": "unix:///y", "target": tuple(f"unix:///{i}" for i in range(49153))}}
        said = "more than 49152 targets"
    else:
        routes = many(place, 1, 800)
        said = "more than 680 listeners, the limit of RLIMIT_NOFILE"
    daemon = Daemon(routes, QUIET)
    limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000))) if what == "sockets" else None
    done = subprocess.run([harness.spliced(), "-t", "-c", daemon.file], capture_output=True, text=True, check=False, preexec_fn=limit)
    assert done.returncode == 78
    errors = done.stderr.splitlines()
    assert len(errors) == 1 and said in errors[0] and errors[0].startswith(daemon.file + ":"), done.stderr[:1000]
    daemon.__exit__(None, None, None) if daemon.process else shutil.rmtree(daemon.directory)


def test_names_of_any_length_are_whole_and_their_own(place):
    """Two targets, and two routes, whose names differ in their last byte only."""
    up, down = End("unix", place), End("unix", place)
    routes = {LONG + tail: {"listen": f"unix://{place}/{tail}", "retry": {"attempts": 1},
                            "target": ({"family": "unix", "path": end.path, "name": LONG + tail},)}
              for tail, end in (("a", up), ("b", down))}
    with Echo(up), Daemon(routes, QUIET) as daemon:
        for _ in range(3):
            assert harness.ask(_Front(f"{place}/b")) == (b"", "end")
        until("one is down", lambda: f"{LONG}b/{LONG}b down" in daemon.status()["verdict"])
        assert f"{LONG}a/{LONG}a down" not in daemon.status()["verdict"]
        assert route(daemon, LONG + "a")["connect_errors"] == 0 and route(daemon, LONG + "b")["connect_errors"] == 3
        assert [one["name"] for one in route(daemon, LONG + "b")["targets"]] == [LONG + "b"]


class _Front:
    def __init__(self, path):
        self.path = path

    def connect(self):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(harness.PATIENCE)
        sock.connect(self.path)
        return sock


@pytest.mark.parametrize("size", (255, 256, 257, 300))
def test_lists_of_many_entries_do_not_wrap(place, size):
    """The last listener and the last target of a list are those."""
    listens = [End("unix", place) for _ in range(size)]
    last = End("unix", place)
    routes = {"r": {"listen": tuple(map(str, listens)), "allow": [f"uid:{i}" for i in range(1, size)] + ["uid:%d" % os.getuid()],
                    "retry": {"attempts": size, "backoff": "1ms"},
                    "target": (*(f"unix://{place}/none{i}" for i in range(size - 1)), str(last))}}
    with Echo(last), Daemon(routes, QUIET) as daemon:
        with listens[-1].client() as wire:
            wire.say(b"through")
            assert wire.hear() == b"through"
            assert daemon.sessions()[0]["target"] == str(last)
        assert len(daemon.ctl("listeners")["listeners"]) == size


def test_places_that_are_lost_at_once_are_found_at_once(place):
    """By one look of the keeper's, which has all of them bound anew: one worker takes the place of another, not one for each few hundred."""
    count = 1200
    paths = [f"{place}/s{i}" for i in range(count)]
    routes = {f"r{i}": {"listen": f"unix://{path}", "target": f"unix://{place}/no-one"} for i, path in enumerate(paths)}
    with Big(routes, {"log": {"to": "stderr", "level": "notice", "sessions": False}}) as daemon:
        until("all listen", lambda: listening(daemon) == count)
        # Not between two of them.
        os.kill(daemon.keeper, signal.SIGSTOP)
        try:
            for path in paths:
                os.unlink(path)
        finally:
            os.kill(daemon.keeper, signal.SIGCONT)
        until("all are back", lambda: all(map(os.path.exists, paths)) and listening(daemon) == count)
        log = daemon.log()
        assert log.count("its file or interface is gone") == count
        assert log.count("a listener that was waiting can be opened now") == 1
