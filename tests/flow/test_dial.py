# SPDX-License-Identifier: LGPL-2.1-or-later
"""Routes whose front is dialed: connected to by us, kept connected, and tried again for ever."""

import os
import signal
import socket

import pytest

import harness
from harness import Daemon, until
from messages import Echo, End, Wire, route

QUIET = {"log": {"to": "stderr", "level": "warning"}}


def dialed(front, target, **options):
    return {"r": {"dial": str(front), "target": str(target), "retry": {"backoff": "20ms", "max_backoff": "100ms"},
                  **options}}


def accept(listener):
    listener.settimeout(harness.PATIENCE)
    sock, _ = listener.accept()
    sock.settimeout(harness.PATIENCE)
    return sock


def is_alone(listener):
    """Whether nobody else connects."""
    listener.settimeout(0.2)
    try:
        listener.accept()
        return False
    except (TimeoutError, socket.timeout):
        return True


@pytest.mark.parametrize("kind", ("tcp4", "unix", "unix-seqpacket"))
def test_a_front_that_comes_goes_and_returns(place, kind):
    front, back = End(kind, place), End(kind, place)
    with Echo(back), Daemon(dialed(front, back), QUIET) as daemon:
        for turn in range(3):
            with front.server() as listener:
                with Wire(kind, accept(listener)) as wire:
                    wire.say(b"hello %d" % turn)
                    assert wire.hear() == b"hello %d" % turn
                    assert is_alone(listener) and route(daemon, "r")["sessions"]["active"] == 1
        assert route(daemon, "r")["dial"] == [str(front)]


def test_a_target_that_comes_later(place):
    """The front stays connected meanwhile, and what it says waits in the kernel."""
    front, back = End("unix", place), End("unix-dgram", place)
    with front.server() as listener, Daemon(dialed(front.framed, back), QUIET):
        with Wire("unix", accept(listener)) as wire:
            wire.say(b"early")
            with back.server() as server:
                server.settimeout(harness.PATIENCE)
                assert server.recv(100) == b"early"
                assert is_alone(listener)


def test_no_partial_frame_survives_a_reconnect(place):
    front, back = End("tcp4", place), End("unix-seqpacket", place)
    with back.server() as server, front.server() as listener, Daemon(dialed(front.framed, back), QUIET) as daemon:
        with accept(listener) as sock:
            sock.sendall(b"\0\5hello\0\xffpart of a frame")
            with Wire("unix-seqpacket", accept(server)) as first:
                assert first.hear() == b"hello"
                sock.close()
                assert first.hear() is None
        with Wire("tcp4", accept(listener)) as wire:
            with Wire("unix-seqpacket", accept(server)) as second:
                wire.say(b"whole")
                assert second.hear() == b"whole"
        until("the part is counted", lambda: route(daemon, "r")["dropped"] == {"framing": 1})


def test_the_connection_outlives_the_worker(place):
    front, back = End("tcp4", place), End("tcp4", place)
    with Echo(back), front.server() as listener, Daemon(dialed(front, back), QUIET) as daemon:
        with Wire("tcp4", accept(listener)) as wire:
            for turn in range(6):
                wire.say(b"%d" % turn)
                assert wire.hear() == b"%d" % turn
                worker = daemon.worker
                if turn % 2:
                    os.kill(worker, signal.SIGKILL)
                    daemon.worker_after(worker)
                else:
                    daemon.reload()
            assert is_alone(listener)


def test_a_reload_takes_it_away_or_changes_it(place):
    front, back, other = End("unix", place), End("unix", place), End("unix", place)
    with Echo(back), Echo(other), front.server() as listener, Daemon(dialed(front, back), QUIET) as daemon:
        first = accept(listener)
        daemon.reload(dialed(front, other))
        assert first.recv(1) == b""
        with Wire("unix", accept(listener)) as wire:
            wire.say(b"x")
            assert wire.hear() == b"x"
            daemon.reload({})
            assert wire.hear() is None
        assert is_alone(listener)
        first.close()


def test_two_fronts_are_two_sessions(place):
    fronts, back = [End("unix", place), End("unix", place)], End("unix", place)
    routes = dialed("", back)
    routes["r"]["dial"] = tuple(str(front) for front in fronts)
    listeners = [front.server() for front in fronts]
    with Echo(back), Daemon(routes, QUIET) as daemon:
        wires = [Wire("unix", accept(listener)) for listener in listeners]
        for number, wire in enumerate(wires):
            wire.say(b"%d" % number)
            assert wire.hear() == b"%d" % number
        assert route(daemon, "r")["sessions"]["active"] == 2
    for sock in (*wires, *listeners):
        sock.close()
