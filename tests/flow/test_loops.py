# SPDX-License-Identifier: LGPL-2.1-or-later
"""Routes whose targets lead back to them, in ways that no text shows: the client hears of it, and nothing goes round. Chains that leave
are as good as any other."""

import os
import shutil
import signal
import socket
import subprocess

import pytest

import harness
from harness import Daemon, free_port, holds, until
from messages import Echo, End, route
from namespace import Namespace, ip

QUIET = {"log": {"to": "stderr", "level": "warning"}}
OWN = "10.98.7.6"  # an interface's address, in a namespace of its own
REQUESTS = 3
STILL = 0.3        # s for which nothing more may happen
LATE = 32          # most times round that a race between accept(2) and connect(2) may cost a request of TCP


@pytest.fixture(name="namespace")
def of_our_own():
    if os.geteuid() != 0:
        pytest.skip("a namespace takes root")
    with Namespace():
        ip("addr", "add", OWN + "/32", "dev", "lo")
        yield


# ---- ways for a target to say a port of this machine, or a name of a socket ----

class Way:
    """listen(number) and target(number) are the two sides of one address."""

    kind = "tcp4"

    def __init__(self, place):
        self.place = place
        self.ports = {}

    def port(self, number):
        return self.ports.setdefault(number, free_port())

    def listen(self, number):
        return f"{self.kind}://:{self.port(number)}"

    def target(self, number):
        return f"{self.kind}://{OWN}:{self.port(number)}"

    def prepare(self, count):
        """After the ports are known, before the daemon starts."""

    def front(self, number=0):
        """What a client connects to."""
        return (socket.AF_INET, ("127.0.0.1", self.port(number)))


class ByInterface(Way):
    pass


class ByName(Way):
    def target(self, number):
        return f"{self.kind}://localhost:{self.port(number)}"


class BySix(Way):
    """An IPv6 listener that takes IPv4 too."""

    def listen(self, number):
        return f"tcp6://[::]:{self.port(number)}?v6only=false"


class ByRedirect(Way):
    """Packets are turned round on their way: the target's own port says nothing."""

    def target(self, number):
        return f"{self.kind}://192.0.2.1:{self.port(('from', number))}"

    def prepare(self, count):
        if not shutil.which("nft"):
            pytest.skip("no nft")
        ip("route", "add", "192.0.2.0/24", "dev", "lo")
        protocol = "udp" if self.kind.startswith("udp") else "tcp"
        rules = "".join(f"{protocol} dport {self.port(('from', i))} redirect to :{self.port(i)}\n" for i in range(count))
        text = "table ip loops {\nchain out {\ntype nat hook output priority -100;\n" + rules + "}\n}\n"
        done = subprocess.run(["nft", "-f", "-"], input=text, text=True, capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"no nft redirect here: {done.stderr.splitlines()[0]}")


class Unix(Way):
    """By a symbolic link."""

    kind = "unix"

    def listen(self, number):
        return f"{self.kind}://{self.place}/{number}.sock"

    def target(self, number):
        link = f"{self.place}/{number}.link"
        if not os.path.islink(link):
            os.symlink(f"{self.place}/{number}.sock", link)
        return f"{self.kind}://{link}"

    def front(self, number=0):
        return (socket.AF_UNIX, f"{self.place}/{number}.sock")


class Seqpacket(Unix):
    kind = "unix-seqpacket"


STREAM_WAYS = [ByInterface, ByName, BySix, ByRedirect, Unix]


def cycle(way, length):
    """Routes r0 -> r1 -> … -> r0."""
    routes = {f"r{i}": {"listen": way.listen(i), "target": way.target((i + 1) % length)} for i in range(length)}
    way.prepare(length)
    return routes


# ---- what the daemon has to say ----

def loops(daemon):
    """Refused fronts of all routes."""
    return sum(one["count"] for one in daemon.status()["refused"] if one["reason"] == "loop")


def told(daemon, names):
    return [one for one in daemon.ctl("routes")["routes"] if one["name"] in names]


def dropped(daemon, names):
    return sum(one["dropped"].get("loop", 0) for one in told(daemon, names))


def total(daemon, names):
    return sum(one["sessions"]["total"] for one in told(daemon, names))


def active(daemon, names):
    return sum(one["sessions"]["active"] for one in told(daemon, names))


def is_at_rest(daemon, names):
    return not active(daemon, names)


def hears_the_end(way, data=b"hello", kind=socket.SOCK_STREAM, number=0):
    """A client that speaks: how its connection ended."""
    family, address = way.front(number)
    with socket.socket(family, kind) as client:
        client.settimeout(harness.PATIENCE)
        try:
            client.connect(address)
            client.sendall(data)
            return harness.read_all(client)
        except (ConnectionResetError, BrokenPipeError):
            return b"", "ECONNRESET"


def stays(daemon, names):
    """Nothing goes round by itself."""
    before = total(daemon, names)
    holds("no session is begun by nobody", lambda: total(daemon, names) == before, STILL)


# ---- streams ----

@pytest.mark.parametrize("length", (1, 2, 7))
@pytest.mark.parametrize("kind", STREAM_WAYS)
def test_a_loop_of_streams_is_refused(namespace, place, kind, length):
    way = kind(place)
    routes = cycle(way, length)
    with Daemon(routes, QUIET) as daemon:
        for request in range(1, REQUESTS + 1):
            data, end = hears_the_end(way)
            assert data == b"" and (end == "ECONNRESET" or kind is Unix)
            until("all of it has ended", lambda: is_at_rest(daemon, routes))
            assert loops(daemon) == request
            assert request * length <= total(daemon, routes) <= request * (length + (0 if kind is Unix else LATE))
        stays(daemon, routes)
        lines = [line.split(":")[1] for line in daemon.log().splitlines() if "a loop" in line]
        assert lines and len(lines) == len(set(lines)), "it is said once of a route"


@pytest.mark.parametrize("length", (1, 2))
def test_a_loop_of_seqpackets_is_refused(place, length):
    way = Seqpacket(place)
    routes = cycle(way, length)
    with Daemon(routes, QUIET) as daemon:
        for request in range(1, REQUESTS + 1):
            assert hears_the_end(way, kind=socket.SOCK_SEQPACKET)[0] == b""
            until("all of it has ended", lambda: is_at_rest(daemon, routes))
            assert (loops(daemon), total(daemon, routes)) == (request, request * length)
        stays(daemon, routes)


def test_a_loop_of_several_families_is_refused(namespace, place):
    """TCP to UNIX to seqpacket, framed, and back: what comes between does not hide it, and the client is reset."""
    port = free_port()
    ends = [f"{place}/a.sock", f"{place}/b.sock"]
    for path in ends:
        os.symlink(path, path + ".link")
    routes = {"tcp": {"listen": f"tcp4://:{port}", "target": f"unix://{ends[0]}.link"},
              "unix": {"listen": f"unix://{ends[0]}?framing=line", "target": f"unix-seqpacket://{ends[1]}.link"},
              "seq": {"listen": f"unix-seqpacket://{ends[1]}", "target": f"tcp4://{OWN}:{port}?framing=line"}}
    way = ByInterface(place)
    way.ports[0] = port
    with Daemon(routes, QUIET) as daemon:
        assert hears_the_end(way, b"hello\n") == (b"", "ECONNRESET")
        until("all of it has ended", lambda: is_at_rest(daemon, routes))
        assert loops(daemon) == 1 and 3 <= total(daemon, routes) <= 3 + LATE


@pytest.mark.parametrize("tail, length", ((1, 1), (1, 2), (3, 1), (2, 5)))
def test_a_loop_that_does_not_lead_back_to_its_beginning_ends_too(namespace, place, tail, length):
    """t0 -> … -> r0 -> r1 -> … -> r0: within three times as many sessions as there are routes."""
    way = ByInterface(place)
    routes = cycle(way, length)
    for i in range(tail):
        routes[f"t{i}"] = {"listen": way.listen(("t", i)), "target": way.target(("t", i + 1) if i + 1 < tail else 0)}
    with Daemon(routes, QUIET) as daemon:
        assert hears_the_end(way, number=("t", 0)) == (b"", "ECONNRESET")
        until("all of it has ended", lambda: is_at_rest(daemon, routes))
        assert loops(daemon) == 1
        assert tail + length <= total(daemon, routes) <= 3 * (tail + length) + LATE
        stays(daemon, routes)


@pytest.mark.parametrize("kind", STREAM_WAYS)
def test_a_client_that_leaves_at_once_keeps_nothing_going(namespace, place, kind):
    """Its session may have ended before the connection that it made is accepted."""
    way = kind(place)
    routes = cycle(way, 2)
    family, address = way.front()
    with Daemon(routes, QUIET) as daemon:
        for how in (harness.reset, socket.socket.close):
            for _ in range(20):
                client = socket.socket(family, socket.SOCK_STREAM)
                try:
                    client.connect(address)
                except ConnectionResetError:
                    continue  # refused before connect(2) came back
                if family != socket.AF_UNIX or how is socket.socket.close:
                    how(client)
                client.close()
        until("all of it has ended", lambda: is_at_rest(daemon, routes))
        assert total(daemon, routes) <= 40 * (2 + LATE)
        stays(daemon, routes)


@pytest.mark.parametrize("kind", [ByInterface, Unix])
def test_many_at_once_go_round_once(namespace, place, kind):
    """All threads at it: a session may be accepted before it is known to be ours, and goes round once more."""
    way = kind(place)
    routes = cycle(way, 2)
    family, address = way.front()
    with Daemon(routes, {**QUIET, "workers": 4}) as daemon:
        clients = []
        for _ in range(200):
            clients.append(socket.socket(family, socket.SOCK_STREAM))
            clients[-1].settimeout(harness.PATIENCE)
            try:
                clients[-1].connect(address)
            except ConnectionResetError:
                clients.pop().close()  # refused before connect(2) came back
        for client in clients:
            assert harness.read_all(client)[0] == b""
            client.close()
        until("all of it has ended", lambda: is_at_rest(daemon, routes))
        assert loops(daemon) == 200 and total(daemon, routes) <= 200 * (2 + LATE)


# ---- chains that leave ----

@pytest.mark.parametrize("depth", (2, 30))
@pytest.mark.parametrize("kind", STREAM_WAYS)
def test_a_chain_that_leaves_is_legal(namespace, place, kind, depth):
    way, back = kind(place), End("tcp4")
    routes = {f"r{i}": {"listen": way.listen(i), "target": way.target(i + 1) if i + 1 < depth else str(back)} for i in range(depth)}
    way.prepare(depth)
    family, address = way.front()
    with Echo(back), Daemon(routes, QUIET) as daemon:
        for _ in range(REQUESTS):
            with socket.socket(family, socket.SOCK_STREAM) as client:
                client.settimeout(harness.PATIENCE)
                client.connect(address)
                wire = back.wire(client)
                wire.say(b"there and back")
                assert wire.hear() == b"there and back"
        until("all of it has ended", lambda: is_at_rest(daemon, routes))
        assert loops(daemon) == 0 and total(daemon, routes) == depth * REQUESTS


def test_two_routes_may_have_one_target(namespace, place):
    """A diamond: it is met twice, but never by one chain."""
    way, back = ByInterface(place), End("tcp4")
    routes = {"top": {"listen": way.listen(0), "target": (way.target(1), way.target(2))},
              "left": {"listen": way.listen(1), "target": way.target(3)},
              "right": {"listen": way.listen(2), "target": way.target(3)},
              "bottom": {"listen": way.listen(3), "target": str(back)}}
    with Echo(back), Daemon(routes, QUIET) as daemon:
        for _ in range(2 * REQUESTS):
            with back.wire(socket.create_connection(way.front()[1])) as wire:
                wire.say(b"x")
                assert wire.hear() == b"x"
        assert loops(daemon) == 0


def test_a_stranger_with_the_port_of_a_socket_of_ours_is_no_loop(namespace, place):
    """There is one local port: it serves the connection of ours to elsewhere, and a client's to our listener."""
    way = ByInterface(place)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other, socket.socket() as first:
        routes = {"r": {"listen": way.listen(0), "target": tuple(f"tcp4://127.0.0.1:{end.getsockname()[1]}" for end in (one, other))}}
        first.bind(("127.0.0.1", free_port()))
        only = free_port()
        with open("/proc/sys/net/ipv4/ip_local_port_range", "w", encoding="ascii") as file:
            file.write(f"{only} {only}")
        with Daemon(routes, QUIET) as daemon:
            first.connect(way.front()[1])
            accepted, ours = one.accept()
            with socket.create_connection(way.front()[1], harness.PATIENCE) as second:
                assert second.getsockname() == ours, "the port is not shared"
                other.settimeout(harness.PATIENCE)
                again, _ = other.accept()
                second.sendall(b"hello")
                assert again.recv(5, socket.MSG_WAITALL) == b"hello"
                again.close()
            first.sendall(b"hello")
            assert accepted.recv(5, socket.MSG_WAITALL) == b"hello"
            accepted.close()
            assert loops(daemon) == 0


# ---- over a change ----

@pytest.mark.parametrize("kind", [ByInterface, Unix])
def test_chain_and_loop_over_reload_and_kill(namespace, place, kind):
    """A chain is open while the worker changes: it goes on, and what then closes it is seen."""
    way, back = kind(place), End("tcp4")
    chain = {"r0": {"listen": way.listen(0), "target": way.target(1)}, "r1": {"listen": way.listen(1), "target": str(back)}}
    family, address = way.front()
    with Echo(back), Daemon(chain, QUIET) as daemon, socket.socket(family) as client:
        client.connect(address)
        wire = back.wire(client)
        for turn in range(4):
            wire.say(b"%d" % turn)
            assert wire.hear() == b"%d" % turn
            worker = daemon.worker
            if turn % 2:
                os.kill(worker, signal.SIGKILL)
                daemon.worker_after(worker)
            else:
                daemon.reload()
        assert loops(daemon) == 0
        looped = cycle(way, 2)
        daemon.reload(looped)
        for request in range(1, 4):
            assert hears_the_end(way)[0] == b""
            until("only the chain is left", lambda: active(daemon, looped) == 2)
            assert loops(daemon) == request
            os.kill(daemon.worker, signal.SIGKILL)
        wire.say(b"still")
        assert wire.hear() == b"still"


def test_kills_in_the_middle_of_a_loop_leave_nothing_going(namespace, place):
    way = ByInterface(place)
    routes = cycle(way, 3)
    with Daemon(routes, QUIET) as daemon:
        for _ in range(10):
            clients = []
            for _ in range(20):
                try:
                    clients.append(socket.create_connection(way.front()[1], harness.PATIENCE))
                except ConnectionResetError:
                    pass  # refused before connect(2) came back
            os.kill(daemon.worker, signal.SIGKILL)
            for client in clients:
                assert harness.read_all(client)[0] == b""
                client.close()
        until("all of it has ended", lambda: is_at_rest(daemon, routes))
        stays(daemon, routes)


def test_a_reload_that_would_make_a_loop_is_refused(place):
    way, back = Unix(place), End("tcp4")
    routes = {"r": {"listen": way.listen(0), "target": str(back)}}
    with Echo(back), Daemon(routes, QUIET) as daemon, socket.socket(socket.AF_UNIX) as client:
        client.connect(way.front()[1])
        wire = back.wire(client)
        daemon.write({"r": {"listen": way.listen(0), "target": "unix://" + way.front()[1]}})
        done = daemon.ctl_run("reload")
        assert done.returncode == 1 and "route r: its target" in done.stdout + done.stderr and "a loop" in done.stdout + done.stderr
        wire.say(b"as before")
        assert wire.hear() == b"as before"


# ---- datagrams ----

class UdpByInterface(ByInterface):
    kind = "udp4"


class UdpByName(ByName):
    kind = "udp4"


class UdpBySix(BySix):
    kind = "udp4"

    def listen(self, number):
        return f"udp6://[::]:{self.port(number)}?v6only=false"


class UdpByRedirect(ByRedirect):
    kind = "udp4"


class Dgram(Unix):
    kind = "unix-dgram"


DATAGRAM_WAYS = [UdpByInterface, UdpByName, UdpBySix, UdpByRedirect, Dgram]


@pytest.mark.parametrize("length, replies", ((1, None), (1, 0), (2, 1), (3, None)))
@pytest.mark.parametrize("kind", DATAGRAM_WAYS)
def test_a_datagram_that_comes_back_is_dropped(namespace, place, kind, length, replies):
    way = kind(place)
    routes = cycle(way, length)
    for one in routes.values():
        one.update({} if replies is None else {"replies": replies})
    family, address = way.front()
    with Daemon(routes, QUIET) as daemon, socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(harness.PATIENCE)
        if family == socket.AF_UNIX:
            client.bind("")
        client.connect(address)
        for request in range(1, REQUESTS + 1):
            client.send(b"round and round")
            until("it is dropped", lambda: dropped(daemon, routes) == request)
        assert total(daemon, routes) == length
        assert sum(one["messages"]["to_target"] for one in told(daemon, routes)) == REQUESTS * (length - (kind is Dgram))
        stays(daemon, routes)
        assert dropped(daemon, routes) == REQUESTS


@pytest.mark.parametrize("overflow", (None, "block", "drop-old"))
@pytest.mark.parametrize("length", (1, 2, 3))
def test_reliable_datagrams_that_come_back_hold_nobody_up(place, length, overflow):
    """More than all queues take: who waits for room must not be whom the others wait for."""
    way, count = Dgram(place), 300
    routes = cycle(way, length)
    for one in routes.values():
        one.update({} if overflow is None else {"overflow": overflow})
    with Daemon(routes, QUIET) as daemon, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.settimeout(harness.PATIENCE)
        client.bind("")
        client.connect(way.front()[1])
        for number in range(count):
            client.send(b"%d" % number)
        until("all are dropped", lambda: sum(sum(one["dropped"].values()) for one in told(daemon, routes)) >= count)
        if overflow != "drop-old":
            assert dropped(daemon, routes) == count
        assert total(daemon, routes) == length
        stays(daemon, routes)


@pytest.mark.parametrize("depth", (2, 20))
@pytest.mark.parametrize("kind", DATAGRAM_WAYS)
def test_datagrams_of_a_chain_that_leaves_arrive(namespace, place, kind, depth):
    way, back = kind(place), End("udp4")
    routes = {f"r{i}": {"listen": way.listen(i), "target": way.target(i + 1) if i + 1 < depth else str(back)} for i in range(depth)}
    way.prepare(depth)
    family, address = way.front()
    with Echo(back), Daemon(routes, QUIET) as daemon, socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(harness.PATIENCE)
        if family == socket.AF_UNIX:
            client.bind("")
        client.connect(address)
        for request in range(REQUESTS):
            client.send(b"%d" % request)
            assert client.recv(100) == b"%d" % request
        assert dropped(daemon, routes) == 0 and total(daemon, routes) == depth


def test_another_program_on_a_shared_multicast_port_is_heard(namespace):
    """Ours is not: the copy of what we send to the group comes back to our own listener."""
    ip("route", "add", "224.0.0.0/4", "dev", "lo")
    ip("link", "set", "lo", "multicast", "on")
    group, port, back = "239.7.8.9", free_port(), End("udp4")
    routes = {"hear": {"listen": f"udp4://{group}:{port}?interface=lo", "target": (f"udp4://{group}:{port}?interface=lo",)},
              "say": {"listen": f"udp4://127.0.0.1:{free_port()}", "target": str(back)}}
    with Daemon(routes, QUIET) as daemon, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        for number in range(1, REQUESTS + 1):
            client.sendto(b"from another", (group, port))
            until("it is heard, sent on, and dropped when it comes back", lambda: dropped(daemon, ["hear"]) == number)
        assert route(daemon, "hear")["messages"]["to_target"] == REQUESTS
        assert total(daemon, ["hear"]) == 1
        stays(daemon, ["hear"])


def test_a_name_that_a_session_had_is_anybodys_afterwards(namespace, place):
    """A datagram client with the address of a socket of ours that is gone."""
    way, back = UdpByInterface(place), End("udp4")
    routes = {"r": {"listen": way.listen(0), "target": str(back), "timeout": {"idle": "200ms"}}}
    with Echo(back) as echo, Daemon(routes, QUIET) as daemon:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(harness.PATIENCE)
            client.sendto(b"x", way.front()[1])
            assert client.recv(10) == b"x"
        ours = echo.asked[0]
        until("it has aged", lambda: is_at_rest(daemon, routes))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(harness.PATIENCE)
            client.bind(ours)
            client.sendto(b"y", way.front()[1])
            assert client.recv(10) == b"y"
        assert dropped(daemon, routes) == 0


# ---- connected to itself ----

@pytest.mark.parametrize("kind", ("tcp4", "udp4"))
def test_a_socket_that_is_connected_to_itself_is_refused(namespace, kind):
    """The one port that may be chosen is the target's own, where nobody listens."""
    absent, port, pool, back = free_port(), free_port(), free_port(), End(kind)
    with open("/proc/sys/net/ipv4/ip_local_port_range", "w", encoding="ascii") as file:
        file.write(f"{absent} {absent}")
    stream = kind == "tcp4"
    routes = {"r": {"listen": f"{kind}://127.0.0.1:{port}", "target": f"{kind}://127.0.0.1:{absent}",
                    "retry": {"attempts": 3, "backoff": "10ms"}},
              "pool": {"listen": f"{kind}://127.0.0.1:{pool}", "target": (f"{kind}://127.0.0.1:{absent}", str(back))}}
    with Daemon(routes, QUIET) as daemon, socket.socket(socket.AF_INET, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM) as client:
        client.settimeout(harness.PATIENCE)
        client.bind(("127.0.0.1", free_port()))
        client.connect(("127.0.0.1", port))
        client.send(b"hello")
        if stream:
            assert harness.read_all(client) == (b"", "ECONNRESET")
            assert [(one["reason"], one["count"]) for one in daemon.status()["refused"]] == [("unreachable", 1)]
            with socket.socket() as server:  # its port is free: no TIME_WAIT is left of it
                server.bind(("127.0.0.1", absent))
        else:
            until("it found nobody", lambda: not route(daemon, "r")["sessions"]["active"])
        until("all of it has ended", lambda: is_at_rest(daemon, ["r"]))
        assert route(daemon, "r")["messages"]["to_target"] == 0
        with Echo(back), back.socket() as sock:
            sock.bind(("127.0.0.1", free_port()))
            sock.connect(("127.0.0.1", pool))
            wire = back.wire(sock)
            wire.say(b"to the next")
            assert wire.hear() == b"to the next"
