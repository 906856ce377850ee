# SPDX-License-Identifier: LGPL-2.1-or-later
"""Started as root with `user`: root is dropped before anything binds, in every process and thread, and start and every
reload see the same rights."""

import os
import pwd
import shutil
import socket
import stat
import subprocess

import pytest

import harness
from harness import Daemon, Endpoint, free_port

NET_BIND_SERVICE = 10


@pytest.fixture(autouse=True)
def root():
    if os.geteuid() != 0:
        raise harness.Skip("only root can become somebody else")


@pytest.fixture
def nobody():
    return pwd.getpwnam("nobody")


def low_port():
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="utf-8") as file:
        first = int(file.read())
    for port in range(first - 1, 600, -1):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise harness.Skip("every port is free for all here (net.ipv4.ip_unprivileged_port_start)")


def facts(pid):
    """Of each thread: the four uids and gids, the supplementary groups, the capabilities it has."""
    found = set()
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/status", encoding="utf-8") as file:
            lines = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        found.add((lines["Uid"], lines["Gid"], lines["Groups"].strip(), int(lines["CapEff"], 16),
                   int(lines["CapPrm"], 16), lines["NoNewPrivs"]))
    return found


def expected(nobody, capabilities=0):
    groups = " ".join(map(str, sorted(os.getgrouplist("nobody", nobody.pw_gid))))
    return {("\t".join([str(nobody.pw_uid)] * 4), "\t".join([str(nobody.pw_gid)] * 4), groups, capabilities,
             capabilities, "1")}


def start(place, routes, **settings):
    control = os.path.join(place, "made", "c.sock")
    daemon = Daemon(routes, settings={"user": "nobody", "control": {"path": control}, **settings})
    daemon.control = control
    return daemon


def test_every_thread_is_nobody(place, nobody):
    front, back = Endpoint("inet", place), Endpoint("inet", place)
    with back.listen(), start(place, {"r": {"listen": front, "target": back}}) as daemon:
        assert facts(daemon.keeper) == expected(nobody)
        assert facts(daemon.worker) == expected(nobody)
        made = os.stat(os.path.dirname(daemon.control))
        assert (made.st_uid, stat.S_IMODE(made.st_mode)) == (nobody.pw_uid, 0o755)
        assert daemon.status()["verdict"] == "OK"


def test_a_low_port_and_a_reload(place, nobody):
    """The capability that the routes need is kept, and no other; a reload binds more of the kind."""
    back, port = Endpoint("inet", place), low_port()
    first = {"r": {"listen": f"tcp4://127.0.0.1:{port}", "target": back}}
    with back.listen(), start(place, first) as daemon:
        assert facts(daemon.worker) == expected(nobody, 1 << NET_BIND_SERVICE)
        other = low_port()
        assert other != port
        daemon.reload({**first, "s": {"listen": f"tcp4://127.0.0.1:{other}", "target": back}})
        assert facts(daemon.worker) == expected(nobody, 1 << NET_BIND_SERVICE)
        for number in (port, other):
            socket.create_connection(("127.0.0.1", number), timeout=harness.PATIENCE).close()


def test_a_reload_that_needs_more_is_refused(place):
    back, front = Endpoint("inet", place), Endpoint("inet", place)
    routes = {"r": {"listen": front, "target": back}}
    with back.listen() as listener, start(place, routes) as daemon:
        daemon.write({**routes, "low": {"listen": f"tcp4://127.0.0.1:{low_port()}", "target": back}})
        answer = daemon.ctl("reload", status=1)
        assert "Permission denied" in answer["error"] and "route low" in answer["error"]
        with front.connect() as client:
            server, _ = listener.accept()
            client.sendall(b"still here")
            assert server.recv(20) == b"still here"
            server.close()


def test_a_file_that_only_root_can_read(place):
    """It is refused at the start: the first reload could not read it either."""
    routes = {"r": {"listen": f"tcp4://127.0.0.1:{free_port()}", "target": Endpoint("inet", place)}}
    daemon = start(place, routes)
    try:
        os.chmod(daemon.file, 0o600)
        done = subprocess.run([harness.spliced(), "-c", daemon.file], capture_output=True, text=True,
                              timeout=harness.PATIENCE, check=False)
    finally:
        daemon.kill()
        shutil.rmtree(daemon.directory)
    assert done.returncode == 77, done.stderr
    assert "Permission denied" in done.stderr and daemon.file in done.stderr


def test_an_unknown_user(place):
    routes = {"r": {"listen": f"tcp4://127.0.0.1:{free_port()}", "target": Endpoint("inet", place)}}
    daemon = start(place, routes, user="nobody-at-all")
    try:
        done = subprocess.run([harness.spliced(), "-c", daemon.file], capture_output=True, text=True,
                              timeout=harness.PATIENCE, check=False)
    finally:
        shutil.rmtree(daemon.directory)
    assert done.returncode == 78
    assert f"{daemon.file}:" in done.stderr and "nobody-at-all" in done.stderr
