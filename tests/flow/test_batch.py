# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages of one batch keep their own bytes, whatever happens to the session of another on the way: its target is gone, with replies still to
be read; it says something as soon as it is connected; it is new, or moves to another member of the pool."""

import os
import signal

import pytest

import harness
from harness import Daemon, until
from messages import End, Wire

ONE = {"workers": 1, "log": {"to": "stderr", "level": "info", "sessions": False}}
# Of replies, in bytes: the first passes; those behind it are as large as may be.
SIZES = {"unix-seqpacket": (900, 150000), "tcp4": (900, 64000, 64000, 64000), "unix": (900, 60000)}
MESSAGES = 20
TARGETS = ("unix-seqpacket", "tcp4", "unix")
GREETING = b"G" * 900


def url(end):
    return f"{end}{'&' if '?' in str(end) else '?'}framing=length16" if str(end).split(":")[0] in ("tcp4", "tcp6", "unix") else str(end)


class House:
    def __init__(self, place, target, members=1):
        self.kind = target
        self.front = End("udp4")
        self.backs = [End(target, place) for _ in range(members)]
        self.listeners = [back.server() for back in self.backs]
        for listener in self.listeners:
            listener.settimeout(harness.PATIENCE)

    def routes(self):
        return {"r": {"listen": str(self.front), "target": tuple(url(back) for back in self.backs)}}

    def accept(self, number=0):
        return Wire(self.kind, self.listeners[number].accept()[0])


def texts(name):
    return [b"%s%03d" % (name, number) + name * 700 for number in range(MESSAGES)]


def hear_all(wire, wanted):
    heard = [wire.hear() for _ in wanted]
    assert heard == wanted, [one[:8] for one in heard]


@pytest.mark.parametrize("answered", (False, True), ids=("new", "answered"))
@pytest.mark.parametrize("goes", ("reset", "fin"))
@pytest.mark.parametrize("target", TARGETS)
def test_one_of_the_targets_is_gone(place, target, goes, answered):
    """What it had replied is read while messages of others are in hand."""
    house = House(place, target)
    with Daemon(house.routes(), ONE) as daemon, house.front.client() as a, house.front.client() as b, house.front.client() as c:
        a.say(b"first of a")
        at_a = house.accept()
        b.say(b"first of b")
        at_b = house.accept()
        assert at_b.hear() == b"first of b"
        if goes == "fin":
            assert at_a.hear() == b"first of a"
        if answered:
            at_a.say(b"answer")
            assert a.hear() == b"answer"
        worker = daemon.hold_worker()
        for one, two in zip(texts(b"a"), texts(b"b")):
            a.say(one)
            b.say(two)
        for one in texts(b"c"):
            c.say(one)
        for number, size in enumerate(SIZES[target]):
            at_a.say((b"reply %03d" % number).ljust(size, b"R"))
        at_a.close()  # where something was not read, by a reset
        os.kill(worker, signal.SIGCONT)
        hear_all(at_b, texts(b"b"))
        assert a.hear() == b"reply 000".ljust(SIZES[target][0], b"R")
        # A new client has a session of its own; and so has that of the target that is gone, if some of what he said came after its end.
        c_was_heard = False
        while not c_was_heard:
            with house.accept() as wire:
                heard = [wire.hear()]
                name = heard[0][:1]
                while heard[-1] != texts(name)[-1]:
                    heard.append(wire.hear())
                assert heard == texts(name)[-len(heard):] and name in b"ac"
                c_was_heard = name == b"c"
                assert not c_was_heard or len(heard) == MESSAGES
        at_b.close()


@pytest.mark.parametrize("target", TARGETS)
def test_new_sessions_whose_targets_speak_first(place, target):
    """Whoever connects is greeted at once, while the messages of others wait in the same batch."""
    house = House(place, target)
    with Daemon(house.routes(), ONE) as daemon:
        clients = [house.front.client() for _ in range(MESSAGES)]
        worker = daemon.hold_worker()
        for number, client in enumerate(clients):
            for turn in range(3):
                client.say(b"%03d %d" % (number, turn) + b"x" * 700)
        os.kill(worker, signal.SIGCONT)
        seen = set()
        for _ in clients:
            wire = house.accept()
            wire.say(GREETING)
            first = wire.hear()
            number = int(first[:3])
            seen.add(number)
            assert [first, wire.hear(), wire.hear()] == [b"%03d %d" % (number, turn) + b"x" * 700 for turn in range(3)]
            assert clients[number].hear() == GREETING
            wire.close()
        assert seen == set(range(len(clients)))
        for client in clients:
            client.close()
        until("the sessions have ended", lambda: not daemon.sessions())
