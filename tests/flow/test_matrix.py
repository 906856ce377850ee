# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every stream family to every other: all bytes, in order, both ways, whatever the size and whoever ends."""

import tempfile

import pytest

from harness import Daemon, Endpoint, Serve, peers_run

FAMILIES = ("inet", "inet6", "unix")
PAIRS = [(front, back) for front in FAMILIES for back in FAMILIES]
SIZES = (0, 1, 65535, 65536, 65537, 5 << 20)


class Matrix:
    """One daemon, a route a pair; one server, an address a family, and one that speaks first."""

    def __init__(self):
        directory = tempfile.mkdtemp(prefix="matrix-")
        self.back = {family: Endpoint(family, directory) for family in FAMILIES}
        self.greeting_back = {family: Endpoint(family, directory) for family in FAMILIES}
        self.front = {pair: Endpoint(pair[0], directory) for pair in PAIRS}
        self.greeting_front = {pair: Endpoint(pair[0], directory) for pair in PAIRS}
        routes = {}
        for pair in PAIRS:
            name = "-".join(pair)
            routes[name] = {"listen": self.front[pair], "target": self.back[pair[1]]}
            routes[name + "-greeting"] = {"listen": self.greeting_front[pair], "target": self.greeting_back[pair[1]]}
        self.daemon = Daemon(routes)
        self.server = Serve(*self.back.values(), *(f"greet+{end}" for end in self.greeting_back.values()))


@pytest.fixture(scope="module")
def matrix():
    made = Matrix()
    with made.server, made.daemon:
        yield made
    assert made.server.count["ok"] > 0
    assert sum(made.server.count[bad] for bad in ("lost", "reset", "corrupt", "timeout", "local")) == 0


def all_ok(*words):
    count, status = peers_run("swarm", *words)
    assert status == 0 and count["ok"] == count["sessions"] > 0, count


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
@pytest.mark.parametrize("ending", ("client", "server", "half"))
def test_sizes(matrix, pair, ending):
    for size in SIZES:
        all_ok("--to", matrix.front[pair], "--request", size, "--reply", size, "--ending", ending,
               "--sessions", 3, "--parallel", 3)


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_many_at_once(matrix, pair):
    all_ok("--to", matrix.front[pair], "--to", f"greet+{matrix.greeting_front[pair]}",
           "--sessions", 400, "--parallel", 64)


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_both_directions_at_once(matrix, pair):
    result, status = peers_run("transfer", "--to", matrix.front[pair], "--bytes", "16M")
    assert status == 0, result


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_200000_bytes_after_a_half_close(matrix, pair):
    """What other relays cut: the client says FIN first, then the reply comes."""
    all_ok("--to", matrix.front[pair], "--request", 100, "--reply", 200000, "--ending", "half",
           "--sessions", 50, "--parallel", 10)


def test_counters_tell_it(matrix):
    """Sessions and bytes of a route grow by what passed."""
    def route():
        return next(one for one in matrix.daemon.ctl("routes")["routes"] if one["name"] == "inet-unix")

    before = route()
    all_ok("--to", matrix.front["inet", "unix"], "--request", 5000, "--reply", 7000, "--ending", "half",
           "--sessions", 10, "--parallel", 2)
    after = route()
    assert after["sessions"]["total"] == before["sessions"]["total"] + 10
    assert after["bytes"]["to_target"] - before["bytes"]["to_target"] >= 10 * 5000
    assert after["bytes"]["from_target"] - before["bytes"]["from_target"] >= 10 * 7000
