# SPDX-License-Identifier: LGPL-2.1-or-later
"""A range of ports is as many listeners, and a target's "+N" is N above the port that the client arrived at: for streams and messages,
over kill -9, reload and upgrade."""

import contextlib
import os
import selectors
import signal
import socket
import threading

import pytest

import harness
from harness import Daemon, until

PORTS = 6
ABOVE = 100  # of the targets' ports, above those that clients arrive at
HOST = "127.0.0.2"  # the targets'


def bind(kind, host, port):
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def free_range():
    """The first of PORTS ports that are free, with those of their targets."""
    while True:
        first = harness.free_port()
        try:
            for port in [first + i + more for i in range(PORTS) for more in (0, ABOVE)]:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    bind(kind, "", port).close()
        except OSError:
            continue
        return first


class Targets:
    """One thread; each target begins with its port, and then says what it hears. `heard`: who has sent to UDP."""

    def __init__(self, first):
        self.selector = selectors.DefaultSelector()
        self.wake, self.end = socket.socketpair()
        self.selector.register(self.end, selectors.EVENT_READ, None)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.heard = set()
        for port in range(first + ABOVE, first + ABOVE + PORTS):
            self.add(port)
            self.selector.register(bind(socket.SOCK_DGRAM, HOST, port), selectors.EVENT_READ, self.answer)

    def add(self, port):
        sock = bind(socket.SOCK_STREAM, "", port)
        sock.listen(1024)
        self.selector.register(sock, selectors.EVENT_READ, self.accept)

    def accept(self, listener):
        sock, _ = listener.accept()
        sock.sendall(b"%d\n" % sock.getsockname()[1])
        self.selector.register(sock, selectors.EVENT_READ, self.echo)

    def echo(self, sock):
        with contextlib.suppress(ConnectionError):
            data = sock.recv(1 << 16)
            if data:
                sock.sendall(data)
                return
        self.selector.unregister(sock)
        sock.close()

    def answer(self, sock):
        data, peer = sock.recvfrom(1 << 16)
        port = sock.getsockname()[1]
        self.heard.add((port, peer))
        sock.sendto(b"%d\n%s" % (port, data), peer)

    def run(self):
        while True:
            for key, _ in self.selector.select():
                if key.data is None:
                    return
                key.data(key.fileobj)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.wake.close()
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()


class Client:
    def __init__(self, port, kind=socket.SOCK_STREAM, host="127.0.0.1"):
        self.port = port
        self.is_stream = kind == socket.SOCK_STREAM
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
        self.sock.settimeout(harness.PATIENCE)
        self.sock.connect((host, port))

    def reached(self):
        """The port of the target that speaks first."""
        told = b""
        while not told.endswith(b"\n"):
            data = self.sock.recv(1)
            assert data, "nobody was reached"
            told += data
        return int(told)

    def check(self):
        """It is still with the target of its port."""
        self.sock.send(b"ping")
        if self.is_stream:
            assert self.sock.recv(100) == b"ping"
        else:
            assert self.sock.recv(100) == b"%d\nping" % (self.port + ABOVE)

    def close(self):
        self.sock.close()


def visit(port, host="127.0.0.1"):
    with contextlib.closing(Client(port, host=host)) as client:
        assert client.reached() == port + ABOVE


def listeners(daemon, route):
    return sorted(int(one["address"].rsplit(":", 1)[1]) for one in daemon.ctl("listeners")["listeners"] if one["route"] == route)


def kill(daemon):
    worker = daemon.worker
    os.kill(worker, signal.SIGKILL)
    daemon.worker_after(worker)
    until("the heir runs", daemon.runs)


def test_each_port_leads_to_its_own():
    """As a string and as a group, of one family and of both, at a number, a name, and a pool; for all that comes, and all that is there."""
    first, both, pool = free_range(), free_range(), free_range()
    last = PORTS - 1
    routes = {
        "tcp": {"listen": f"tcp4://127.0.0.1:{first}-{first + last}", "target": f"tcp4://{HOST}:+{ABOVE}"},
        "udp": {"listen": {"family": "inet", "type": "dgram", "host": "127.0.0.1", "port": f"{first}-{first + last}"},
                "target": f"udp4://{HOST}:+{ABOVE}"},
        "both": {"listen": f"tcp://:{both}-{both + last}", "target": f"tcp4://localhost:+{ABOVE}"},
        "oneway": {"listen": f"udp4://127.0.0.1:{both}-{both + last}", "target": f"udp4://{HOST}:+{ABOVE}", "replies": 0},
        # The first is one port, and the pool has a member with a port of its own.
        "pool": {"listen": (f"tcp4://127.0.0.1:{pool}", f"tcp4://127.0.0.1:{pool + 1}-{pool + last}"),
                 "target": ({"family": "inet", "host": HOST, "port": f"+{ABOVE}", "name": "near"},
                            {"family": "inet", "host": HOST, "port": pool + ABOVE, "name": "far"})},
    }
    hosts = {both: ("127.0.0.1", "::1") if harness.has_ipv6() else ("127.0.0.1",)}
    with Targets(first) as targets, Targets(both) as others, Targets(pool), Daemon(routes) as daemon:
        assert listeners(daemon, "tcp") == listeners(daemon, "udp") == list(range(first, first + PORTS))
        assert sorted(set(listeners(daemon, "both"))) == list(range(both, both + PORTS))

        clients = [Client(port, kind) for port in range(first, first + PORTS) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
        for client in clients:
            assert not client.is_stream or client.reached() == client.port + ABOVE
            client.check()
        heard = set(targets.heard)
        assert len(heard) == PORTS

        for change in (lambda: None, lambda: kill(daemon), lambda: daemon.ctl("upgrade"), lambda: kill(daemon)):
            change()
            for client in clients:
                client.check()
            others.heard.clear()
            for port in range(both, both + PORTS):
                with contextlib.closing(Client(port, socket.SOCK_DGRAM)) as client:
                    client.sock.send(b"note")
            until("each target has one", lambda: {port for port, _ in others.heard} == set(range(both + ABOVE, both + ABOVE + PORTS)))
            for start in (first, both):
                for port in range(start, start + PORTS):
                    for host in hosts.get(start, ("127.0.0.1",)):
                        visit(port, host)
        assert targets.heard == heard, "a message session has become another"

        reached = []
        for port in range(pool, pool + PORTS):
            for _ in range(2):
                with contextlib.closing(Client(port)) as client:
                    reached.append((port, client.reached()))
        near = [port + ABOVE for port, to in reached if to == port + ABOVE]
        assert {to for port, to in reached if to != port + ABOVE} == {pool + ABOVE}, "the member with one port"
        assert set(near) >= set(range(pool + ABOVE + 1, pool + ABOVE + PORTS)), "the member with each"
        told = {one["name"]: one["sessions"] for route in daemon.ctl("routes")["routes"] if route["name"] == "pool"
                for one in route["targets"]}
        assert set(told) == {"near", "far"}, "each is one member"
        for client in clients:
            client.close()
        for port in range(first, first + PORTS):
            until("the log says where a client was", lambda: daemon.log().count(f" the target was {HOST}:{port + ABOVE}") > 1)  # pylint: disable=cell-var-from-loop


def test_an_heir_connects_to_the_port_of_the_client():
    """Who waits for a target that refuses is connected to the right one by the next worker."""
    first = free_range()
    port = first + 3
    routes = {"r": {"listen": f"tcp4://127.0.0.1:{first}-{first + 5}", "target": f"tcp4://{HOST}:+{ABOVE}",
                    "retry": {"total": "10min"}, "passive": {"failures": 0}}}
    with Daemon(routes) as daemon:
        client = Client(port)
        until("it is being connected", lambda: [one["state"] for one in daemon.sessions()] == ["connecting"])
        kill(daemon)
        with Targets(first):
            assert client.reached() == port + ABOVE
            client.check()
            client.close()


def test_a_reload_changes_the_range_and_nothing_else():
    """It grows and shrinks at both ends; nobody is refused at a port that stays, and open sessions stay at those that go."""
    first = free_range()

    def routes(low, high):
        ports = f"{first + low}-{first + high}"
        return {"tcp": {"listen": f"tcp4://127.0.0.1:{ports}", "target": f"tcp4://{HOST}:+{ABOVE}"},
                "udp": {"listen": f"udp4://127.0.0.1:{ports}", "target": f"udp4://{HOST}:+{ABOVE}"}}

    ended, wrong, rounds = threading.Event(), [], [0]
    stays = (first + 2, first + 3)

    def load():
        """Clients of the ports that are always there."""
        while not ended.is_set():
            for port in stays:
                try:
                    visit(port)
                except (OSError, AssertionError) as error:
                    wrong.append(repr(error))
            rounds[0] += 1

    def loaded():
        before = rounds[0]
        until("clients came", lambda: rounds[0] > before + 1)

    with Targets(first) as targets, Daemon(routes(1, 3)) as daemon:
        thread = threading.Thread(target=load, daemon=True)
        thread.start()
        held = [Client(first + 1), *(Client(port) for port in stays)]
        assert all(client.reached() == client.port + ABOVE for client in held)
        held += [Client(port, socket.SOCK_DGRAM) for port in stays]
        for client in held:
            client.check()
        heard = set(targets.heard)
        for low, high in ((0, 5), (2, 4), (0, 3), (2, 3)):
            daemon.reload(routes(low, high))
            wanted = list(range(first + low, first + high + 1))
            until("these ports are open", lambda: listeners(daemon, "tcp") == listeners(daemon, "udp") == wanted)  # pylint: disable=cell-var-from-loop
            for port in range(first, first + PORTS):
                if port in wanted:
                    visit(port)
                else:
                    with pytest.raises(ConnectionRefusedError):
                        Client(port)
            for client in held:
                client.check()
            loaded()

        # What is refused changes nothing.
        for low, high, why in ((3, 2, "begins with the lower port"), (2, 5, "in use")):
            with contextlib.ExitStack() as stack:
                if high == 5:
                    stack.enter_context(bind(socket.SOCK_STREAM, "127.0.0.1", first + 5)).listen()
                daemon.write(routes(low, high))
                done = daemon.ctl_run("reload")
                assert done.returncode == 1 and why in done.stdout + done.stderr, done
                until("the ports are as before", lambda: listeners(daemon, "tcp") == list(stays))
                for client in held:
                    client.check()
                loaded()
        ended.set()
        thread.join()
        assert not wrong, wrong[:5]
        assert targets.heard == heard, "a message session has become another"
        for client in held:
            client.close()


def test_a_port_that_leads_back_is_a_loop():
    """By a name, which no check sees through: the session ends, and others do not."""
    first = free_range()
    routes = {"r": {"listen": f"tcp4://127.0.0.1:{first}-{first + 1}",
                    "target": {"family": "inet", "host": "localhost", "port": "+0"}},
              "s": {"listen": f"tcp4://127.0.0.1:{first + 2}", "target": f"tcp4://{HOST}:+{ABOVE}"}}
    with Targets(first), Daemon(routes) as daemon:
        for port in (first, first + 1):
            with contextlib.suppress(ConnectionError), contextlib.closing(Client(port)) as client:
                assert client.sock.recv(1) == b""
            visit(first + 2)
        until("no session is left", lambda: not daemon.sessions())
        assert "loop" in daemon.log()
