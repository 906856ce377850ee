# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a service manager returns at a restart is damaged: descriptors are lost or exchanged, in their order, in the list that goes with them
or in the ledger. New clients of every listener are served, whether the file is right then or not; sessions go on, but those whose own
descriptors are lost; and no session gets another's bytes."""

import os
import random
import tempfile

import pytest

from cargo import ENTRY, LISTENERS, NUMBER, SESSIONS, entries, load, section, unload
from harness import until
from kept import Kept
from scribbling import MESSAGE, Course

DOES_NOT_MATCH = "does not match the ledger"
NOT_A_FILE = "routes: { r: { listen = "


class Cargo:
    """All that waits."""

    def __init__(self, boat):
        self.messages = unload(boat)
        self.entries = [list(entry) for entry in entries(self.messages)]

    def all_in(self, *sections):
        return [at for at, entry in enumerate(self.entries) if section(entry) in sections]

    def write(self):
        os.pwrite(self.messages[0][1][1], b"".join(ENTRY.pack(*entry) for entry in self.entries), 0)

    def places(self):
        """Of every descriptor the message that it is in, and where there."""
        return [(fds, at) for _, fds in self.messages[1:] for at in range(len(fds))]


def lose(cargo, *sections):
    places = cargo.places()
    for at in reversed(cargo.all_in(*sections)):
        fds, there = places[at]
        os.close(fds.pop(there))


def exchange(cargo, *sections):
    """Each comes in the turn of the one before."""
    places = [cargo.places()[at] for at in cargo.all_in(*sections)]
    moved = [fds[there] for fds, there in places]
    for (fds, there), fd in zip(places, moved[1:] + moved[:1]):
        fds[there] = fd


def renumber(cargo, *sections):
    """Each has the number of the one before in the list."""
    found = cargo.all_in(*sections)
    numbers = [cargo.entries[at][NUMBER] for at in found]
    for at, number in zip(found, numbers[1:] + numbers[:1]):
        cargo.entries[at][NUMBER] = number
    cargo.write()


def double(cargo, *sections):
    """All of the first section have the number of one of the last."""
    number = cargo.entries[cargo.all_in(sections[-1])[0]][NUMBER]
    for at in cargo.all_in(sections[0]):
        cargo.entries[at][NUMBER] = number
    cargo.write()


# What is done, to which sections; whether the sessions of clients go on.
DAMAGES = (
    (lose, (LISTENERS,), True),
    (lose, (LISTENERS, SESSIONS), False),
    (exchange, (LISTENERS,), True),
    (exchange, (LISTENERS, SESSIONS), True),
    (renumber, (LISTENERS,), True),
    (renumber, (LISTENERS, SESSIONS), False),
    (double, (LISTENERS, SESSIONS), True),
    (double, (SESSIONS, LISTENERS), False),
)


@pytest.fixture(scope="module")
def running():
    with tempfile.TemporaryDirectory(prefix="cargo-") as directory:
        os.chmod(directory, 0o755)
        with Course(directory, random.Random(1)) as course, Kept(course.routes) as daemon:
            yield daemon, course


def answered(course, name):
    """How many of a route's clients are answered, with their own bytes."""
    alive = 0
    for client in course.clients[name]:
        client.sock.settimeout(1)
        try:
            client.say(MESSAGE)
            heard = client.hear()
        except OSError:
            continue
        assert heard in (MESSAGE, b""), heard
        alive += heard == MESSAGE
    return alive


def is_served(daemon, course):
    try:
        course.serve()
        return True
    except AssertionError:
        assert daemon.process.poll() is None, daemon.log()
        return False


@pytest.mark.parametrize("wrong", (False, True), ids=("right", "wrong"))
@pytest.mark.parametrize("damage", range(len(DAMAGES)), ids=[f"{do.__name__}-{len(where)}-{goes_on}" for do, where, goes_on in DAMAGES])
def test_all_listeners_serve(running, damage, wrong):
    daemon, course = running
    do, where, goes_on = DAMAGES[damage]
    for client in [client for clients in course.clients.values() for client in clients]:
        client.close()
    course.clients.clear()
    course.serve()
    daemon.leave()
    cargo = Cargo(daemon.store.take())
    do(cargo, *where)
    if wrong:
        daemon.write(text=NOT_A_FILE)
    before = daemon.log().count(DOES_NOT_MATCH)
    daemon.boat = load(cargo.messages)
    try:
        daemon.start()
    finally:
        os.close(daemon.boat)
        daemon.boat = None
    assert (daemon.log().count(DOES_NOT_MATCH) > before) == (do is not exchange)
    alive = {name: answered(course, name) for name in course.fronts}
    until("new clients are served", lambda: is_served(daemon, course))
    if goes_on:
        # What a client without a connection says is lost while nobody listens.
        assert all(count == 1 for name, count in alive.items() if not course.fronts[name].is_datagram), alive
    if wrong:
        daemon.write()
        daemon.ctl("reload")
        assert not daemon.status()["reload"]["error"]
