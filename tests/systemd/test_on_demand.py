# SPDX-License-Identifier: LGPL-2.1-or-later
"""Units on demand under a real systemd, D-Bus and polkit, as the service's own user and with PrivateUsers=yes: the shipped rule and drop-in, and what
becomes of it without them. The rest: tests/flow/test_on_demand.py."""

import contextlib
import os
import shutil
import signal
import socket

import pytest

import harness
import service
from harness import holds, until
from service import Service, drop_in, run, show

SHIPPED = "/usr/local/share/doc/spliced/examples/systemd"
RULES = "/etc/polkit-1/rules.d"
SOCKET = "/run/app/socket"
STILL = 3  # s: idle_stop is 1s
APP = f"""
import os, socket
with socket.socket(socket.AF_UNIX) as sock:
    if os.path.exists("{SOCKET}"):
        os.unlink("{SOCKET}")
    sock.bind("{SOCKET}")
    os.chmod("{SOCKET}", 0o666)
    sock.listen(64)
    while True:
        client = sock.accept()[0]
        if not os.fork():
            while True:
                said = client.recv(100)
                if not said:
                    break
                client.sendall(said)
            os._exit(0)
        client.close()
"""
PRIVATE = "[Service]\nCapabilityBoundingSet=\nAmbientCapabilities=\nPrivateUsers=yes\n"


def route(front, **more):
    return {"listen": f"tcp4://127.0.0.1:{front}", "retry": {"total": "60s"},
            "target": {"family": "unix", "path": SOCKET, "name": "app", "unit": "app.service", "idle_stop": "1s"}, **more}


ROUTES = {"one": route(7210), "two": route(7211)}


def client(front=7210):
    sock = socket.create_connection(("127.0.0.1", front), 60)
    sock.sendall(b"hello")
    return sock


def hears(sock):
    sock.settimeout(60)
    assert sock.recv(100) == b"hello"


def starts():
    """How often it was started."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.getsize("/opt/app/starts")
    return 0


def active():
    return show("app.service", "ActiveState")


@pytest.fixture(scope="module", autouse=True)
def installed():
    """The unit, the rule, the drop-in."""
    if not shutil.which("dbus-daemon") or not os.path.exists("/usr/lib/polkit-1/polkitd"):
        pytest.skip("needs D-Bus and polkit: apt install dbus polkitd")
    service.install()
    os.makedirs("/opt/app", exist_ok=True)
    with open("/opt/app/app.py", "w", encoding="utf-8") as file:
        file.write(APP)
    with open("/etc/systemd/system/app.service", "w", encoding="utf-8") as file:
        file.write("[Unit]\nStartLimitIntervalSec=0\n[Service]\nRuntimeDirectory=app\n"
                   "ExecStart=/bin/sh -c 'printf . >>/opt/app/starts; exec /usr/bin/python3 /opt/app/app.py'\n")
    with open(os.path.join(SHIPPED, "spliced-units.conf"), encoding="utf-8") as file:
        drop_in("units", file.read())
    run("systemctl", "start", "dbus.socket")
    yield
    run("systemctl", "stop", "app", check=False)
    os.unlink(os.path.join(service.DROP_INS, "units.conf"))
    run("systemctl", "daemon-reload")


@contextlib.contextmanager
def permitted():
    os.makedirs(RULES, exist_ok=True)
    path = shutil.copy(os.path.join(SHIPPED, "spliced-units.rules"), RULES)
    os.chmod(path, 0o644)
    run("systemctl", "restart", "polkit")
    try:
        yield
    finally:
        os.unlink(path)
        run("systemctl", "restart", "polkit")


@pytest.fixture(autouse=True)
def at_rest():
    run("systemctl", "stop", "app", check=False)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(SOCKET)


def stopped():
    until("the unit is stopped", lambda: active() in ("inactive", "failed"))


def test_it_is_denied_without_the_rule():
    routes = {"one": route(7210, retry={"total": "2s"})}
    with Service(routes) as spliced:
        with client() as sock:
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
        denied = "unit app.service cannot be started: access is denied; install a polkit rule"
        assert denied in spliced.status()["verdict"]
        until("the log says so", lambda: denied in spliced.log())
        assert active() == "inactive"


def test_as_a_user_of_its_own():
    before = starts()
    with permitted(), Service(ROUTES) as spliced:
        clients = [client() for _ in range(10)]
        for sock in clients:
            hears(sock)
        assert starts() == before + 1
        worker = spliced.worker
        os.kill(worker, signal.SIGKILL)
        until("it has an heir", lambda: spliced.worker != worker)
        spliced.systemctl("reload")
        spliced.systemctl("restart")
        for sock in clients[1:]:
            sock.close()
        holds("it is in use", lambda: active() == "active", STILL)
        with client(7211) as other:
            hears(other)
            clients[0].close()
            holds("the other route uses it", lambda: active() == "active", STILL)
        stopped()
        # Again; and what an administrator has started is not stopped.
        with client() as sock:
            hears(sock)
            assert starts() == before + 2
        stopped()
        run("systemctl", "start", "app")
        until("it serves", lambda: os.path.exists(SOCKET))
        with client() as sock:
            hears(sock)
        holds("it is somebody else's", lambda: active() == "active", STILL)
        assert starts() == before + 3


def test_with_private_users():
    drop_in("private", PRIVATE)
    before = starts()
    try:
        with permitted(), Service(ROUTES) as spliced:
            with open(f"/proc/{spliced.keeper}/uid_map", encoding="utf-8") as file:
                assert "4294967295" not in file.read(), "it has a user namespace of its own"
            with client() as sock:
                hears(sock)
            stopped()
            assert starts() == before + 1
            # All of the service is killed while it runs: it is another's then.
            with client() as sock:
                hears(sock)
            keeper = spliced.keeper
            os.kill(keeper, signal.SIGKILL)
            until("it is back", lambda: spliced.keeper not in (0, keeper) and spliced.ctl("status").returncode in (0, 1))
            if active() == "active":
                with client() as sock:
                    hears(sock)
                assert starts() == before + 2
    finally:
        os.unlink(os.path.join(service.DROP_INS, "private.conf"))
        run("systemctl", "daemon-reload")
