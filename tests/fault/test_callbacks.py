# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whatever callback of a family kills the worker each time, behind whatever kind of front or target, costs the route that uses it: at
the third death it is paused, by name of family and callback, and the others go on. A row of the table is a route, all of one daemon;
beside them a swarm on another route verifies every byte.

In the suite the rows take turns in how they kill. SPLICED_CALLBACKS=all tries each of them in each way, the hangs too, which
take five seconds a death."""

import json
import os
import selectors
import shutil
import socket
import threading

import pytest

import harness
from harness import Daemon, Endpoint, Running, Serve, free_port, until

DEATHS = 3
HOWS = ("crash", "abort", "exit", "quit")
PATIENCE = max(harness.PATIENCE, 60)
VERDICT_MAX = 900  # bytes: of many reasons not all are told


class Sink:
    """Takes every connection, and every datagram, and throws away what comes; counts the words."""

    def __init__(self, port):
        self.port = port
        self.stream = socket.create_server(("127.0.0.1", port), backlog=128)
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams.bind(("127.0.0.1", port))
        self.seen = {}
        self.lock = threading.Lock()
        self.selector = selectors.DefaultSelector()
        self.ends, self.end = socket.socketpair()
        for sock in (self.stream, self.datagrams, self.ends):
            self._watch(sock)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def has(self, word):
        with self.lock:
            return self.seen.get(word, 0)

    def _watch(self, sock):
        sock.setblocking(False)
        self.selector.register(sock, selectors.EVENT_READ)

    def _read(self, sock):
        try:
            data = sock.recv(4096)
        except OSError:
            data = b""
        with self.lock:
            for word in data.split():
                self.seen[word] = self.seen.get(word, 0) + 1
        if not data and sock is not self.datagrams:
            self.selector.unregister(sock)
            sock.close()

    def _run(self):
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.ends:
                    return
                if key.fileobj is self.stream:
                    self._watch(self.stream.accept()[0])
                else:
                    self._read(key.fileobj)

    def close(self):
        """No thread is left that waits for a number which is soon another socket's."""
        self.end.close()
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()


class Case:
    """A row: a callback, and a route that comes to it."""

    def __init__(self, number, wound, kind, sink):
        self.peer, self.wound, self.kind, self.sink = 100 + number, wound, kind, sink
        self.name = f"{kind}-{wound}"
        self.port, self.near = free_port(), free_port()

    def hostile(self, how, row, **more):
        """The wounded endpoint; `how` None: it is well."""
        kind = {"tcp": {"type": "stream"}, "udp": {"type": "dgram"}, "feed": {"type": "dgram", "protocol": "feed"}}[row]
        wound = {"wound": self.wound, "how": how} if how else {"wound": "never"}
        return {"family": "hostile", "host": "127.0.0.1", "port": self.port, "peer": self.peer, **kind, **wound, **more}

    def route(self, how):
        tcp, udp = f"tcp4://127.0.0.1:{self.near}", f"udp4://127.0.0.1:{self.near}"
        sink, sink_udp = f"tcp4://127.0.0.1:{self.sink}", f"udp4://127.0.0.1:{self.sink}"
        route = {
            "accept": lambda: {"listen": self.hostile(how, "tcp"), "target": sink, "allow": ["any"]},
            "datagrams": lambda: {"listen": self.hostile(how, "udp"), "target": sink_udp, "allow": ["any"]},
            "feed": lambda: {"listen": self.hostile(how, "feed", format="lines"), "target": sink},
            "ring": lambda: {"listen": self.hostile(how, "feed", ring=True, format="lines"), "target": sink},
            "raw-ring": lambda: {"listen": self.hostile(how, "feed", ring=True), "target": sink_udp},
            "target": lambda: {"listen": tcp, "target": self.hostile(how, "tcp")},
            "named": lambda: {"listen": tcp, "target": {**self.hostile(how, "tcp"), "host": "localhost"}},
            "bound": lambda: {"listen": udp, "target": self.hostile(how, "feed", far=self.sink)},
            "framed": lambda: {"listen": {**endpoint(tcp), "framing": "line"}, "target": self.hostile(how, "feed", far=self.sink)},
            "source": lambda: {"listen": tcp, "target": self.hostile(how, "feed", format="lines")},
            "dial": lambda: {"dial": self.hostile(how, "tcp"), "target": sink},
        }[self.kind]()
        return {**route, "retry": {"attempts": 1, "backoff": "20ms", "max_backoff": "100ms"}}

    def well(self):
        """The route as it is once it has been put right: it needs somebody to connect to."""
        return self.route(None)

    # -- what makes the daemon call it --

    def send(self, word):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((f"127.0.0.{self.peer}", 0))
            sock.sendto(word + b"\n", ("127.0.0.1", self.port if self.kind in ("datagrams", "feed", "ring", "raw-ring") else self.near))

    def connect(self, word):
        """A client that may be reset, or be left waiting: it asks for nothing."""
        with socket.socket() as client:
            client.settimeout(0.3)
            client.bind((f"127.0.0.{self.peer}", 0))
            try:
                client.connect(("127.0.0.1", self.port if self.kind == "accept" else self.near))
                client.sendall(word + b"\n")
                if self.kind == "source":
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                        sock.sendto(word, ("127.0.0.1", self.port))
                        client.recv(100)
                if self.wound != "release":
                    client.shutdown(socket.SHUT_WR)
                client.recv(1)
            except OSError:
                pass
            if self.wound == "release":
                harness.reset(client)

    def provoke(self, word=b"word"):
        if self.kind in ("datagrams", "feed", "ring", "raw-ring", "bound"):
            self.send(word)
        elif self.kind != "dial":
            self.connect(word)


TABLE = (
    ("describe", "accept"), ("match", "accept"), ("peer_key", "accept"),
    ("match", "datagrams"), ("peer_key", "datagrams"), ("reply", "datagrams"), ("received", "datagrams"),
    ("received", "feed"), ("check", "feed"), ("preamble", "feed"), ("encode", "feed"), ("event", "feed"),
    ("map", "ring"), ("next", "ring"), ("consume", "ring"), ("next", "raw-ring"), ("consume", "raw-ring"),
    ("prepare", "target"), ("address", "named"),
    ("prepare", "bound"), ("check", "bound"), ("may_send", "bound"), ("may_send", "framed"), ("release", "framed"),
    ("received", "source"), ("preamble", "source"), ("encode", "source"), ("event", "source"),
    ("prepare", "dial"),
)


def endpoint(text):
    """An endpoint string as a group."""
    scheme, rest = text.split("://")
    host, port = rest.split(":")
    return {"family": "inet", "type": "stream" if scheme == "tcp4" else "dgram", "host": host, "port": int(port)}


@pytest.fixture
def plugins(place, monkeypatch):
    # exit(3) in a worker is no leak.
    monkeypatch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
    for name in ("inet.so", "unix.so"):
        shutil.copy(os.path.join(harness.plugin_dir(), name), place)
    harness.compile_family(place, "hostile")
    for name in os.listdir(place):
        os.chmod(os.path.join(place, name), 0o755)
    return place


@pytest.fixture
def sink():
    found = Sink(free_port())
    yield found
    found.close()


class Neighbour:
    """Another route: a swarm that verifies every byte, and a session that lives through it all."""

    def __init__(self, place):
        self.front, self.back, self.kept = Endpoint("inet", place), Endpoint("unix", place), Endpoint("unix", place)
        self.other = Endpoint("inet", place)
        self.swarm = None

    def routes(self):
        return {"good": {"listen": self.front, "target": self.back}, "kept": {"listen": self.other, "target": self.kept}}

    def __enter__(self):
        self.serve = Serve(self.back)
        self.serve.__enter__()
        self.listener = self.kept.listen()
        return self

    def begin(self):
        self.client = self.other.connect(timeout=PATIENCE)
        self.server, _ = self.listener.accept()
        self.server.settimeout(PATIENCE)
        self.swarm = Running("swarm", "--to", self.front, "--parallel", 2, "--timeout-ms", 60000)

    def lives(self):
        self.client.sendall(b"ping")
        assert self.server.recv(10) == b"ping"
        self.server.sendall(b"pong")
        return self.client.recv(10) == b"pong"

    def end(self):
        count, status = self.swarm.stop()
        assert status == 0 and count["ok"] > 0, count
        assert self.lives()

    def __exit__(self, *exception):
        if self.swarm and self.swarm.running():
            self.swarm.stop()
        self.serve.__exit__(*exception)
        self.listener.close()


def ask(daemon, *words):
    """The answer: a worker that dies meanwhile takes it along, and is asked again."""
    def answered():
        done = daemon.ctl_run(*words)
        return done.returncode in (0, 1) and json.loads(done.stdout)

    return until(f"splicectl {words[0]} is answered", answered, PATIENCE)


def route(daemon, name):
    return next(one for one in ask(daemon, "routes")["routes"] if one["name"] == name)


def own_deaths(daemon):
    starts = ask(daemon, "status")["worker"]["starts"]
    return starts["crash"] + starts["hang"]


def pause(daemon, case, how):
    """Brings the callback about until the route is paused."""
    def provoked():
        case.provoke()
        return route(daemon, case.name)["paused"]

    until(f"{case.name} is paused", provoked, PATIENCE)
    verb = "hung" if how == "hang" else "crashed"
    told = f"its family hostile {verb} in {case.wound}() {DEATHS} times"
    assert route(daemon, case.name)["paused"] == told
    verdict = ask(daemon, "status")["verdict"]
    assert f"route {case.name} paused until a reload: {told}" in verdict or len(verdict) > VERDICT_MAX, verdict
    assert f"route {case.name}: family hostile, {case.wound}(): in hand when {DEATHS} workers died" in daemon.log()
    assert route(daemon, case.name)["deaths"] == DEATHS


def rest(daemon, cases):
    """What is paused causes no more deaths, whoever comes."""
    before = own_deaths(daemon)
    for case in cases:
        case.provoke()
    assert daemon.ctl("sessions")["ok"] and daemon.ctl("listeners")["ok"]
    assert own_deaths(daemon) == before
    assert all(route(daemon, case.name)["paused"] for case in cases)


def put_right(daemon, cases, neighbour, sink, targets):
    """A reload with a good configuration brings all of them back."""
    daemon.reload({**neighbour.routes(), **{case.name: case.well() for case in cases}})
    assert daemon.status()["verdict"].startswith("OK") or "paused" not in daemon.status()["verdict"]
    for case in cases:
        word = case.name.encode()
        if case.kind == "source":
            assert until(f"{case.name} works", lambda case=case: hear(case), PATIENCE)
        else:
            reached = sink if case.kind not in ("target", "named") else targets[case.name]
            until(f"{case.name} works", lambda case=case, word=word, reached=reached: case.provoke(word) or
                  case.kind == "dial" or reached.has(word), PATIENCE)


def hear(case):
    """What a bound target hears, a client is told."""
    with socket.create_connection(("127.0.0.1", case.near), timeout=1) as client, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(20):
            sock.sendto(b"heard", ("127.0.0.1", case.port))
            client.settimeout(0.1)
            try:
                return client.recv(100) == b"heard\n"
            except socket.timeout:
                continue
    return False


def start(plugins, place, neighbour, cases, hows):
    routes = {**neighbour.routes(), **{case.name: case.route(how) for case, how in zip(cases, hows)}}
    daemon = Daemon(routes, settings={"plugin_dir": plugins, "control": {"path": os.path.join(place, "c.sock")}})
    daemon.control = os.path.join(place, "c.sock")
    return daemon


def play(plugins, place, sink, table, hows):
    cases = [Case(i, wound, kind, sink.port) for i, (wound, kind) in enumerate(table)]
    targets = {case.name: Sink(case.port) for case in cases if case.kind in ("target", "named", "dial")}
    with Neighbour(place) as neighbour, start(plugins, place, neighbour, cases, hows) as daemon:
        neighbour.begin()
        for case, how in zip(cases, hows):
            pause(daemon, case, how)
            assert neighbour.lives()
        # Two threads may have died at once.
        assert own_deaths(daemon) <= DEATHS * len(cases)
        rest(daemon, cases)
        worker = daemon.worker
        os.kill(worker, 9)
        daemon.worker_after(worker)
        rest(daemon, cases)
        assert daemon.ctl("upgrade")["ok"]
        rest(daemon, cases)
        put_right(daemon, cases, neighbour, sink, targets)
        neighbour.end()
    for target in targets.values():
        target.close()


def test_every_callback(plugins, place, sink):
    play(plugins, place, sink, TABLE, [HOWS[i % len(HOWS)] for i in range(len(TABLE))])


def test_a_callback_that_hangs(plugins, place, sink):
    play(plugins, place, sink, (("encode", "feed"),), ("hang",))


class Source:
    """A client of a route whose target is a feed with a format: what is sent to the target's port, it is told."""

    def __init__(self, daemon, case):
        self.case = case
        self.client = socket.create_connection(("127.0.0.1", case.near), timeout=PATIENCE)
        port = self.client.getsockname()[1]
        until("the client's session relays", lambda: any(
            one["state"] == "relaying" and one["peer"].endswith(f":{port}") for one in ask(daemon, "sessions")["sessions"]), PATIENCE)

    def tell(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"told", ("127.0.0.1", self.case.port))

    def ends(self):
        """Whether it is reset; told meanwhile, since of sockets that share a port one gets each message."""
        def reset():
            self.tell()
            self.client.settimeout(0.1)
            try:
                return not self.client.recv(100)
            except socket.timeout:
                return False
            except ConnectionResetError:
                return True

        return until("the client is reset", reset, PATIENCE)


def one_route(plugins, place, neighbour, case, **changes):
    daemon = start(plugins, place, neighbour, [case], ["crash"])
    daemon.routes[case.name].update(changes)
    daemon.write()
    return daemon


def test_sessions_of_a_paused_route(plugins, place, sink):
    """One that needs no callback goes on; one that comes to the callback is reset, and kills nobody any more."""
    case = Case(0, "encode", "source", sink.port)
    with Neighbour(place) as neighbour, one_route(plugins, place, neighbour, case) as daemon:
        neighbour.begin()
        clients = [Source(daemon, case) for _ in range(6)]
        until("the route is paused", lambda: clients[0].tell() or route(daemon, case.name)["paused"], PATIENCE)
        deaths = own_deaths(daemon)
        assert deaths == DEATHS
        left = {one["peer"] for one in ask(daemon, "sessions")["sessions"] if one["route"] == case.name}
        survivors = [one for one in clients if f"127.0.0.1:{one.client.getsockname()[1]}" in left]
        assert len(survivors) >= 3, left
        assert all(one.ends() for one in survivors)
        assert own_deaths(daemon) == deaths
        assert sum(row["count"] for row in ask(daemon, "status")["refused"] if row["reason"] == "poison") == len(clients)
        neighbour.end()


def test_another_callback_of_a_paused_route(plugins, place, sink):
    """What goes on to kill bars every callback of the route; then its sessions need none."""
    case = Case(0, "match", "accept", sink.port)
    target = Case(1, "encode", "source", sink.port)
    with Neighbour(place) as neighbour, \
            one_route(plugins, place, neighbour, case, target=target.hostile("crash", "feed", format="lines")) as daemon:
        neighbour.begin()
        case.near, target.near = case.port, case.port
        clients = [Source(daemon, target) for _ in range(3)]
        until("the route is paused", lambda: case.provoke() or route(daemon, case.name)["paused"], PATIENCE)
        assert "match" in route(daemon, case.name)["paused"] and own_deaths(daemon) == DEATHS
        assert all(one.ends() for one in clients)
        assert own_deaths(daemon) == DEATHS + 1
        assert f"route {case.name}: family hostile, match(): in hand again" in daemon.log()
        rest(daemon, [case])
        neighbour.end()


@pytest.mark.skipif(os.environ.get("SPLICED_CALLBACKS") != "all", reason="the whole table takes minutes: SPLICED_CALLBACKS=all")
@pytest.mark.parametrize("how", (*HOWS, "hang"))
def test_the_whole_table(plugins, place, sink, how):
    play(plugins, place, sink, TABLE, [how] * len(TABLE))
