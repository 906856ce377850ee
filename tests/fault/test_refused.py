# SPDX-License-Identifier: LGPL-2.1-or-later
"""A refused reload: no client notices, and nothing of it is left.

Each is of a configuration that takes new sockets of each kind, at addresses that are listened on already too, and only its last
listener cannot be. SPLICED_ROUNDS=200 for the long run."""

import os
import shutil
import signal
import socket
import subprocess

import pytest

import harness
from harness import Daemon, Endpoint, Running, Serve, free_port, until
from tables import kept_open, socket_files, tables

QUIET = {"log": {"to": "stderr", "sessions": False}}
ROUNDS = int(os.environ.get("SPLICED_ROUNDS", "12"))


class House:
    """A daemon with a front of each kind, and configurations that take new sockets for all of them."""

    def __init__(self, place):
        self.place = place
        self.front, self.front6 = Endpoint("inet", place), Endpoint("inet6", place)
        self.file = Endpoint("unix", place)
        self.back = Endpoint("unix", place)
        self.udp, self.udp_back = free_port(), free_port()

    def routes(self, freebind="false"):
        return {"tcp": {"listen": (f"{self.front}?freebind={freebind}", f"{self.front6}?freebind={freebind}", self.file),
                        "target": self.back},
                "udp": {"listen": f"udp4://127.0.0.1:{self.udp}?freebind={freebind}", "target": f"udp4://127.0.0.1:{self.udp_back}"}}

    def more(self, number=0):
        """Routes that are new: everything in them is to be bound."""
        def new(name):
            return os.path.join(self.place, f"new-{name}-{number}")
        return {"more": {"listen": (f"tcp4://127.0.0.1:{free_port()}", f"unix://{new('stream')}"), "target": self.back},
                "packets": {"listen": {"family": "unix", "type": "seqpacket", "path": new("packets")},
                            "target": {"family": "unix", "type": "seqpacket", "path": new("nobody")}},
                "messages": {"listen": ({"family": "unix", "type": "dgram", "path": new("messages")}, f"udp4://127.0.0.1:{free_port()}"),
                             "target": f"udp4://127.0.0.1:{self.udp_back}"}}


def with_last(house, last, number):
    return {**house.routes("true"), **house.more(number), "z": {"listen": last, "target": house.back}}


def syntax(daemon, house, number):
    daemon.write({**house.routes("true"), **house.more(number)})
    with open(daemon.file, encoding="utf-8") as file:
        text = file.read()
    daemon.write(text=text + "routes: { web: { listen = \n")


def fifo(daemon, house, number):
    del house, number
    os.unlink(daemon.file)
    os.mkfifo(daemon.file)


def busy(daemon, house, number):
    with socket.create_server(("127.0.0.1", 0)) as server:
        daemon.write(with_last(house, f"tcp4://127.0.0.1:{server.getsockname()[1]}", number))
        yield


def busy_file(daemon, house, number):
    path = os.path.join(house.place, "busy.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        daemon.write(with_last(house, f"unix://{path}", number))
        yield
        os.unlink(path)


def busy_datagrams(daemon, house, number):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        daemon.write({**house.routes("true"), **house.more(number), "z": {"listen": f"udp4://127.0.0.1:{server.getsockname()[1]}",
                                                                          "target": f"udp4://127.0.0.1:{house.udp_back}"}})
        yield


def no_directory(daemon, house, number):
    daemon.write(with_last(house, "unix:///etc/passwd/none.sock", number))


def no_plugin(daemon, house, number):
    daemon.write(with_last(house, {"family": "nosuch", "address": "x"}, number))


def dies(daemon, house, number):
    """crashy's target: its prepare() is not called by a check; its address() is."""
    daemon.write(with_last(house, {"family": "crashy", "host": "127.0.0.1", "port": free_port(), "crash": "check"}, number))


KINDS = {kind.__name__: kind for kind in (syntax, fifo, busy, busy_file, busy_datagrams, no_directory, no_plugin, dies)}


def refuse(daemon, house, kind, number):
    """One reload that is refused, and why."""
    setting = KINDS[kind](daemon, house, number)
    if setting:
        next(setting)
    done = daemon.ctl_run("reload")
    if setting:
        next(setting, None)
    assert done.returncode == 1, f"it was not refused: {done.stdout}{done.stderr}"
    return done.stderr


class Echo:
    """Answers datagrams, in a process of its own: nothing here may be late."""

    CODE = ("import socket, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)\n"
            "s.bind(('127.0.0.1', int(sys.argv[1])))\nprint('ready', flush=True)\nwhile True:\n\tdata, peer = s.recvfrom(65536)\n\ts.sendto(data, peer)\n")

    def __init__(self, port):
        self.process = subprocess.Popen(["python3", "-c", self.CODE, str(port)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Asker:
    """Asks by numbered datagrams, one after the other, and counts those without an answer from the address that was asked."""

    def __init__(self, port):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.connect(("127.0.0.1", port))
        self.sock.settimeout(harness.PATIENCE)
        self.number = 0

    def ask(self):
        self.number += 1
        self.sock.send(b"%d" % self.number)
        assert self.sock.recv(100) == b"%d" % self.number, "an answer is lost"


@pytest.fixture
def plugins(tmp_path):
    """The plugins as they are built, and the family that crashes."""
    directory = tmp_path / "plugins"
    directory.mkdir()
    for name in os.listdir(harness.plugin_dir()):
        if name.endswith(".so"):
            shutil.copy(os.path.join(harness.plugin_dir(), name), directory)
    harness.compile_crashy(str(directory))
    return str(directory)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_and_nobody_notices(place, plugins, kind):
    house = House(place)
    with Serve(house.back), Echo(house.udp_back), Daemon(house.routes(), settings={"plugin_dir": plugins, **QUIET}) as daemon:
        asker = Asker(house.udp)
        asker.ask()
        with socket.create_connection(house.front.address):  # and a good reload has nothing left to open
            daemon.ctl("reload")
        refuse(daemon, house, kind, 0)  # a family's plugin stays loaded
        until("no session is left but the asker's", lambda: len(daemon.sessions()) == 1)
        files, before, kept = socket_files(place), tables(daemon), kept_open(daemon)
        swarm = Running("swarm", "--to", house.front, "--to", house.front6, "--to", house.file, "--seconds", 3600, "--parallel", 16)
        for number in range(ROUNDS):
            refuse(daemon, house, kind, number)
            asker.ask()
        count, status = swarm.stop()
        assert status == 0, count
        until("the sessions have ended", lambda: len(daemon.sessions()) == 1)
        until("all is as it was", lambda: tables(daemon) == before)
        until("no descriptor is left", lambda: all(count <= kept.get(kind, 0) for kind, count in kept_open(daemon).items()))
        assert socket_files(place) == files
        daemon.reload({**house.routes("true"), **house.more()})
        assert daemon.status()["reload"]["ok"] is True
        assert house.front.listening()
        asker.ask()


@pytest.mark.parametrize("ends", ("stop", "killed"))
def test_between_prepare_and_commit(place, ends):
    """The old worker does not stop: what is prepared waits. Then the daemon is told to end, or the worker is killed, and all is well."""
    house = House(place)
    with Serve(house.back), Daemon(house.routes(), settings=QUIET) as daemon:
        files = socket_files(place)
        daemon.write({**house.routes("true"), **house.more()})
        with socket.create_connection(house.front.address) as held:
            worker = daemon.hold_worker()
            daemon.signal(signal.SIGHUP)
            until("new sockets are bound", lambda: len(socket_files(place)) == len(files) + 3)
            if ends == "killed":
                os.kill(worker, signal.SIGKILL)
                assert daemon.worker_after(worker)
                until("the new configuration runs", lambda: daemon.status()["reload"]["succeeded"] == 1)
                held.close()
                count, status = Running("swarm", "--to", house.front, "--to", house.file, "--sessions", 50).finish()
                assert status == 0, count
        if ends == "stop":
            os.kill(daemon.keeper, signal.SIGTERM)
            until("it has ended", lambda: daemon.process.poll() is not None)
            assert socket_files(place) == [house.back.address]


def is_refused(path, kind):
    with socket.socket(socket.AF_UNIX, kind) as client:
        try:
            client.connect(path)
            client.send(b"taken by nobody")
        except OSError:
            return True
    return False


def test_what_is_bound_already_takes_no_client(place):
    """While a prepared configuration waits for the old worker to stop, who connects is not lost if it is taken back."""
    house = House(place)
    with Serve(house.back), Daemon(house.routes(), settings=QUIET) as daemon:
        files = socket_files(place)
        daemon.write({**house.routes("true"), **house.more()})
        worker = daemon.hold_worker()
        try:
            daemon.signal(signal.SIGHUP)
            until("new sockets are bound", lambda: len(socket_files(place)) == len(files) + 3)
            new = [path for path in socket_files(place) if path not in files]
            for path in new:
                kind = socket.SOCK_DGRAM if "messages" in path else socket.SOCK_SEQPACKET if "packets" in path else socket.SOCK_STREAM
                until("it takes no client", lambda path=path, kind=kind: is_refused(path, kind))  # its file is there a moment earlier
        finally:
            os.kill(worker, signal.SIGKILL)
        assert daemon.worker_after(worker)
        until("the new configuration runs", lambda: daemon.status()["reload"]["succeeded"] == 1)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.connect(next(path for path in new if "messages" in path))
            client.send(b"taken now")
