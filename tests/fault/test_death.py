# SPDX-License-Identifier: LGPL-2.1-or-later
"""The worker crashes or hangs: the keeper starts an heir, it counts why, and no session notices. The keeper dies: all
ends, and nothing is left behind."""

import contextlib
import os
import signal
import socket
import struct
import subprocess

import pytest

import harness
from harness import Daemon, Endpoint, Serve, peers_run

HANG_PATIENCE = float(os.environ.get("SPLICED_HANG_PATIENCE", "30"))


class Held:
    """A session with bytes in flight in both directions, whose ends can be asked for them."""

    def __init__(self, front, listener):
        self.client = front.connect()
        self.server, _ = listener.accept()
        self.client.settimeout(HANG_PATIENCE)
        self.server.settimeout(HANG_PATIENCE)

    def say(self):
        self.client.sendall(b"to the server")
        self.server.sendall(b"to the client")

    def hear(self):
        return (self.server.recv(100), self.client.recv(100)) == (b"to the server", b"to the client")

    def close(self):
        self.client.close()
        self.server.close()


@pytest.fixture
def held(place):
    front, back = Endpoint("inet", place), Endpoint("unix", place)
    with back.listen() as listener, Daemon({"r": {"listen": front, "target": back}}) as daemon:
        sessions = [Held(front, listener) for _ in range(5)]
        yield daemon, sessions
        for session in sessions:
            session.close()


def starts(daemon):
    return daemon.status()["worker"]["starts"]


def spoken(sessions):
    for session in sessions:
        session.say()
    return all(session.hear() for session in sessions)


@pytest.mark.parametrize("name", ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGSYS"))
def test_a_crash(held, name):
    daemon, sessions = held
    assert spoken(sessions)
    before, worker = starts(daemon), daemon.worker
    os.kill(worker, getattr(signal, name))
    daemon.worker_after(worker)
    assert spoken(sessions), "a session noticed the crash"
    after = starts(daemon)
    assert after["crash"] == before["crash"] + 1, (before, after)


def everywhere(kind, place):
    """Where to listen so that an address stands for many, and a client of it."""
    port = harness.free_port()
    if kind == "unix":
        front = Endpoint("unix", place)
        return front, front.socket, front.address
    if kind == "vsock":
        try:
            socket.socket(socket.AF_VSOCK).bind((socket.VMADDR_CID_ANY, port))
            with socket.socket(socket.AF_VSOCK) as probe:
                probe.connect((1, port))
        except ConnectionResetError:
            pass  # nobody listens, but somebody could
        except (AttributeError, OSError) as error:
            raise harness.Skip(f"no vsock over loopback here: {error}")
        return f"vsock://any:{port}", lambda: socket.socket(socket.AF_VSOCK), (1, port)
    if kind == "inet6":
        if not harness.has_ipv6():
            raise harness.Skip("no IPv6 here")
        return f"tcp6://[::]:{port}", lambda: socket.socket(socket.AF_INET6), ("::1", port)
    return f"tcp4://0.0.0.0:{port}", socket.socket, ("127.0.0.1", port)


@pytest.mark.parametrize("kind", ("inet", "inet6", "unix", "vsock"))
def test_a_death_in_accept(place, kind):
    """accept(2) has returned, and no record names what it gave."""
    back = Endpoint("unix", place)
    listen, make, address = everywhere(kind, place)
    with back.listen() as listener, Daemon({"r": {"listen": listen, "target": back}}, settings={"workers": 1}) as daemon, make() as client:
        worker, before = daemon.worker, len(harness.descriptors(daemon.worker))
        client.settimeout(HANG_PATIENCE)
        with harness.Injected(daemon, "accept4", "delay_exit=60000000"):
            client.connect(address)
            harness.until("it is accepted", lambda: len(harness.descriptors(worker)) > before)
            os.kill(worker, signal.SIGKILL)
        daemon.worker_after(worker)
        server, _ = listener.accept()
        with server:
            server.settimeout(HANG_PATIENCE)
            client.sendall(b"to the server")
            server.sendall(b"to the client")
            assert (server.recv(100), client.recv(100)) == (b"to the server", b"to the client")


@pytest.mark.parametrize("who", ("client", "target"))
@pytest.mark.parametrize("framings", ((None, None), ("length16", "length32"), ("line", "netstring")), ids=lambda pair: pair[0] or "bytes")
def test_a_death_after_a_reset(place, framings, who):
    """A reset is taken and written down, and the worker dies before it is passed on: the other end still sees a reset, and no end."""
    front, back = Endpoint("inet", place), Endpoint("inet", place)
    ends = [f"{end}?framing={framing}" if framing else str(end) for end, framing in zip((front, back), framings)]
    with back.listen() as listener, contextlib.ExitStack() as stack:
        daemon = stack.enter_context(Daemon({"r": {"listen": ends[0], "target": ends[1]}}, settings={"workers": 1, "log": {"level": "info", "sessions": True}}))
        client = stack.enter_context(front.connect())
        server = stack.enter_context(listener.accept()[0])
        goes, stays = (client, server) if who == "client" else (server, client)
        stays.settimeout(HANG_PATIENCE)
        worker = daemon.worker
        with harness.Injected(daemon, "writev", "delay_exit=60000000"):
            goes.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            goes.close()
            harness.until("it is logged", lambda: " to the target, " in daemon.log())
            os.kill(worker, signal.SIGKILL)
        daemon.worker_after(worker)
        with pytest.raises(ConnectionResetError):
            assert stays.recv(100) == b"nothing more"
        harness.until("no session is left", lambda: not daemon.sessions())


def test_crashes_again_and_again(held):
    """Deaths between sessions' turns are held against none of them."""
    daemon, sessions = held
    for _ in range(5):
        worker = daemon.worker
        os.kill(worker, signal.SIGSEGV)
        daemon.worker_after(worker)
        assert spoken(sessions)


def test_a_kill_from_outside(held):
    daemon, sessions = held
    worker = daemon.worker
    os.kill(worker, signal.SIGKILL)
    daemon.worker_after(worker)
    assert spoken(sessions)


def test_a_term_of_the_worker_alone(held):
    """It stops in good order, and it is no fault of its own, for which its heir would have to wait, each time longer."""
    daemon, sessions = held
    for _ in range(12):
        worker = daemon.worker
        os.kill(worker, signal.SIGTERM)
        daemon.worker_after(worker)
        assert spoken(sessions)


def test_a_fork_that_is_refused(held):
    """For a while: as soon as it is not any more, there is an heir, and the log has said it once."""
    daemon, sessions = held
    calls = os.path.join(daemon.directory, "calls")
    tracer = subprocess.Popen(["strace", "-o", calls, "-e", "trace=clone", "-e", "inject=clone:error=EAGAIN", "-p", str(daemon.keeper)],
                              stderr=subprocess.PIPE, text=True)
    if "attached" not in tracer.stderr.readline():
        pytest.skip("strace cannot attach here")
    worker = daemon.worker
    os.kill(worker, signal.SIGKILL)
    for session in sessions:
        session.say()
    try:
        harness.until("it is tried again, and again", lambda: open(calls, encoding="utf-8").read().count("INJECTED") > 4)
    finally:
        tracer.terminate()
        tracer.wait()
        tracer.stderr.close()
    daemon.worker_after(worker)
    assert all(session.hear() for session in sessions) and spoken(sessions)
    assert daemon.log().count("cannot start a worker") == 1


def test_a_hang(held):
    """A worker that does not move is killed after a while, and counted as hung."""
    daemon, sessions = held
    assert spoken(sessions)
    before, worker = starts(daemon), daemon.hold_worker()
    for session in sessions:
        session.say()  # stays in the sockets, until an heir moves it
    harness.until("the keeper kills the worker that hangs",
                  lambda: harness.process_state(worker) in (None, "Z"), HANG_PATIENCE)
    assert all(session.hear() for session in sessions), "a session noticed the hang"
    after = starts(daemon)
    assert after["hang"] == before["hang"] + 1, (before, after)


def test_a_short_stop_is_no_hang(held):
    daemon, sessions = held
    worker = daemon.hold_worker()
    harness.until("it is stopped", lambda: harness.process_state(worker) == "T")
    os.kill(worker, signal.SIGCONT)
    assert spoken(sessions)
    assert daemon.worker == worker


def test_the_keeper_dies(place):
    """Without the keeper the worker has no right to live: it goes, at once, and the address is free."""
    front, back = Endpoint("inet", place), Endpoint("unix", place)
    daemon = Daemon({"r": {"listen": front, "target": back}})
    try:
        with back.listen() as listener:
            daemon.start()
            session = Held(front, listener)
            session.say()
            assert session.hear()
            os.kill(daemon.keeper, signal.SIGKILL)
            daemon.process.wait()
            harness.until("nobody is left", lambda: not harness.session_members(daemon.process.pid))
            assert harness.read_all(session.client)[0] == b""
            assert not front.listening()
            session.close()
        with Serve(back), daemon:
            count, status = peers_run("swarm", "--to", front, "--sessions", 10)
            assert status == 0, count
    finally:
        daemon.kill()


def test_a_stop_while_the_worker_dies(place):
    """SIGTERM and SIGKILL at the same time: it still stops, with status 0, and leaves nobody."""
    front, back = Endpoint("inet", place), Endpoint("unix", place)
    for _ in range(5):
        with Daemon({"r": {"listen": front, "target": back}}) as daemon:
            worker = daemon.worker
            daemon.signal(signal.SIGTERM)
            try:
                os.kill(worker, signal.SIGKILL)
            except ProcessLookupError:
                pass
