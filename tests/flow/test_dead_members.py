# SPDX-License-Identifier: LGPL-2.1-or-later
"""Members of a pool that are dead: refused and absent ones count as a connect that failed, and sessions of messages go on to another, with what
their client said first. Silence moves nobody."""

import contextlib
import os
import select

import pytest

import harness
from harness import Daemon, holds, until
from messages import LARGEST, MESSAGES, Echo, End, route

SETTINGS = {"workers": 2, "log": {"to": "stderr", "level": "warning"}}
FRONTS = ("udp4", "unix-dgram", "unix-seqpacket", "tcp4")
STILL = 0.3
FAILURES = 3  # after so many a member is down
KEPT_BYTES = 2048


@pytest.fixture(name="place")
def of_our_own(tmp_path):
    return str(tmp_path)


@pytest.fixture(autouse=True)
def with_ipv6(request):
    kinds = request.node.callspec.params.values() if hasattr(request.node, "callspec") else ()
    if "udp6" in kinds and not harness.has_ipv6():
        pytest.skip("no IPv6 here")


class Silent:
    """A member that is there, and says nothing."""

    def __init__(self, end):
        self.end = end
        self.sock = end.server()
        self.accepted = []
        self.got = []

    def has(self):
        socks = [self.sock, *self.accepted]
        for sock in select.select(socks, [], [], 0)[0]:
            if sock is self.sock and not self.end.is_datagram:
                self.accepted.append(sock.accept()[0])
            else:
                self.got.append(sock.recv(1 << 17))
        return self.got

    def gets(self, *messages):
        until(f"it has {messages}, not {self.got}", lambda: self.has() == list(messages))

    def dies(self):
        """With a message that it has not read, so that who is connected to it sees no good end."""
        for sock in (*self.accepted, self.sock):
            sock.close()


def pool(front, *members, **options):
    return {"r": {"listen": front.framed, "target": tuple(str(member) for member in members), **options}}


def member(daemon, number):
    return route(daemon, "r")["targets"][number]


def asked(client, message):
    client.say(message)
    assert client.hear() == message


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("kind", MESSAGES)
def test_the_first_message_of_a_session_finds_who_lives(place, kind, front):
    """Whoever is asked first; and who repeats from the same socket is not sent back. The dead ones are known as such soon, and passed over."""
    front, ends = End(front, place), [End(kind, place) for _ in range(3)]
    with Echo(ends[1]), Daemon(pool(front, *ends), SETTINGS) as daemon, contextlib.ExitStack() as stack:
        for number in range(12):
            client = stack.enter_context(front.client())
            for part in range(3):
                asked(client, b"%d of %d" % (part, number))
        assert member(daemon, 1)["state"] == "up" and member(daemon, 1)["failures"] == 0
        assert all(member(daemon, dead)["state"] == "down" for dead in (0, 2))
        told = route(daemon, "r")
        assert told["messages"] == {"to_target": 36, "from_target": 36} and told["sessions"]["total"] == 12
        assert told["connect_errors"] >= 2 * FAILURES and not any(told["dropped"].values()) and not told["unkept"]


@pytest.mark.parametrize("kind", MESSAGES)
def test_silence_moves_nobody(place, kind):
    front, ends = End("udp4"), [End(kind, place) for _ in range(2)]
    silent = Silent(ends[0])
    with Echo(ends[1]) as other, Daemon(pool(front, *ends), SETTINGS) as daemon, front.client() as client:
        client.say(b"one")
        silent.gets(b"one")
        daemon.reload()
        os.kill(daemon.worker, 9)
        client.say(b"two")
        silent.gets(b"one", b"two")
        holds("the other hears nothing", lambda: not other.asked, STILL)
        assert member(daemon, 0)["failures"] == 0
    silent.dies()


@pytest.mark.parametrize("kind", MESSAGES)
def test_what_was_said_before_a_reload_and_a_kill_is_said_again(place, kind):
    """The member took the first message, and died before it answered."""
    front, ends = End("udp4"), [End(kind, place) for _ in range(2)]
    silent = Silent(ends[0])
    with Daemon(pool(front, *ends), SETTINGS) as daemon, front.client() as client:
        client.say(b"first")
        silent.gets(b"first")
        daemon.reload()
        os.kill(daemon.worker, 9)
        until("an heir has it", lambda: route(daemon, "r")["sessions"]["active"] == 1)
        other = Silent(ends[1])
        client.say(b"second")
        until("it is on its way", lambda: route(daemon, "r")["messages"]["to_target"] == 2)
        silent.dies()
        client.say(b"third")
        until("it is told the first again", lambda: b"first" in other.has())
        client.say(b"fourth")
        until("and goes on there", lambda: b"fourth" in other.has())
        assert other.got[0] == b"first" and other.got.count(b"first") == 1
    other.dies()


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_session_that_was_answered_leaves_a_member_that_died(place, kind):
    front, ends = End("udp4"), [End(kind, place) for _ in range(2)]
    with Echo(ends[1]) as other, Daemon(pool(front, *ends), SETTINGS) as daemon, front.client() as client:
        with Echo(ends[0]):
            asked(client, b"to the first")
            assert not other.asked
        client.sock.settimeout(0.1)

        def answered():
            client.say(b"is anybody there?")
            with contextlib.suppress(TimeoutError):
                return client.hear()
        assert until("the other answers", answered) == b"is anybody there?"
        client.sock.settimeout(harness.PATIENCE)
        for number in range(5):
            asked(client, b"still %d" % number)
        assert member(daemon, 1)["failures"] == 0


@pytest.mark.parametrize("kind", ("udp4", "unix-dgram"))
def test_a_message_that_is_too_long_to_be_kept_is_counted(place, kind):
    front, ends = End("udp4"), [End(kind, place) for _ in range(2)]
    silent = Silent(ends[0])
    with Echo(ends[1]), Daemon(pool(front, *ends), SETTINGS) as daemon, contextlib.ExitStack() as stack:
        long, fits = bytes(KEPT_BYTES + 1), bytes(KEPT_BYTES)
        client = stack.enter_context(front.client())
        client.say(long)
        silent.gets(long)
        assert route(daemon, "r")["unkept"] == 1
        for _ in range(2):
            fitting = stack.enter_context(front.client())
            fitting.say(fits)
        silent.gets(long, fits)
        assert route(daemon, "r")["unkept"] == 1
        silent.dies()
        until("the kept one is told", lambda: client.say(b"again") or fitting.say(b"again") or route(daemon, "r")["messages"]["from_target"] > 2)


@pytest.mark.parametrize("kind", ("udp4", "udp6"))
def test_all_are_dead(kind):
    """Each is asked once for each message at most, and nothing goes round by itself."""
    front, ends = End("udp4"), [End(kind) for _ in range(3)]
    with Daemon(pool(front, *ends), SETTINGS) as daemon, front.client() as client:
        for number in range(1, 6):
            client.say(b"anybody?")
            until("it is dropped", lambda: route(daemon, "r")["dropped"].get("unreachable", 0) >= number)
            holds("each is asked once", lambda: route(daemon, "r")["connect_errors"] <= number * len(ends), STILL / 3)
        assert all(member(daemon, one)["failures"] for one in range(3))
        with Echo(ends[2]):
            client.sock.settimeout(0.2)
            until("who comes back is found", lambda: client.say(b"and now?") or heard(client))


def test_a_collector_that_never_answers_is_up_again_when_no_error_comes():
    front, end = End("udp4"), End("udp4")
    with Daemon(pool(front, end), SETTINGS) as daemon, front.client() as client:
        for number in range(1, FAILURES):
            client.say(b"nobody hears this")
            until("that is told", lambda: member(daemon, 0)["failures"] == number)
        silent = Silent(end)
        until("it is up", lambda: client.say(b"but this") or not member(daemon, 0)["failures"])
        assert silent.has()
    silent.dies()


def heard(client):
    with contextlib.suppress(TimeoutError):
        return client.hear()
    return None
