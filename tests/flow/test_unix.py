# SPDX-License-Identifier: LGPL-2.1-or-later
"""UNIX sockets are files too: permissions, and what stands where ours should be."""

import os
import socket
import stat

import pytest

import harness
from harness import Daemon, Endpoint


def listen_group(endpoint, **options):
    return {"family": "unix", "path": endpoint.address, **options}


def refused_start(routes):
    """Starts a daemon that must refuse, and returns its log."""
    daemon = Daemon(routes, wait=False)
    try:
        daemon.start()
        status = daemon.process.wait(harness.PATIENCE)
        log = daemon.log()
        assert status != 0, log
        return log
    finally:
        daemon.kill()


@pytest.mark.parametrize("mode", ("0600", "0660", "0666"))
def test_mode(place, mode):
    front, back = Endpoint("unix", place), Endpoint("unix", place)
    with Daemon({"r": {"listen": listen_group(front, mode=mode), "target": back}}):
        harness.until("it listens", front.listening)
        assert stat.S_IMODE(os.stat(front.address).st_mode) == int(mode, 8)


def test_a_stale_file_is_replaced(place):
    front, back = Endpoint("unix", place), Endpoint("unix", place)
    front.listen().close()
    assert os.path.exists(front.address)
    with harness.Serve(back), Daemon({"r": {"listen": front, "target": back}}):
        count, status = harness.peers_run("swarm", "--to", front, "--sessions", 5)
        assert status == 0, count
    assert not os.path.exists(front.address), "our own file is left behind"


def test_a_stale_file_stays_without_unlink(place):
    front, back = Endpoint("unix", place), Endpoint("unix", place)
    front.listen().close()
    log = refused_start({"r": {"listen": listen_group(front, unlink=False), "target": back}})
    assert front.address in log
    assert os.path.exists(front.address)


def test_a_live_socket_is_left_alone(place):
    front, back = Endpoint("unix", place), Endpoint("unix", place)
    with front.listen() as other:
        log = refused_start({"r": {"listen": front, "target": back}})
        assert front.address in log
        with front.connect() as client:
            server, _ = other.accept()
            client.sendall(b"mine")
            assert server.recv(100) == b"mine"
            server.close()


@pytest.mark.parametrize("kind", ("file", "directory", "link", "fifo"))
def test_any_other_file_is_left_alone(place, kind):
    front, back = Endpoint("unix", place), Endpoint("unix", place)
    precious = os.path.join(place, "precious")
    if kind == "file":
        with open(front.address, "w", encoding="utf-8") as file:
            file.write("precious")
    elif kind == "directory":
        os.mkdir(front.address)
    elif kind == "fifo":
        os.mkfifo(front.address)
    else:
        with open(precious, "w", encoding="utf-8") as file:
            file.write("precious")
        os.symlink(precious, front.address)
    before = os.lstat(front.address)
    log = refused_start({"r": {"listen": front, "target": back}})
    assert front.address in log
    after = os.lstat(front.address)
    assert (before.st_ino, before.st_mode, before.st_size) == (after.st_ino, after.st_mode, after.st_size)


def test_abstract_names(place):
    name = f"spliced-test-{os.getpid()}"
    front, back = f"unix://@{name}-front", f"unix://@{name}-back"
    with harness.Serve(back), Daemon({"r": {"listen": front, "target": back}}):
        count, status = harness.peers_run("swarm", "--to", front, "--sessions", 20, "--parallel", 4)
        assert status == 0, count


@pytest.mark.parametrize("kind", ("stream", "seqpacket", "dgram"))
def test_abstract_names_that_are_padded(kind):
    """Whoever binds the whole of a sockaddr_un has zero bytes behind the name: another name than without them."""
    name = f"spliced-test-{os.getpid()}-{kind}"
    kinds = {"stream": socket.SOCK_STREAM, "seqpacket": socket.SOCK_SEQPACKET, "dgram": socket.SOCK_DGRAM}

    def padded(end):
        return f"\0{name}-{end}".encode().ljust(108, b"\0")

    ends = [{"family": "unix", "type": kind, "path": f"@{name}-{end}", "padded": True} for end in ("front", "back")]
    with socket.socket(socket.AF_UNIX, kinds[kind]) as server, socket.socket(socket.AF_UNIX, kinds[kind]) as client:
        server.bind(padded("back"))
        server.settimeout(harness.PATIENCE)
        if kind != "dgram":
            server.listen()
        with Daemon({"r": {"listen": ends[0], "target": ends[1]}}) as daemon:
            with pytest.raises(ConnectionRefusedError):
                client.connect(f"\0{name}-front")
            client.connect(padded("front"))
            client.send(b"through")
            assert (server if kind == "dgram" else server.accept()[0]).recv(100) == b"through"


def test_after_kill_9_of_everything_it_starts_again(place):
    """A dead socket file is no reason not to start."""
    front, back = Endpoint("unix", place), Endpoint("unix", place)
    daemon = Daemon({"r": {"listen": front, "target": back}})
    try:
        daemon.start()
        daemon.kill()
        assert os.path.exists(front.address)
        with socket.socket(socket.AF_UNIX) as client:
            with pytest.raises(ConnectionRefusedError):
                client.connect(front.address)
        with daemon, harness.Serve(back):
            count, status = harness.peers_run("swarm", "--to", front, "--sessions", 5)
            assert status == 0, count
    finally:
        daemon.kill()
