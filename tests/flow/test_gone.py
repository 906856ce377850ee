# SPDX-License-Identifier: LGPL-2.1-or-later
"""An end that goes while traffic stands still: what the other sees is what a direct connection shows it, and nothing is left of the session.

Which directions are blocked, who goes, and how: every combination over every pair of kinds of ends, see gone.py.
"""

import os
import signal
import tempfile
import threading
import time

import pytest

import gone
import harness
from gone import Kind, Place
from harness import Daemon

STREAMS = [(one, other) for one in ("inet", "inet6", "unix") for other in ("inet", "inet6", "unix")]
MULTIPATH = [("mptcp", "inet"), ("inet", "mptcp"), ("mptcp", "unix")]
FRAMED = [("inet+length16", "unix+length32"), ("unix+length32", "inet6+length16"), ("inet+length16", "inet+length32")]
MESSAGES = [("inet+length16", "unix-seqpacket"), ("unix-seqpacket", "inet+length16"), ("unix-seqpacket", "unix-seqpacket")]
PAIRS = STREAMS + FRAMED + MESSAGES

GONE_WITHIN = 20  # s: the longest that the daemon waits for an end that takes nothing, and some more
SPIN = 0.2        # CPU seconds a second that are too many for a daemon at rest


def name(pair):
    return "-".join(pair).replace("+", "_")


class Routes:
    """One daemon with a route a pair, and a direct connection of each kind beside it."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="gone-")
        self.kinds = {text: Kind(text) for pair in PAIRS + MULTIPATH for text in pair}
        self.front, self.listener, self.models = {}, {}, {}
        routes = {}
        for pair in PAIRS + MULTIPATH:
            if not all(self.kinds[text].is_here for text in pair):
                continue
            back = Place(self.kinds[pair[1]], self.directory)
            self.front[pair] = Place(self.kinds[pair[0]], self.directory)
            self.listener[pair] = back.listen()
            routes[name(pair)] = {"listen": str(self.front[pair]), "target": str(back)}
        self.daemon = Daemon(routes)

    def begin(self, pair, cases=None):
        """The cases of a pair, each with its session, joined and blocked."""
        if pair not in self.front:
            pytest.skip("the kernel here has no such sockets")
        played = gone.cases() if cases is None else cases
        for case in played:
            case.begin([self.kinds[text] for text in pair], self.front[pair], self.listener[pair])
        gone.greet(played)
        gone.block(played)
        return played

    def model(self, kind):
        """What each case shows directly, between two ends of a kind."""
        if kind not in self.models:
            place = Place(Kind(kind), self.directory)
            played = gone.cases()
            with place.listen() as listener:
                for case in played:
                    case.begin([place.kind] * 2, place, listener)
                gone.greet(played)
                gone.block(played)
                gone.play(played)
            self.models[kind] = {str(case): gone.seen(case) for case in played}
            for case in played:
                case.close()
        return self.models[kind]


@pytest.fixture(scope="module")
def routes():
    made = Routes()
    with made.daemon:
        yield made


def sockets(pid):
    return sum(link.startswith("socket:") for link in harness.descriptors(pid).values())


def is_at_rest(routes, pair, before):
    """Nothing is left of what was played, the daemon sleeps, and it serves."""
    daemon = routes.daemon
    harness.until("no session is left", lambda: not daemon.sessions(), GONE_WITHIN)
    harness.until("descriptors are back", lambda: sockets(daemon.worker) <= before)
    worker, used = daemon.worker, harness.cpu_seconds(daemon.worker)
    time.sleep(0.25)
    assert harness.cpu_seconds(worker) - used < SPIN * 0.25 + 0.02, "it uses CPU though it has nothing to do"
    again = [gone.Case("none", "client", "fin-close")]
    again[0].begin([routes.kinds[text] for text in pair], routes.front[pair], routes.listener[pair])
    gone.greet(again)
    again[0].close()
    harness.until("that session ends", lambda: not daemon.sessions())


def direct_kind(text):
    """The kind whose direct connections tell what an end is to see."""
    kind = Kind(text)
    return "unix-seqpacket" if kind.is_message else "unix" if kind.is_unix else "inet"


def check(case, pair, routes):
    """One case, as a direct connection shows it. An end that knows no reset may see the end in its place."""
    stays, goes = (direct_kind(text) for text in (pair if case.who == "target" else pair[::-1]))
    wanted = {routes.model(goes)[str(case)], routes.model(stays)[str(case)]}
    if stays != "inet":
        wanted.add(("end", True) if case.way != "fin" else ("end", False))
    if not case.is_refused():
        wanted |= {(ending, False) for ending, _ in wanted}
    assert gone.seen(case) in wanted, f"{case}: it saw {gone.seen(case)}, and directly {wanted}"
    complete = goes != "inet" or (stays == "inet" and case.stayer.ending == "end") or case.way == "fin" or \
        (case.way == "fin-close" and not case.has_unread())
    if complete:
        assert case.stayer.heard == case.goer.whole(), f"{case}: {case.stayer.heard} of {case.goer.whole()} arrived"


KILLED = [pair for pair in PAIRS if "inet6" not in "".join(pair)] if os.environ.get("SPLICED_GONE_ALL") is None else PAIRS


@pytest.mark.parametrize("pair,killed", [(pair, False) for pair in PAIRS] + [(pair, True) for pair in KILLED],
                         ids=lambda value: name(value) if isinstance(value, tuple) else "killed" if value else "whole")
def test_what_the_other_sees(routes, pair, killed):
    """Also over the death of the worker right then. SPLICED_GONE_ALL: that, too, for every pair."""
    before = sockets(routes.daemon.worker)
    played = routes.begin(pair)
    gone.go(played)
    if killed:
        worker = routes.daemon.worker
        os.kill(worker, signal.SIGKILL)
        routes.daemon.worker_after(worker)
    gone.read_to_the_end(played)
    gone.write_to_nobody(played)
    gone.answer_the_fin(played)
    for case in played:
        check(case, pair, routes)
        case.close()
    is_at_rest(routes, pair, before)


def test_left_alone(routes):
    """The one that stays does nothing at all: what it can know of is over in time, and what it cannot, waits as it would directly."""
    before = sockets(routes.daemon.worker)
    played = {pair: routes.begin(pair) for pair in routes.front}
    for cases in played.values():
        gone.go(cases)
    waiting = {name(pair): sum(not case.is_reset() for case in cases) for pair, cases in played.items()}
    left = {}

    def over():
        routed = [session["route"] for session in routes.daemon.sessions()]
        left.update({route: routed.count(route) for route in waiting})
        return all(left[route] <= waiting[route] for route in waiting)
    harness.until("those that were reset are over", over, GONE_WITHIN)
    for pair in STREAMS:
        assert left[name(pair)] == waiting[name(pair)], f"{pair}: some are over that a direct connection would keep"
    for cases in played.values():
        for case in cases:
            case.close()
    is_at_rest(routes, STREAMS[0], before)


def echo(sock):
    """Answers everything with itself, and has no eyes for anything else."""
    sock.settimeout(harness.PATIENCE * 3)
    try:
        while data := sock.recv(1 << 16):
            sock.sendall(data)
    except OSError:
        pass
    sock.close()


def test_an_echo(routes):
    """Clients send, read nothing, and go: both directions stand still, and the servers wait in a write."""
    before = sockets(routes.daemon.worker)
    played = []
    for pair in routes.front:
        if any(routes.kinds[text].is_message or routes.kinds[text].framing for text in pair):
            continue
        for way in ("reset", "close-unread", "fin-close"):
            client = gone.End(routes.kinds[pair[0]], routes.front[pair].connect())
            server, _ = routes.listener[pair].accept()
            thread = threading.Thread(target=echo, args=(server,), daemon=True)
            thread.start()
            played.append((pair, way, client, thread))
    gone.settle("the clients", lambda: gone.all_of([client for _, _, client, _ in played], gone.End.send))
    for _, way, client, _ in played:
        client.go(way)

    def deaf():
        return [f"{name(pair)} {way}" for pair, way, _, thread in played if thread.is_alive()]
    try:
        harness.until("the servers hear of it", lambda: not deaf(), GONE_WITHIN)
    except AssertionError:
        raise AssertionError(f"they do not hear of it: {deaf()}") from None
    is_at_rest(routes, STREAMS[0], before)
