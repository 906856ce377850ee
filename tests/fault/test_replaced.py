# SPDX-License-Identifier: LGPL-2.1-or-later
"""A reload that takes new sockets where others are listening stalls nobody: no connection is refused, reset, or has to say SYN twice; no
datagram is lost. SPLICED_ROUNDS=100 for the long run."""

import os
import signal
import socket
import subprocess
import threading

import pytest

import harness
from harness import Daemon, Endpoint, Running, Serve, free_port, until
from namespace import Namespace, ip
from tables import tables

QUIET = {"log": {"to": "stderr", "sessions": False}}
ROUNDS = int(os.environ.get("SPLICED_ROUNDS", "10"))

ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(65536)
    s.sendto(data, peer)
"""


@pytest.fixture
def space():
    with Namespace():
        yield


def counters():
    """The namespace's TcpExt and Tcp counters."""
    found = {}
    for name in ("snmp", "netstat"):
        with open(f"/proc/thread-self/net/{name}", encoding="utf-8") as file:
            lines = [line.split() for line in file]
        for names, values in zip(lines[::2], lines[1::2]):
            found.update((names[0] + key, int(value)) for key, value in zip(names[1:], values[1:]))
    return found


WAITS = ("TcpExt:TCPSynRetrans", "TcpExt:ListenDrops", "TcpExt:ListenOverflows", "TcpExt:TCPReqQFullDrop")

# A socket that leaves and still gets SYNs costs several at each reload. One in many thousands was seen on a busy machine: a client's port
# that comes back while the connection before it is in TIME_WAIT would explain it.
REPEATED_MAX = ROUNDS // 3


def waits(before, now):
    """What a client waited for; nothing, where so few SYNs were dropped or repeated that it is not what reloads do."""
    found = {name: now[name] - before[name] for name in WAITS if now.get(name, 0) != before.get(name, 0)}
    if set(found) <= {"TcpExt:TCPSynRetrans", "TcpExt:ListenDrops"} and max(found.values(), default=0) <= REPEATED_MAX:
        return {}
    return found


class Asker(threading.Thread):
    """Asks by numbered datagrams from several sockets, one after the other and without an end; each is answered, once, by whom it asked."""

    def __init__(self, host, port, flows=8):
        super().__init__(daemon=True)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socks = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(flows)]
        for sock in self.socks:
            sock.settimeout(harness.PATIENCE)
        self.to = (host, port)
        self.over = threading.Event()
        self.asked = 0
        self.wrong = None
        self.start()

    def run(self):
        while not self.over.is_set() and not self.wrong:
            for sock in self.socks:
                self.asked += 1
                said = b"%d" % self.asked
                sock.sendto(said, self.to)
                try:
                    data, peer = sock.recvfrom(100)
                except OSError as error:
                    self.wrong = f"number {self.asked}: {error!r}"
                    return
                if data != said or peer[:2] != self.to:
                    self.wrong = f"number {self.asked}: {data!r} from {peer}"

    def stop(self):
        self.over.set()
        self.join()
        for sock in self.socks:
            sock.close()
        assert not self.wrong, self.wrong


class Echo:
    def __init__(self, host, port):
        self.process = subprocess.Popen(["python3", "-c", ECHO, host, str(port)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def refuse(daemon, routes):
    daemon.write({**routes, "z": {"listen": "unix:///etc/passwd/no-directory", "target": "tcp4://127.0.0.1:9"}})
    assert daemon.ctl_run("reload").returncode == 1


def alternate(daemon, routes, deaths=True):
    """Reloads that each take new sockets; refused ones and deaths of the worker in between."""
    for number in range(ROUNDS):
        daemon.reload(routes(number % 2 == 0))
        if number % 5 == 2:
            refuse(daemon, routes(number % 2 == 1))
        if deaths and number % 7 == 4:
            worker = daemon.worker
            os.kill(worker, signal.SIGKILL)
            daemon.worker_after(worker)
            until("the next worker runs", lambda: daemon.ctl_run("status").returncode in (0, 1))


def go_on(worker):
    """One that stood still for too long was taken for hung, and has an heir already."""
    try:
        os.kill(worker, signal.SIGCONT)
    except ProcessLookupError:
        pass


def none_is_left(daemon):
    return all(one["state"] == "listening" for one in daemon.ctl("listeners")["listeners"])


@pytest.mark.parametrize("where, workers, option", (("127.0.0.1", 1, "freebind"), ("127.0.0.1", 3, "freebind"), ("[::1]", 2, "freebind"),
                                                    ("0.0.0.0", 2, "freebind"), ("[::]", 1, "freebind"), ("[::]", 2, "v6only")))
def test_no_connection_waits(space, place, where, workers, option):
    port, back = free_port(), Endpoint("unix", place)
    version = 6 if ":" in where else 4
    front = f"tcp{version}://{'[::1]' if version == 6 else '127.0.0.1'}:{port}"

    def routes(on):
        return {"r": {"listen": f"tcp{version}://{where}:{port}?{option}={str(on).lower()}", "target": back}}
    with Serve(back), Daemon(routes(False), settings={"workers": workers, **QUIET}) as daemon:
        baseline = tables(daemon)
        swarm = Running("swarm", "--to", front, "--seconds", 3600, "--parallel", 16)
        before = counters()
        try:
            alternate(daemon, routes)
            until("those that leave have gone", lambda: none_is_left(daemon))
            now = counters()
        finally:
            count, status = swarm.stop()
        assert status == 0, count
        assert count["ok"] > ROUNDS
        assert waits(before, now) == {}
        until("the sessions have ended", lambda: not daemon.sessions())
        daemon.reload(routes(False))
        until("all is as it was", lambda: tables(daemon) == baseline)


@pytest.mark.parametrize("family", ("inet", "inet6"))
def test_a_route_that_goes_refuses_at_once(space, place, family):
    """Nobody says SYN in vain to a socket that only drains; what was queued is taken."""
    gone, back = Endpoint(family, place), Endpoint("unix", place)
    with back.listen() as listener, Daemon({"r": {"listen": gone, "target": back}}, settings=QUIET) as daemon:
        before, worker = counters(), daemon.hold_worker()
        with gone.connect() as queued:
            queued.sendall(b"queued")
            daemon.write({"other": {"listen": f"unix://{place}/other", "target": back}})
            daemon.signal(signal.SIGHUP)
            until("it is prepared", lambda: os.path.exists(os.path.join(place, "other")))
            go_on(worker)
            until("it runs", lambda: daemon.status()["reload"]["succeeded"] == 1)
            with pytest.raises(ConnectionRefusedError):
                gone.connect()
            accepted, _ = listener.accept()
            with accepted:
                accepted.settimeout(harness.PATIENCE)
                assert accepted.recv(100) == b"queued"
        assert counters()["TcpExt:TCPSynRetrans"] == before["TcpExt:TCPSynRetrans"]


def test_more_threads(space, place):
    """An upgrade that brings more threads has new sockets for all of them."""
    port, back = free_port(), Endpoint("unix", place)
    front = f"tcp4://127.0.0.1:{port}"
    with Serve(back), Daemon({"r": {"listen": front, "target": back}}, settings={"workers": 1, **QUIET}) as daemon:
        swarm = Running("swarm", "--to", front, "--seconds", 3600, "--parallel", 16)
        before = counters()
        try:
            for workers in (2, 3):
                daemon.settings["workers"] = workers
                daemon.write()
                daemon.ctl("upgrade")
                until("each thread has a socket", lambda: workers in {one["sockets"] for one in daemon.ctl("listeners")["listeners"]})
            until("those that leave have gone", lambda: none_is_left(daemon))
            now = counters()
        finally:
            count, status = swarm.stop()
        assert status == 0, count
        assert waits(before, now) == {}


@pytest.mark.parametrize("where", ("127.0.0.1", "[::1]", "0.0.0.0", "[::]"))
def test_no_datagram_is_lost(space, where):
    port, back = free_port(), free_port()
    version = 6 if ":" in where else 4
    host = "::1" if version == 6 else "127.0.0.1"

    def routes(freebind):
        return {"r": {"listen": f"udp{version}://{where}:{port}?freebind={str(freebind).lower()}",
                      "target": f"udp{version}://{where if where == '[::1]' else '[::1]' if version == 6 else '127.0.0.1'}:{back}"}}
    with Echo(host, back), Daemon(routes(False), settings=QUIET) as daemon:
        asker = Asker(host, port)
        try:
            alternate(daemon, routes, deaths=False)  # which may lose the batch in hand
        finally:
            asker.stop()
        assert asker.asked > ROUNDS


def test_a_group_is_heard_once(space):
    """A listener of a multicast group is replaced, too: each socket of such an address hears all, but one that leaves."""
    ip("link", "set", "lo", "multicast", "on")
    ip("route", "add", "224.0.0.0/4", "dev", "lo")
    port = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as target, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        target.bind(("127.0.0.1", 0))
        target.settimeout(harness.PATIENCE)
        client.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))

        def routes(broadcast):
            return {"r": {"listen": f"udp4://239.1.2.3:{port}?interface=lo&broadcast={str(broadcast).lower()}",
                          "target": f"udp4://127.0.0.1:{target.getsockname()[1]}", "replies": 0}}
        with Daemon(routes(False), settings=QUIET) as daemon:
            for number in range(ROUNDS):
                daemon.reload(routes(number % 2 == 0))
                client.sendto(b"%d" % number, ("239.1.2.3", port))
                assert target.recv(100) == b"%d" % number, "lost, or heard twice"


@pytest.mark.parametrize("kind", ("stream", "dgram"))
def test_a_unix_socket_moves(place, kind):
    """To another path and back: who asks at the path that there is at the time is answered; what waits at the old one is taken."""
    paths = [os.path.join(place, name) for name in ("one", "two")]
    scheme = "unix" if kind == "stream" else "unix-dgram"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM) as target:
        target.bind(os.path.join(place, "back"))
        target.settimeout(harness.PATIENCE)
        if kind == "stream":
            target.listen()

        def routes(second):
            return {"r": {"listen": f"{scheme}://{paths[second]}", "target": f"{scheme}://{place}/back"}}

        def ask(path, number):
            client = socket.socket(socket.AF_UNIX, target.type)
            client.connect(path)
            client.send(b"%d" % number)
            return client

        def hear(number):
            if kind == "dgram":
                assert target.recv(100) == b"%d" % number
                return
            accepted, _ = target.accept()
            with accepted:
                accepted.settimeout(harness.PATIENCE)
                assert accepted.recv(100) == b"%d" % number
        with Daemon(routes(False), settings=QUIET) as daemon:
            for number in range(ROUNDS):
                with ask(paths[number % 2], number):
                    hear(number)
                # These wait in the queue of a socket that leaves: the worker stands still.
                worker = daemon.hold_worker()
                with ask(paths[number % 2], number):
                    daemon.write(routes(number % 2 == 0))
                    daemon.signal(signal.SIGHUP)
                    until("the new one is bound", lambda: os.path.exists(paths[1 - number % 2]))
                    go_on(worker)
                    hear(number)
                until("it runs, and what leaves is done with", lambda: daemon.status()["reload"]["succeeded"] == number + 1)
                assert not os.path.exists(paths[number % 2])
