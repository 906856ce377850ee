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


def connect(front, listener):
    client = front.connect()
    server, _ = listener.accept()
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
            self.models[case] = orders.play(case, connect(self.direct_front, self.direct_listener))
        return self.models[case]

    def measured_unix(self, case):
        """What a direct UNIX connection shows."""
        if case not in self.unix_models:
            self.unix_models[case] = orders.play(case, connect(self.unix_front, self.unix_listener))
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
        again = orders.play(case, connect(routes.direct_front, routes.direct_listener))
        assert orders.differences(routes.measured(case), again) is None, case


@pytest.mark.parametrize("order", orders.orders())
@pytest.mark.parametrize("pair", STRICT, ids="-".join)
def test_between_tcp_ends(routes, pair, order):
    wrong = []
    for case in each_variant(order):
        model = routes.measured(case)
        played = orders.play(case, connect(routes.front[pair], routes.listener[pair]), model)
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
        played = orders.play(case, connect(routes.front[pair], routes.listener[pair]), model, rough=True)
        for name, is_tcp in zip(("client", "server"), tcp):
            wanted, got = getattr(model, name), getattr(played, name)
            unix = None if is_tcp else getattr(routes.measured_unix(case), name)
            if orders.reading_differs(wanted, got, unix):
                wrong.append(f"{case}: the {name} read {got}, and {wanted} directly over TCP")
        if len(wrong) >= ENOUGH:
            break
    assert not wrong, "\n".join(["not as a direct connection:", *wrong])


@pytest.mark.parametrize("pair", STRICT, ids="-".join)
@pytest.mark.parametrize("order", [order for order in orders.orders() if "r" not in order])
def test_without_waiting(routes, pair, order):
    """The whole case at once: what was sent before a clean end arrives, and the end is clean."""
    for case in each_variant(order):
        model = routes.measured(case)
        if "E" in str(model.client[1]) + str(model.server[1]):
            continue
        client, server = connect(routes.front[pair], routes.listener[pair])
        sides = {"C": orders.Side(client), "S": orders.Side(server)}
        sent = {"C": 0, "S": 0}
        if any(word[1] == "R" for word in case.split()):
            client.close()
            server.close()
            continue
        for word in case.split():
            if sides[word[0]].is_open and isinstance(result := sides[word[0]].do(word[1]), int):
                sent[word[0]] += result
        for name, other in (("C", "S"), ("S", "C")):
            if sides[name].is_open and f"{other}f" in case:
                sides[name].sock.settimeout(harness.PATIENCE)
                data, ending = harness.read_all(sides[name].sock)
                assert (len(data), ending) == (sent[other], "end"), f"{case}: {name}"
        client.close()
        server.close()
