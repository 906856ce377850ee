# SPDX-License-Identifier: LGPL-2.1-or-later
"""FIN as FIN, RST as RST, in every order, as a direct connection in the same run shows them."""

import os
import tempfile

import pytest

import harness
import orders
from harness import Daemon, Endpoint

# Between TCP ends all is compared, after every step. Where an end is UNIX: what each side reads, and how it ends.
STRICT = [("inet", "inet"), ("inet6", "inet6"), ("inet", "inet6")]
ROUGH = [("inet", "unix"), ("unix", "inet"), ("unix", "unix")]

EVERY = int(os.environ.get("SPLICED_ORDERS_EVERY", "1"))  # play only each n-th variant, on a slow machine

ENOUGH = 6  # differences shown of one order


def connect(front, listener, case=""):
    """A pair of ends. Where the server acts first they exchange a byte before: a target that resets before the relay
    has seen its connect() succeed is another story (see tests/fault)."""
    client = front.connect()
    server, _ = listener.accept()
    if case.startswith("S"):
        for one, other in ((client, server), (server, client)):
            other.settimeout(harness.PATIENCE)
            one.sendall(b"!")
            assert other.recv(1) == b"!"
    return client, server


class Routes:
    """One daemon with a route a pair of families, and a direct connection of each family beside it."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="orders-")
        self.front, self.listener, self.direct = {}, {}, {}
        self.models, self.unix_models = {}, {}
        routes = {}
        for number, pair in enumerate(STRICT + ROUGH):
            back = Endpoint(pair[1], self.directory)
            self.front[pair] = Endpoint(pair[0], self.directory)
            self.listener[pair] = back.listen()
            routes[f"r{number}"] = {"listen": self.front[pair], "target": back}
        self.direct_front = Endpoint("inet", self.directory)
        self.direct_listener = self.direct_front.listen()
        self.unix_front = Endpoint("unix", self.directory)
        self.unix_listener = self.unix_front.listen()
        self.daemon = Daemon(routes)

    def measured(self, case):
        """What a direct TCP connection shows."""
        if case not in self.models:
            self.models[case] = orders.play(case, connect(self.direct_front, self.direct_listener, case))
        return self.models[case]

    def measured_unix(self, case):
        """What a direct UNIX connection shows."""
        if case not in self.unix_models:
            self.unix_models[case] = orders.play(case, connect(self.unix_front, self.unix_listener, case))
        return self.unix_models[case]


@pytest.fixture(scope="module")
def routes():
    made = Routes()
    with made.daemon:
        yield made


def each_variant(order):
    return orders.variants(order)[::EVERY]


def test_the_direct_connection_is_deterministic(routes):
    """What everything else is compared with must be the same each time."""
    for order in orders.orders():
        case = orders.variants(order)[-1]
        again = orders.play(case, connect(routes.direct_front, routes.direct_listener, case))
        assert orders.differences(routes.measured(case), again) is None, case


@pytest.mark.parametrize("order", orders.orders())
@pytest.mark.parametrize("pair", STRICT, ids="-".join)
def test_between_tcp_ends(routes, pair, order):
    wrong = []
    for case in each_variant(order):
        model = routes.measured(case)
        played = orders.play(case, connect(routes.front[pair], routes.listener[pair], case), model)
        difference = orders.differences(model, played)
        if difference:
            wrong.append(f"{case}: {difference}")
        if len(wrong) == ENOUGH:
            break
    assert not wrong, "\n".join(["not as a direct connection:", *wrong])


@pytest.mark.parametrize("order", orders.orders())
@pytest.mark.parametrize("pair", ROUGH, ids="-".join)
def test_with_a_unix_end(routes, pair, order):
    tcp = [family != "unix" for family in pair]
    wrong = []
    for case in each_variant(order):
        model = routes.measured(orders.for_families(case, *tcp))
        played = orders.play(case, connect(routes.front[pair], routes.listener[pair], case), model, rough=True)
        for name, is_tcp in zip(("client", "server"), tcp):
            wanted, got = getattr(model, name), getattr(played, name)
            unix = None if is_tcp else getattr(routes.measured_unix(case), name)
            if orders.reading_differs(wanted, got, unix):
                wrong.append(f"{case}: the {name} read {got}, and {wanted} directly over TCP")
        if len(wrong) >= ENOUGH:
            break
    assert not wrong, "\n".join(["not as a direct connection:", *wrong])


def clean(case):
    """Whether nobody resets, by close() on unread data either."""
    return "R" not in case and not any(f"{end}c" in case and f"{other}d" in case for end, other in ("CS", "SC"))


@pytest.mark.parametrize("pair", STRICT + ROUGH, ids="-".join)
def test_without_waiting(routes, pair):
    """A whole case at once: what was sent before a clean end arrives, and the end is clean."""
    cases = [case for order in orders.orders() if "r" not in order for case in each_variant(order) if clean(case)]
    assert len(cases) > 5
    for case in cases:
        client, server = connect(routes.front[pair], routes.listener[pair], case)
        sides = {"C": orders.Side(client), "S": orders.Side(server)}
        sent = {"C": 0, "S": 0}
        for word in case.split():
            result = sides[word[0]].do(word[1]) if sides[word[0]].is_open else None
            sent[word[0]] += result if isinstance(result, int) else 0
        for name, other in (("C", "S"), ("S", "C")):
            if sides[name].is_open and f"{other}f" in case:
                sides[name].sock.settimeout(harness.PATIENCE)
                data, ending = harness.read_all(sides[name].sock)
                assert (len(data), ending) == (sent[other], "end"), f"{case}: {name}"
        client.close()
        server.close()
