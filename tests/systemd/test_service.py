# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service under a real systemd: start, reload, watchdog, what its sandbox leaves it. What traffic notices: test_promise.py."""

import errno
import os
import re
import resource
import signal
import socket
import time

import pytest

import harness
import service
from harness import Serve, Running, until
from service import Service, drop_in, run

PORT = 7100
BACK = 7101
FRONT = f"tcp4://127.0.0.1:{PORT}"
ROUTES = {"web": {"listen": FRONT, "target": f"tcp4://127.0.0.1:{BACK}"}}
UNIT = "/usr/local/lib/systemd/system/spliced.service"
EXAMPLE = "/usr/local/share/doc/spliced/examples/systemd/harden-ip-unix.conf"


@pytest.fixture(scope="session", autouse=True)
def installed():
    service.install()


@pytest.fixture(scope="module", autouse=True)
def server():
    with Serve(f"tcp://127.0.0.1:{BACK}") as serving:
        yield serving


def client(port=PORT):
    sock = socket.create_connection(("127.0.0.1", port))
    sock.settimeout(harness.PATIENCE)
    return sock


def swarm(seconds):
    return Running("swarm", "--to", f"tcp://127.0.0.1:{PORT}", "--parallel", 16, "--seconds", seconds)


def all_well(running):
    told, status = running.finish()
    assert status == 0, told
    return told


# ---- the unit ----


def test_units_are_right():
    """All that systemd has to say of them is where manual pages are, where the host has no man(1)."""
    done = run("systemd-analyze", "verify", UNIT, UNIT.replace("spliced.service", "spliced@one.service"), check=False)
    said = [line for line in done.stderr.splitlines() if "Command 'man" not in line]
    assert not said, said


def exposure(unit):
    told = run("systemd-analyze", "security", "--offline=true", "--no-pager", unit, check=False).stdout
    return float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", told).group(1))


def test_exposure():
    assert exposure(UNIT) <= 2.4


def merged(drop_in_text):
    """The unit as it is with a drop-in: what systemd-analyze can judge without a bus."""
    with open(UNIT, encoding="utf-8") as file:
        text = file.read()
    path = "/tmp/merged/spliced.service"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace("[Install]", drop_in_text.replace("[Service]", "") + "\n[Install]"))
    return path


def capabilities(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return int(re.search(r"^CapEff:\s(\w+)$", file.read(), re.M).group(1), 16)


def is_shut_in(spliced):
    """The unit's filter lets the worker set its own, and Landlock where the kernel has it."""
    sandbox = spliced.status()["worker"]["sandbox"]
    lacks = {f"landlock: {os.strerror(number)}" for number in (errno.ENOSYS, errno.EOPNOTSUPP)}
    return sandbox["seccomp"] and (sandbox["landlock"] or sandbox["why"] in lacks)


def test_what_harden_prints_fits():
    """A drop-in for what runs: less exposed, and it runs."""
    routes = {**ROUTES, "local": {"listen": "unix:///run/spliced/local.sock", "target": f"tcp4://127.0.0.1:{BACK}"}}
    with Service(routes) as spliced:
        text = spliced.ctl("harden").stdout
        assert exposure(merged(text)) <= 1.4, text
        with open(EXAMPLE, encoding="utf-8") as file:
            assert file.read().endswith(text), "the example is what it prints"
        drop_in("harden", text)
        try:
            spliced.systemctl("restart")
            all_well(swarm(1))
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect("/run/spliced/local.sock")
            assert spliced.ctl("upgrade").returncode == 0
            spliced.systemctl("reload")
            assert capabilities(spliced.keeper) == 0 and is_shut_in(spliced)
            # More than that is refused, and nothing changes.
            spliced.write({**routes, "low": {"listen": "tcp4://127.0.0.1:81", "target": f"tcp4://127.0.0.1:{BACK}"}})
            done = spliced.ctl("reload")
            assert done.returncode == 1 and "CAP_NET_BIND_SERVICE" in done.stderr + done.stdout, done
            all_well(swarm(1))
        finally:
            os.unlink(os.path.join(service.DROP_INS, "harden.conf"))
            run("systemctl", "daemon-reload")
        spliced.write(routes)


def test_a_worker_has_what_its_configuration_needs():
    with Service(ROUTES) as spliced:
        assert capabilities(spliced.keeper) == 1 << 10 | 1 << 12 | 1 << 13
        assert capabilities(spliced.worker) == 0
        low = {"low": {"listen": "tcp4://127.0.0.1:82", "target": f"tcp4://127.0.0.1:{BACK}"}}
        spliced.write({**ROUTES, **low})
        spliced.systemctl("reload")
        client(82).close()
        assert capabilities(spliced.worker) == 1 << 10
        marked = {"marked": {"listen": "tcp4://127.0.0.1:7110", "target": f"tcp4://127.0.0.1:{BACK}?mark=7"}}
        spliced.write({**ROUTES, **low, **marked})
        spliced.systemctl("reload")
        assert capabilities(spliced.worker) == 1 << 10 | 1 << 12
        text = spliced.ctl("harden").stdout
        assert "AmbientCapabilities=CAP_NET_BIND_SERVICE CAP_NET_ADMIN" in text and "PrivateUsers" not in text, text


def test_the_default_configuration_runs():
    """As it is installed it does nothing, and does it well."""
    with open(os.path.join(os.path.dirname(harness.__file__), "..", "..", "conf", "spliced.conf"), encoding="utf-8") as file:
        text = file.read()
    with Service({}) as spliced:
        with open(service.CONF, "w", encoding="utf-8") as file:
            file.write(text)
        spliced.systemctl("restart")
        assert spliced.show("ActiveState") == "active"
        assert spliced.ctl("status").returncode == 0


# ---- its life ----


def test_it_starts_and_says_so():
    with Service(ROUTES) as spliced:
        assert spliced.show("ActiveState") == "active"
        assert spliced.show("StatusText") == "OK; 1 route, 0 sessions"
        with client():
            until("the status tells of the session", lambda: spliced.show("StatusText") == "OK; 1 route, 1 session")
        with open(f"/proc/{spliced.keeper}/status", encoding="utf-8") as file:
            status = file.read()
        assert re.search(r"^NoNewPrivs:\s1$", status, re.M) and re.search(r"^Seccomp:\s2$", status, re.M)
        assert not re.search(r"^Uid:\s0", status, re.M), "it runs as a user of its own"
        assert is_shut_in(spliced)


def test_an_instance_has_its_own_control_socket():
    conf = os.path.join(os.path.dirname(service.CONF), "one.conf")
    with open(conf, "w", encoding="utf-8") as file:
        file.write(harness.config_text({"routes": {"one": {"listen": "tcp4://127.0.0.1:7109", "target": f"tcp4://127.0.0.1:{BACK}"}}})[2:-1])
    try:
        with Service(ROUTES):
            run("systemctl", "start", "spliced@one")
            assert run("splicectl", "-s", "/run/spliced-one/control.sock", "status").returncode == 0
            client(7109).close()
            run("systemctl", "reload", "spliced@one")
    finally:
        run("systemctl", "stop", "spliced@one", check=False)
        os.unlink(conf)


def test_reload_waits_for_the_answer():
    with Service(ROUTES) as spliced:
        spliced.write({**ROUTES, "more": {"listen": "tcp4://127.0.0.1:7102", "target": f"tcp4://127.0.0.1:{BACK}"}})
        spliced.systemctl("reload")
        client(7102).close()
        until("the status is that of the new one", lambda: spliced.show("StatusText").startswith("OK; 2 routes"))
        spliced.write({"web": {"listen": "tcp4://127.0.0.1:nonsense"}})
        assert spliced.systemctl("reload", check=False).returncode != 0
        client(7102).close()
        assert spliced.show("ActiveState") == "active" and spliced.show("NRestarts") == "0"
        until("the status tells of the refusal", lambda: "refused" in spliced.show("StatusText"))
        spliced.write(ROUTES)
        spliced.systemctl("reload")


def test_a_bad_configuration_does_not_start():
    spliced = Service({"web": {"listen": "tcp4://127.0.0.1:nonsense"}})
    try:
        done = spliced.systemctl("start", check=False)
        assert done.returncode != 0
        assert "nonsense" in spliced.log()
        assert spliced.show("ActiveState") == "failed", "it is not tried again: a file does not mend itself"
    finally:
        spliced.systemctl("stop", check=False)


def test_many_sessions_wait_for_the_next_start():
    """More than one message of descriptors; each of them with bytes on their way, and one in a pipe."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as server, Service({}) as spliced:
        server.settimeout(harness.PATIENCE)
        spliced.write({"web": {"listen": FRONT, "target": f"tcp4://127.0.0.1:{server.getsockname()[1]}"}})
        spliced.systemctl("restart")
        clients = []
        for number in range(1500):
            sock = client()
            sock.sendall(b"%06d" % number)
            clients.append(sock)
        accepted = {}
        for _ in clients:
            sock, _ = server.accept()
            sock.settimeout(harness.PATIENCE)
            accepted[int(sock.recv(6, socket.MSG_WAITALL))] = sock
        # This one's target does not read: what it says fills the sockets, and the pipe between.
        clients[0].setblocking(False)
        said = 0
        try:
            while True:
                said += clients[0].send(b"x" * 65536)
        except BlockingIOError:
            pass
        spliced.systemctl("restart")
        for number, sock in enumerate(clients[1:], 1):
            sock.sendall(b"again!")
            assert accepted[number].recv(6, socket.MSG_WAITALL) == b"again!"
            accepted[number].sendall(b"%06d" % number)
            assert sock.recv(6, socket.MSG_WAITALL) == b"%06d" % number
        heard = 0
        while heard < said:
            heard += len(accepted[0].recv(1 << 20))
        assert heard == said
        for sock in clients + list(accepted.values()):
            sock.close()


def test_a_stop_ends_what_nobody_takes_over():
    with Service(ROUTES) as spliced:
        sock = client()
        until("its session is there", lambda: "1 session" in spliced.show("StatusText"))
        spliced.systemctl("stop")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
        spliced.systemctl("start")
        client().close()


def test_settings_by_hand():
    """They outlive the keeper, and stay undone where they are undone; only a stop ends them."""
    ends = tuple({"family": "inet", "host": "127.0.0.1", "port": BACK, "name": name} for name in ("blue", "green"))
    with Service({"web": {"listen": FRONT, "target": ends}}) as spliced:

        def by_hand():
            return {one["name"]: one["weight"] if one["state"] is None else one["state"] for one in spliced.status()["hand"]}

        def kill(*words):
            keeper = spliced.keeper
            spliced.systemctl("kill", "--signal=KILL", *words)
            until("another keeper serves", lambda: spliced.show("ActiveState") == "active" and spliced.keeper not in (0, keeper))

        for words in (("drain", "web/blue"), ("weight", "web/green", "9"), ("hold", "web")):
            assert spliced.ctl(*words).returncode == 0
        for strike in (("--kill-whom=main",), ("--kill-whom=all",)):
            kill(*strike)
            assert by_hand() == {"web": "held", "web/blue": "drained", "web/green": 9}
            with client() as held:
                held.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    held.recv(1)
                if strike[0] == "--kill-whom=all":
                    assert spliced.ctl("release", "web").returncode == 0
                    until("it is served", lambda: spliced.status()["sessions"]["active"] == 1)
        assert spliced.ctl("enable", "web/blue").returncode == 0
        for change in (lambda: kill("--kill-whom=main"), lambda: spliced.systemctl("restart"), lambda: spliced.ctl("upgrade"),
                       lambda: kill("--kill-whom=all")):
            change()
            assert by_hand() == {"web/green": 9}
        spliced.systemctl("stop")
        assert spliced.show("NFileDescriptorStore") == "0"
        spliced.systemctl("start")
        assert by_hand() == {}


def test_the_watchdog():
    drop_in("watchdog", "[Service]\nWatchdogSec=3s\n")
    try:
        with Service(ROUTES) as spliced:
            before = spliced.keeper
            time.sleep(4)
            assert spliced.keeper == before, "it is fed"
            os.kill(before, signal.SIGSTOP)
            until("a keeper that stands still is replaced", lambda: spliced.show("ActiveState") == "active" and spliced.keeper not in (0, before))
            client().close()
    finally:
        os.unlink(os.path.join(service.DROP_INS, "watchdog.conf"))
        run("systemctl", "daemon-reload")


def test_no_core_and_no_ledger_in_one():
    with Service(ROUTES) as spliced:
        with open(f"/proc/{spliced.worker}/limits", encoding="utf-8") as file:
            assert re.search(r"^Max core file size +0 +0 ", file.read(), re.M)
        # Its memory belongs to another user, and says which of it would be dumped.
        with open(f"/proc/{spliced.worker}/smaps", encoding="utf-8") as file:
            parts = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", file.read())
        flags = [re.search(r"^VmFlags: (.*)$", part, re.M).group(1).split() for part in parts if "spliced-ledger" in part]
        assert flags and all("dd" in one for one in flags), flags


def test_a_stopped_journal_does_not_stall_traffic():
    with Service(ROUTES) as spliced:
        journald = int(service.show("systemd-journald", "MainPID"))
        os.kill(journald, signal.SIGSTOP)
        try:
            told = all_well(swarm(3))
            assert told
        finally:
            os.kill(journald, signal.SIGCONT)
        assert spliced.show("NRestarts") == "0"
