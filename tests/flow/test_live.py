# SPDX-License-Identifier: LGPL-2.1-or-later
"""Options that every endpoint takes are set on the listening socket as it is: for sessions to come, and open ones keep theirs."""

import ctypes
import os
import socket

import pytest

import harness
from harness import Daemon, Endpoint, free_port, until

SYS_pidfd_getfd = 438
SO_BUF_LOCK, SO_MARK, SO_PRIORITY = 72, 36, 12
PLENTY = 64  # clients until each thread has accepted one


def sockets(daemon, wanted):
    """Copies of the daemon's sockets that answer wanted(socket)."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(daemon.keeper)
    found = []
    try:
        for number, link in harness.descriptors(daemon.keeper).items():
            if not link.startswith("socket:"):
                continue
            fd = libc.syscall(SYS_pidfd_getfd, pidfd, number, 0)
            if fd < 0:
                if ctypes.get_errno() == 1:
                    raise harness.Skip("pidfd_getfd(2) is not permitted here")
                continue
            sock = socket.socket(fileno=fd)
            if wanted(sock):
                found.append(sock)
            else:
                sock.close()
    finally:
        os.close(pidfd)
    return found


def facts(sock):
    def get(option):
        return sock.getsockopt(socket.SOL_SOCKET, option)
    return {"rcvbuf": get(socket.SO_RCVBUF), "sndbuf": get(socket.SO_SNDBUF), "mark": get(SO_MARK), "priority": get(SO_PRIORITY),
            "lock": get(SO_BUF_LOCK)}


def listening(address):
    def wanted(sock):
        try:
            return sock.getsockname() == address and (sock.type == socket.SOCK_DGRAM or sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        except OSError:
            return False
    return wanted


def inode(sock):
    return os.fstat(sock.fileno()).st_ino


def look(daemon, address):
    """{inode: what is set} of the sockets that listen there."""
    found = sockets(daemon, listening(address))
    try:
        return {inode(sock): facts(sock) for sock in found}
    finally:
        for sock in found:
            sock.close()


def kind(name, place):
    """The text of a listener, and its address as getsockname(2) says it."""
    if name == "unix":
        endpoint = Endpoint("unix", place)
        return endpoint.text, endpoint.address
    if name == "unix-dgram":
        path = os.path.join(place, "messages")
        return f"unix-dgram://{path}", path
    port = free_port()
    if name in ("tcp6", "udp6"):
        return f"{name}://[::1]:{port}", ("::1", port, 0, 0)
    return f"{name}://127.0.0.1:{port}", ("127.0.0.1", port)


def target(name, place):
    return {"tcp": "tcp4://127.0.0.1:9", "udp": "udp4://127.0.0.1:9"}.get(name[:3], f"{name}://{place}/nobody")


@pytest.mark.parametrize("name", ("tcp4", "tcp6", "udp4", "udp6", "unix", "unix-dgram"))
def test_the_socket_stays_and_has_them(place, name):
    if os.geteuid() != 0:
        raise harness.Skip("a mark takes a privilege")
    text, address = kind(name, place)

    def routes(more=""):
        return {"r": {"listen": text + more, "target": target(name, place)}}
    with Daemon(routes()) as daemon:
        before = look(daemon, address)
        assert before
        daemon.reload(routes("?rcvbuf=100000&sndbuf=80000&mark=7&priority=3"))
        now = look(daemon, address)
        assert now.keys() == before.keys(), "it is another socket"
        for one in now.values():
            assert one == {"rcvbuf": 200000, "sndbuf": 160000, "mark": 7, "priority": 3, "lock": 3}
        assert len(daemon.ctl("listeners")["listeners"]) == 1
        daemon.reload(routes("?rcvbuf=50000&mark=9"))
        for number, one in look(daemon, address).items():
            assert one == {**before[number], "rcvbuf": 100000, "mark": 9, "lock": 2}
        daemon.reload(routes())
        assert look(daemon, address) == before, "what is not said any more stays"


@pytest.mark.parametrize("name", ("tcp4", "tcp6", "unix"))
def test_open_sessions_keep_theirs(place, name):
    text, address = kind(name, place)
    back = Endpoint("unix", place)
    family = {"tcp4": socket.AF_INET, "tcp6": socket.AF_INET6, "unix": socket.AF_UNIX}[name]

    def accepted(daemon):
        def wanted(sock):
            try:
                return sock.getsockname() == address and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            except OSError:
                return False
        found = sockets(daemon, wanted)
        sizes = {inode(sock): facts(sock)["sndbuf" if name == "unix" else "rcvbuf"] for sock in found}
        for sock in found:
            sock.close()
        return sizes

    def routes(more):
        return {"r": {"listen": text + more, "target": back}}
    with back.listen(), Daemon(routes("?rcvbuf=30000&sndbuf=30000")) as daemon, socket.socket(family) as old, socket.socket(family) as new:
        old.connect(address)
        until("it relays", daemon.relays)
        before = accepted(daemon)
        assert list(before.values()) == [60000] or name == "unix", before
        daemon.reload(routes("?rcvbuf=40000&sndbuf=40000"))
        new.connect(address)
        until("both relay", lambda: [one["state"] for one in daemon.sessions()] == ["relaying"] * 2)
        now = accepted(daemon)
        assert before.items() <= now.items()
        if name != "unix":  # what a UNIX socket accepts has the connecting side's buffers, and its own defaults
            assert sorted(now.values()) == [60000, 80000]


def test_one_that_cannot_be_set_is_refused(place):
    """A privilege that it takes is looked for before anything changes."""
    if os.geteuid() != 0:
        raise harness.Skip("only root can become somebody else")
    text, address = kind("tcp4", place)
    daemon = Daemon({"r": {"listen": text, "target": "tcp4://127.0.0.1:9"}}, settings={"user": "nobody"})
    os.chmod(daemon.directory, 0o777)
    with daemon:
        before = look(daemon, address)
        daemon.write({"r": {"listen": text + "?mark=7", "target": "tcp4://127.0.0.1:9"}})
        done = daemon.ctl_run("reload")
        assert done.returncode == 1 and "privilege" in done.stdout + done.stderr, done
        assert look(daemon, address) == before
