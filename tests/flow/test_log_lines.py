# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the log says: how each session ended, who was refused and by which rule, what a reload changed; each line with the same fields for the
journal and as JSON."""

import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess

import pytest

import harness
from harness import Daemon, Endpoint, free_port, until
from messages import Echo, End
from scribbling import SECTIONS, Ledger

SETTINGS = {"workers": 1, "log": {"to": "stderr", "level": "info", "format": "json"}}
MANUAL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "doc", "spliced.conf.5.in")
KILL = 20          # where a session's record says that it is to end, and why
POISON, AUDIT = 9, 10


def lines(daemon):
    """Every line is an object."""
    return [json.loads(line) for line in daemon.log().split("\n") if line.startswith("{")]


def events(daemon, name, **fields):
    return [one for one in lines(daemon) if one.get("EVENT") == name and all(one.get(key) == value for key, value in fields.items())]


def reasons_of_manual():
    with open(MANUAL, encoding="utf-8") as file:
        section = file.read().split(".Ss Sessions that end")[1].split("\n.El")[0]
    return {reason for line in re.findall(r"^\.It Em (.*)$", section, re.M) for reason in line.split(" , ")}


def test_the_manual_has_every_event():
    here = os.path.dirname(MANUAL)
    with open(os.path.join(here, "..", "daemon", "base", "event.h"), encoding="utf-8") as file:
        made = set(re.findall(r'"([a-z-]+)", +"([0-9a-f]{32})"', file.read()))
    with open(os.path.join(here, "spliced.8.in"), encoding="utf-8") as file:
        told = set(re.findall(r"^\.It Em ([a-z-]+) , ([0-9a-f]{32})$", file.read(), re.M))
    assert made == told and len({id for _, id in made}) == len(made)


class House:
    """Routes for every way to end, and what is behind them."""

    def __init__(self, place):
        self.place = place
        self.front = {name: Endpoint("inet", place) for name in ("talk", "nobody", "silent", "idle", "framed", "denied", "refused", "checked", "full")}
        self.back, self.gone = Endpoint("inet", place), Endpoint("inet", place)
        self.silent = Endpoint("unix", place)
        self.udp, self.few = End("udp4"), End("udp4")
        self.echo = End("udp4")
        self.loop = os.path.join(place, "loop")
        os.symlink(self.loop, self.loop + ".link")
        target = {"target": self.back}
        self.routes = {
            "talk": {"listen": self.front["talk"], **target},
            "nobody": {"listen": self.front["nobody"], "target": (Endpoint("unix", place), Endpoint("inet", place)),
                       "retry": {"attempts": 3}},
            "silent": {"listen": self.front["silent"], "target": self.silent, "timeout": {"connect": "200ms"}, "retry": {"attempts": 1}},
            "idle": {"listen": self.front["idle"], "timeout": {"idle": "200ms"}, **target},
            "framed": {"listen": f"{self.front['framed']}?framing=length16&max_frame=64", "target": f"{self.back}?framing=line"},
            "denied": {"listen": self.front["denied"], "deny": ["127.0.0.9"], **target},
            "refused": {"listen": self.front["refused"], **target},
            "udp": {"listen": str(self.udp), "target": str(self.echo), "timeout": {"idle": "200ms"}},
            "few": {"listen": str(self.few), "target": str(self.echo), "limit": {"sessions": 1}},
            "checked": {"listen": self.front["checked"], "target": self.gone, "health": {"interval": "100ms", "fall": 1}, "on_down": "end"},
            "full": {"listen": self.front["full"], "target": {"family": "inet", "host": "127.0.0.1", "port": self.back.address[1], "max_sessions": 1}},
            "dial": {"dial": str(self.back), "target": str(self.back)},
            "loop": {"listen": f"unix://{self.loop}", "target": f"unix://{self.loop}.link"},
        }


def a_session(daemon, house, name="talk"):
    client = house.front[name].connect()
    client.sendall(b"x")
    server = house.accept(b"x")
    return client, server


def ends(daemon, reason, route, wait=True):
    """It was told."""
    if wait:
        until(f"{route} ended: {reason}", lambda: events(daemon, "session-ended", ROUTE=route, REASON=reason))


class Behind:
    """Accepts everything; accept(word) is the connection that said this."""

    def __init__(self, listener):
        self.listener, self.connections = listener, []

    def __call__(self, word):
        def find():
            self.listener.settimeout(0.01)
            try:
                while True:
                    self.connections.append(self.listener.accept()[0])
            except TimeoutError:
                pass
            for one in self.connections:
                one.setblocking(False)
                try:
                    if one.recv(100, socket.MSG_PEEK) == word:
                        self.connections.remove(one)
                        one.settimeout(harness.PATIENCE)
                        one.recv(100)
                        return one
                except (BlockingIOError, ConnectionError):
                    pass
            return None

        return until("it came through", find)


def sentence(daemon, slot, why):
    """As a keeper writes it into a session's record; an heir carries it out."""
    ledger = Ledger.of(daemon.keeper)
    _, _, stride, _, offset = ledger.sections[list(SECTIONS).index("sessions")]
    struct.pack_into("<I", ledger.memory, offset + stride * slot + KILL, why)
    worker = daemon.worker
    os.kill(worker, signal.SIGKILL)
    daemon.worker_after(worker)


def orphan(daemon, house):
    """Accepted, and not looked at before the worker died."""
    worker, before = daemon.worker, len(harness.descriptors(daemon.worker))
    client = socket.socket()
    client.bind(("127.0.0.9", 0))
    with harness.Injected(daemon, "accept4", "delay_exit=60000000"):
        client.connect(house.front["denied"].address)
        until("it is accepted", lambda: len(harness.descriptors(worker)) > before)
        os.kill(worker, signal.SIGKILL)
    daemon.worker_after(worker)
    client.close()


def test_every_end_is_told(place):
    house = House(place)
    if os.geteuid() != 0:
        pytest.skip("what the keeper writes only root may write")
    with house.back.listen() as listener, house.silent.listen(0) as silent, Echo(house.echo), Daemon(house.routes, SETTINGS, unrest="it stops with a session open") as daemon:
        house.accept = Behind(listener)
        filling = []
        while True:
            sock = house.silent.socket()
            sock.setblocking(False)
            filling.append(sock)
            try:
                sock.connect(house.silent.address)
            except BlockingIOError:
                break

        client, server = a_session(daemon, house)
        client.close(), server.close()
        ends(daemon, "done", "talk")
        client, server = a_session(daemon, house)
        harness.reset(client)
        ends(daemon, "reset by the client", "talk")
        client, server = a_session(daemon, house)
        harness.reset(server)
        ends(daemon, "reset by the target", "talk")
        client, server = a_session(daemon, house)
        daemon.ctl("kill", next(one["id"] for one in daemon.sessions() if one["route"] == "talk"))
        ends(daemon, "killed by the operator", "talk")
        for name, reason in (("nobody", "no target answered"), ("silent", "no target answered in time")):
            with house.front[name].connect():
                ends(daemon, reason, name)
        with house.front["idle"].connect():
            ends(daemon, "idle for too long", "idle")
        with house.front["framed"].connect() as client:
            client.sendall(struct.pack(">H", 1000))
            ends(daemon, "not a frame, or one larger than max_frame", "framed")
        client, server = a_session(daemon, house, "full")
        with contextlib.suppress(ConnectionResetError), house.front["full"].connect():
            ends(daemon, "all targets are full", "full")
        client.close(), server.close()
        for name, end in (("udp", house.udp), ("few", house.few)):
            for _ in range(2):
                one = end.client()
                one.say(b"hear me")
                assert one.hear() == b"hear me"
        ends(daemon, "idle", "udp")
        ends(daemon, "gave way to a newer peer", "few")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(house.loop)
            ends(daemon, "its target leads back to its own route", "loop")
        client, server = a_session(daemon, house, "refused")
        with harness.Injected(daemon, "splice", "error=EINVAL:when=1+"):
            client.sendall(b"y")
            ends(daemon, "the kernel refused", "refused")
        for why, reason in ((POISON, "in hand at repeated deaths of the worker"), (AUDIT, "bytes missing after a crash")):
            client, server = a_session(daemon, house)
            sentence(daemon, int(next(one["id"] for one in daemon.sessions() if one["route"] == "talk").split(".")[0]), why)
            ends(daemon, reason, "talk")
        with house.gone.listen() as listener:
            until("it is up", lambda: events(daemon, "target-up", TARGET=f"checked/{house.gone}"))
            checked = house.front["checked"].connect()
            checked.sendall(b"x")
            server = Behind(listener)(b"x")
        ends(daemon, "its target went down", "checked")
        checked.close(), server.close()
        orphan(daemon, house)
        ends(daemon, "refused by allow or deny", "denied")
        daemon.reload({name: route for name, route in house.routes.items() if name != "dial"})
        ends(daemon, "taken away by a reload", "dial")
        client, server = a_session(daemon, house)
        daemon.signal(signal.SIGTERM)
        daemon.process.wait(harness.PATIENCE)
        ends(daemon, "spliced stops", "talk")
        told = {one["REASON"] for one in events(daemon, "session-ended")}
        assert told == reasons_of_manual()
        for one in events(daemon, "session-ended"):
            assert set(one) >= {"TIME", "PRIORITY", "MESSAGE", "MESSAGE_ID", "ROUTE", "SESSION", "PEER", "LISTENER", "TARGET", "REASON",
                                "BYTES_TO_TARGET", "BYTES_FROM_TARGET", "DURATION_USEC"}, one


def test_what_happened_is_told(place):
    """The address that the client asked, of those that the listener has; the address that a name had; whom it tried in vain before."""
    port, back = free_port(), Endpoint("inet", place)
    dead = Endpoint("unix", place)
    listen = {"family": "inet", "host": "", "port": port}
    target = ({"family": "unix", "path": dead.address, "name": "dead"}, {"family": "ip", "host": "localhost", "port": back.address[1], "name": "named"})
    with back.listen() as listener, Daemon({"r": {"listen": listen, "target": target}}, SETTINGS) as daemon:
        # By turns: one of two has to begin with the dead one.
        for _ in range(2):
            with socket.create_connection(("127.0.0.3", port)) as client:
                client.sendall(b"x")
                server, _ = listener.accept()
                with server:
                    assert server.recv(1) == b"x"
        told = until("both have ended", lambda: len(events(daemon, "session-ended")) == 2 and events(daemon, "session-ended"))
        for one in told:
            assert one["LOCAL"] == f"127.0.0.3:{port}" and f"; to 127.0.0.3:{port}" in one["MESSAGE"]
            assert one["TARGET_ADDRESS"] == f"127.0.0.1:{back.address[1]}" and f"the target was {one['TARGET_ADDRESS']}" in one["MESSAGE"]
            assert one["TARGET"] == "named"
        assert sorted(one.get("TRIED", "") for one in told) == ["", "dead: No such file or directory"]


@pytest.mark.parametrize("change", ("nothing", "kill", "reload"))
def test_a_target_that_is_down(place, change):
    """From its third failure on until something succeeds, and no longer or shorter: status, routes, exit code and log say the same."""
    front, back, other = (Endpoint("inet", place) for _ in range(3))
    routes = {"r": {"listen": front, "target": ({"family": "inet", "host": "127.0.0.1", "port": back.address[1], "name": "b"},),
                    "retry": {"attempts": 1}}}

    def says(daemon):
        status, target = daemon.status(), daemon.ctl("routes")["routes"][0]["targets"][0]
        down = "r/b down (for " in status["verdict"] and "Connection refused" in status["verdict"]
        assert down or status["verdict"] == "OK"
        assert daemon.ctl_run("status", "-q").returncode == down
        assert (target["state"], bool(target["why"])) == (("down", True) if down else ("up", False))
        return down, target["failures"], target["downs"]

    def fails():
        with pytest.raises(ConnectionResetError), front.connect() as client:
            client.recv(1)

    with Daemon(routes, SETTINGS) as daemon:
        for _ in range(2):
            fails()
        assert says(daemon) == (False, 2, 0) and not events(daemon, "target-down")
        for _ in range(2):
            fails()
        assert says(daemon) == (True, 4, 1)
        if change == "kill":
            worker = daemon.worker
            os.kill(worker, signal.SIGKILL)
            daemon.worker_after(worker)
        elif change == "reload":
            daemon.reload({**routes, "more": {"listen": other, "target": back}})
        assert says(daemon) == (True, 4, 1)
        with back.listen() as listener:
            assert says(daemon) == (True, 4, 1)
            with front.connect():
                listener.accept()[0].close()
            until("it is up", lambda: says(daemon) == (False, 0, 1))
        for event in ("target-down", "target-up"):
            assert [one["TARGET"] for one in events(daemon, event)] == ["r/b"]
        assert "Connection refused" in events(daemon, "target-down")[0]["MESSAGE"]


def test_a_name_without_an_address_is_down(place):
    front = Endpoint("inet", place)
    with Daemon({"r": {"listen": front, "target": {"family": "ip", "host": "nowhere.invalid", "port": 9, "name": "b"}}}, SETTINGS) as daemon:
        until("it is told", lambda: events(daemon, "target-down"))
        assert "r/b down (its name does not resolve)" in daemon.status()["verdict"]
        assert daemon.ctl("routes")["routes"][0]["targets"][0]["state"] == "down" and daemon.ctl_run("status", "-q").returncode == 1


def test_who_is_refused_is_told_once_in_a_while(place):
    front, back = Endpoint("inet", place), Endpoint("unix", place)
    routes = {"by": {"listen": front, "target": back, "deny": ["192.0.2.0/24", "127.0.0.0/8"]},
              "only": {"listen": Endpoint("inet", place), "target": back, "allow": ["192.0.2.0/24"]}}
    with back.listen(), Daemon(routes, SETTINGS) as daemon:
        for route in routes.values():
            for _ in range(30):
                with pytest.raises(ConnectionResetError), route["listen"].connect() as client:
                    client.recv(1)
        by, only = (until(f"{name} is told", lambda name=name: events(daemon, "client-refused", ROUTE=name)) for name in routes)
        with open(daemon.file, encoding="utf-8") as file:
            line = next(number for number, text in enumerate(file, 1) if "127.0.0.0/8" in text)
        assert by[0]["RULE"] == "127.0.0.0/8" and by[0]["PLACE"] == f"{daemon.file}:{line}" and by[0]["PLACE"] in by[0]["MESSAGE"]
        assert "no rule of allow" in only[0]["MESSAGE"] and "RULE" not in only[0]
        # Ten seconds apart: a slow machine may take longer than that for sixty clients.
        assert len(by) + len(only) < 30


def test_what_a_reload_changes_is_told(place):
    routes = {name: {"listen": Endpoint("unix", place), "target": Endpoint("unix", place)} for name in ("same", "other", "gone")}
    with Daemon(routes, SETTINGS) as daemon:
        more = {f"more{i}": {"listen": Endpoint("unix", place), "target": Endpoint("unix", place)} for i in range(60)}
        daemon.reload({"same": routes["same"], "other": {**routes["other"], "target": Endpoint("unix", place)}, "new": routes["gone"]})
        assert [(one["EVENT"], one["ROUTE"]) for one in lines(daemon) if one.get("EVENT", "").startswith("route-")] == \
            [("route-changed", "other"), ("route-added", "new"), ("route-removed", "gone")]
        daemon.reload({**daemon.routes, **more})
        assert len(events(daemon, "route-added")) < len(more)
        assert any("more routes" in one["MESSAGE"] for one in lines(daemon))
        assert events(daemon, "reloaded")
        daemon.write(text="nonsense")
        assert daemon.ctl("reload", status=None)["ok"] is False
        assert events(daemon, "reload-refused")


def test_any_bytes_are_json(place):
    """Names and paths are whatever their owners write."""
    path = os.path.join(place, "quote\" back\\slash")
    os.symlink(path, path + "2")
    with Daemon({"r": {"listen": {"family": "unix", "path": path}, "target": {"family": "unix", "path": path + "2", "name": "näme \\\" \u2028"}}},
                SETTINGS) as daemon:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
        one = until("it is told", lambda: events(daemon, "session-ended"))[0]
        assert one["LISTENER"].count("quote") == 1 and one["TARGET"] == "näme \\\" \u2028"


def test_the_journal_has_the_same(place):
    """Its native protocol: a field a line."""
    if os.geteuid() != 0:
        pytest.skip("a mount namespace takes root")
    front, back = Endpoint("unix", place), Endpoint("unix", place)
    journal = os.path.join(place, "journal")
    os.mkdir(journal)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
        reader.bind(os.path.join(journal, "socket"))
        reader.settimeout(harness.PATIENCE)
        bind = f"mkdir -p /run/systemd/journal && mount --bind {journal} /run/systemd/journal && \"$@\"; exit $?"
        if subprocess.run(["unshare", "-m", "sh", "-c", bind, "sh", "true"], check=False, capture_output=True).returncode:
            pytest.skip("no mount namespace here")
        with back.listen() as listener, Daemon({"r": {"listen": front, "target": back}}, {"log": {"to": "journal", "level": "info"}},
                                               wrap=("unshare", "-m", "sh", "-c", bind, "sh")):
            with front.connect():
                listener.accept()[0].close()

            def ended():
                entry = dict(line.split("=", 1) for line in reader.recv(1 << 16).decode().splitlines())
                return entry if entry.get("MESSAGE_ID") == "c0de952e2fe841459464f5c9aaf20346" else None

            entry = until("the session's line came", ended)
            assert entry["ROUTE"] == "r" and entry["REASON"] == "done" and entry["PRIORITY"] == "6" and entry["SYSLOG_IDENTIFIER"] == "spliced"
            assert entry["SESSION"] and entry["TARGET"] == str(back)
