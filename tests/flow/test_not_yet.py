# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a listener hangs on is not there yet: an address, a directory, a network namespace, a name of a host, of a user or group that the file is
given to, a file of X.conf.d. The route waits for it, says so, and opens by itself; the others serve from the start."""

import contextlib
import grp
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess

import pytest

import harness
from harness import Daemon, Endpoint, until
from namespace import Namespace, ip

PATIENCE = 3 * harness.PATIENCE
NETNS = f"spliced-not-yet-{os.getpid()}"


@pytest.fixture(autouse=True)
def root():
    if os.geteuid():
        pytest.skip("namespaces take root")


@pytest.fixture
def back(place):
    with Endpoint("unix", place).listen() as listener:
        yield listener


def target(listener):
    return f"unix://{listener.getsockname()}"


def states(daemon):
    return {one["route"]: one["state"] for one in daemon.ctl("listeners")["listeners"]}


def is_served(sock, listener):
    with sock, listener.accept()[0] as server:
        sock.settimeout(harness.PATIENCE)
        sock.sendall(b"served")
        return server.recv(6) == b"served"


def connect(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    return sock


class Absent:
    """Things of this machine that are not there, and a route for each."""

    def __init__(self, place, listener):
        self.place, self.listener = place, listener
        self.port = harness.free_port()
        to = {"target": target(listener)}
        self.routes = {"tcp": {"listen": f"tcp4://10.99.0.1:{self.port}", **to},
                       "tcp6": {"listen": f"tcp6://[fd99::1]:{self.port}", **to},
                       "udp": {"listen": f"udp4://10.99.0.1:{self.port}", "target": "udp4://127.0.0.1:9"},
                       **{kind: {"listen": f"{scheme}://{place}/d/{kind}", "target": f"{scheme}://{place}/none"}
                          for kind, scheme in (("dgram", "unix-dgram"), ("seqpacket", "unix-seqpacket"))},
                       "stream": {"listen": f"unix://{place}/d/stream", **to},
                       "netns": {"listen": f"tcp4://127.0.0.1:{self.port}?netns={NETNS}", **to}}

    def come(self):
        ip("address", "add", "10.99.0.1/32", "dev", "lo")
        ip("address", "add", "fd99::1/128", "dev", "lo", "nodad")
        os.mkdir(os.path.join(self.place, "d"))
        ip("netns", "add", NETNS)
        subprocess.run(["ip", "-n", NETNS, "link", "set", "lo", "up"], check=True)

    def serve(self):
        assert is_served(socket.create_connection(("10.99.0.1", self.port), harness.PATIENCE), self.listener)
        assert is_served(socket.create_connection(("fd99::1", self.port), harness.PATIENCE), self.listener)
        assert is_served(connect(os.path.join(self.place, "d", "stream")), self.listener)
        done = subprocess.run(["ip", "netns", "exec", NETNS, "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{self.port}"], check=False)
        assert done.returncode == 0
        self.listener.accept()[0].close()


@pytest.fixture
def absent(place, back):
    with contextlib.suppress(FileNotFoundError), open(f"/run/netns/{NETNS}", encoding="utf-8"):
        pytest.skip(f"there is a network namespace {NETNS}")
    with Namespace():
        yield Absent(place, back)
    subprocess.run(["ip", "netns", "delete", NETNS], check=False, capture_output=True)


@pytest.mark.parametrize("by", ("start", "reload"))
def test_what_this_machine_has_not_yet(place, back, absent, by):
    well = {"well": {"listen": f"unix://{place}/well", "target": target(back)}}
    routes = {**well, **absent.routes}
    with Daemon(routes if by == "start" else well, wait=False) as daemon:
        until("it runs", lambda: os.path.exists(f"{place}/well") and daemon.ctl_run("status").returncode in (0, 1))
        if by == "reload":
            daemon.reload(routes)
        assert is_served(connect(f"{place}/well"), back)
        found = states(daemon)
        assert found.pop("well") == "listening" and set(found.values()) == {"waiting"} and set(found) == set(absent.routes), found
        verdict = daemon.status()["verdict"]
        assert "DEGRADED" in verdict and "waits (Cannot assign requested address)" in verdict, verdict
        assert all(f"route {name}: " in daemon.log() for name in absent.routes)
        before = daemon.status()["reload"]
        worker = daemon.worker
        os.kill(worker, signal.SIGKILL)
        daemon.worker_after(worker)
        absent.come()
        until("all listen", lambda: set(states(daemon).values()) == {"listening"}, PATIENCE)
        until("all is well", lambda: daemon.status()["verdict"] == "OK", PATIENCE)
        absent.serve()
        assert daemon.status()["reload"] == before, "nothing was read again"


NAMES = {"/etc/passwd": "latecomer:x:4711:4711::/:/bin/false\n", "/etc/group": "latecomers:x:4712:root\n",
         "/etc/hosts": "127.0.0.1 late.invalid\n::1 late.invalid\n"}


class Names:
    """Files of names of the daemon's own, which can grow."""

    def __init__(self, place):
        self.copies = {path: os.path.join(place, "of" + path.replace("/", "-")) for path in NAMES}
        for path, copy in self.copies.items():
            shutil.copy(path, copy)

    def wrap(self):
        mounts = " && ".join(f"mount --bind {copy} {path}" for path, copy in self.copies.items())
        return ("unshare", "--mount", "sh", "-c", mounts + ' && exec "$@"', "sh")

    def learn(self):
        for path, copy in self.copies.items():
            with open(copy, "a", encoding="utf-8") as file:
                file.write(NAMES[path])


def named_routes(place, port, listener):
    to = {"target": target(listener)}
    return {"owner": {"listen": f"unix://{place}/owner?owner=latecomer", **to}, "group": {"listen": f"unix://{place}/group?group=latecomers", **to},
            "host4": {"listen": f"tcp4://late.invalid:{port}", **to}, "host": {"listen": f"tcp://late.invalid:{port + 1}", **to}}


def test_names_that_nobody_knows_yet(place, back):
    names = Names(place)
    if subprocess.run([*names.wrap(), "true"], check=False).returncode:
        pytest.skip("no mount namespace here")
    port = harness.free_port()
    well = {"well": {"listen": f"unix://{place}/well", "target": target(back)}}
    routes = {**well, **named_routes(place, port, back)}
    with Namespace(), Daemon(routes, wrap=names.wrap(), wait=False) as daemon:
        daemon.wrap = []  # each of them has become the next
        until("it runs", lambda: os.path.exists(f"{place}/well") and daemon.ctl_run("status").returncode in (0, 1))
        assert is_served(connect(f"{place}/well"), back)
        found = states(daemon)
        assert found.pop("well") == "listening" and set(found.values()) == {"waiting"} and len(found) == len(routes) - 1, found
        assert daemon.status()["verdict"].count("unknown ") >= 3, daemon.status()["verdict"]
        assert not os.path.exists(f"{place}/owner"), "a file that nobody was given"
        # Who changes the file has made a mistake, if that is all the same.
        daemon.write({**routes, "more": {"listen": f"unix://{place}/more?owner=nobody-of-this-name", "target": target(back)}})
        done = daemon.ctl_run("reload")
        assert done.returncode == 1 and "nobody-of-this-name" in done.stdout and "late.invalid" in done.stdout, done
        daemon.write(routes)
        names.learn()
        until("all listen", lambda: set(states(daemon).values()) == {"listening"}, PATIENCE)
        until("a file is given away", lambda: os.stat(f"{place}/owner").st_uid == 4711)
        assert os.stat(f"{place}/group").st_gid == 4712
        for where in ("127.0.0.1", "::1"):
            assert is_served(socket.create_connection((where, port + 1), harness.PATIENCE), back)
        assert is_served(socket.create_connection(("127.0.0.1", port), harness.PATIENCE), back)
        daemon.reload(routes)
        assert daemon.status()["verdict"] == "OK"


def test_a_check_names_what_nobody_knows(place, back):
    with pytest.raises(KeyError):
        pwd.getpwnam("latecomer")
    with pytest.raises(KeyError):
        grp.getgrnam("latecomers")
    daemon = Daemon(named_routes(place, 80, back))
    try:
        done = subprocess.run([harness.spliced(), "-t", "-c", daemon.file], capture_output=True, text=True, check=False)
        assert done.returncode == 78 and "latecomer\"" in done.stderr and "latecomers" in done.stderr, done
    finally:
        shutil.rmtree(daemon.directory)


def test_a_file_that_cannot_be_read_yet(place, back):
    to = {"target": target(back)}
    daemon = Daemon({"well": {"listen": f"unix://{place}/well?mode=0777", **to}}, {"user": "nobody"}, wait=False)
    os.chmod(daemon.directory, 0o777)
    os.chmod(place, 0o777)
    os.chmod(back.getsockname(), 0o777)
    os.mkdir(daemon.file + ".d")
    for name in "ab":
        path = f"{daemon.file}.d/{name}.conf"
        with open(path, "w", encoding="utf-8") as file:
            file.write(f'routes: {{ {name}: {{ listen = "unix://{place}/{name}?mode=0777"; target = "{target(back)}"; }}; }};\n')
        os.chmod(path, 0)
    os.mkdir(f"{daemon.file}.d/c.conf")
    with daemon:
        until("it runs", lambda: os.path.exists(f"{place}/well") and daemon.ctl_run("status").returncode in (0, 1))
        assert is_served(connect(f"{place}/well"), back)
        for name, rest in (("a", "b.conf"), ("b", "c.conf")):
            verdict = daemon.status()["verdict"]
            assert f"{name}.conf cannot be read" in verdict, verdict
            assert not os.path.exists(f"{place}/{name}") and f"{name}.conf: cannot be read" in daemon.log()
            os.chmod(f"{daemon.file}.d/{name}.conf", stat.S_IRUSR | stat.S_IROTH)
            until("it is served", lambda name=name: os.path.exists(f"{place}/{name}"), PATIENCE)
            until("the rest is waited for", lambda rest=rest: rest in daemon.status()["verdict"], PATIENCE)
            assert is_served(connect(f"{place}/{name}"), back)
        os.rmdir(f"{daemon.file}.d/c.conf")
        daemon.ctl("reload")
        assert daemon.status()["verdict"] == "OK"
        # What runs is not given up for a file that is locked later.
        os.chmod(f"{daemon.file}.d/a.conf", 0)
        assert daemon.ctl_run("reload").returncode == 1
        assert is_served(connect(f"{place}/a"), back)
