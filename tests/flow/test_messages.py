# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every kind of socket that carries messages to and from every other, streams by framing: edges, order, both ways."""

import os
import tempfile

import pytest

from harness import Daemon, has_ipv6, until
from messages import KINDS, LARGEST, MESSAGES, STREAMS, Echo, End, route

PAIRS = [(front, back) for front in KINDS for back in KINDS if front in MESSAGES or back in MESSAGES]
SIZES = (0, 1, 1000, 0, 60000, 65000)
BURST = 8  # a UNIX datagram socket's queue has 10 places, net.unix.max_dgram_qlen


class Messages:
    """One daemon, a route a pair; an echo server a kind."""

    def __init__(self):
        directory = tempfile.mkdtemp(prefix="messages-")
        os.chmod(directory, 0o755)
        self.back = {kind: End(kind, directory) for kind in KINDS}
        self.front = {pair: End(pair[0], directory) for pair in PAIRS}
        routes = {name(pair): {"listen": self.front[pair].framed, "target": self.back[pair[1]].framed}
                  for pair in PAIRS}
        self.daemon = Daemon(routes, {"log": {"to": "stderr", "level": "warning"}})
        self.echoes = [Echo(end) for end in self.back.values()]


def name(pair):
    return "-to-".join(pair)


@pytest.fixture(scope="module")
def messages():
    if not has_ipv6():
        pytest.skip("no IPv6 here")
    made = Messages()
    for echo in made.echoes:
        echo.__enter__()
    with made.daemon:
        yield made
    for echo in made.echoes:
        echo.__exit__()


def both_fit(pair, size):
    return all(size <= LARGEST.get(kind, 65000) for kind in pair)


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_messages_come_back_as_they_were(messages, pair):
    """Sizes up to what both ends take, the empty ones too, one after the other and several at once."""
    said = [os.urandom(size) for size in SIZES if both_fit(pair, size)]
    with messages.front[pair].client() as client:
        for data in said:
            client.say(data)
            assert client.hear() == data
        for number in range(BURST):
            client.say(b"%d" % number)
        assert [client.hear() for _ in range(BURST)] == [b"%d" % number for number in range(BURST)]
        # A batch is counted when it has been sent: it may have been heard by then.
        until("all are counted", lambda: route(messages.daemon, name(pair))["messages"] ==
              {"to_target": len(said) + BURST, "from_target": len(said) + BURST})
    counts = route(messages.daemon, name(pair))
    assert not counts["dropped"], counts


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair[0] in STREAMS or pair[0] == "unix-seqpacket"],
                         ids="-".join)
def test_a_client_that_leaves_ends_its_session(messages, pair):
    if pair[1] in ("udp4", "udp6", "unix-dgram") and pair[0] in ("tcp4", "tcp6"):
        pytest.skip("such a session ends 2 seconds later: test_half_closed.py")
    before = route(messages.daemon, name(pair))["sessions"]["active"]
    with messages.front[pair].client() as client:
        client.say(b"hello")
        assert client.hear() == b"hello"
    until("the session has ended", lambda: route(messages.daemon, name(pair))["sessions"]["active"] == before)
