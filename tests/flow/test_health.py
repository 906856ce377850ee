# SPDX-License-Identifier: LGPL-2.1-or-later
"""Health checks: each kind of target is asked, what it answers is judged, within bounds; who is down gets no sessions; and what is known
survives the worker. Times are never judged: checks are counted."""

import contextlib
import os
import signal
import socket

import pytest

import harness
from harness import Daemon, free_port, until
from responder import ENDLESS, SILENT, Service, http

QUICK = {"interval": "40ms", "timeout": "5s", "rise": 1, "fall": 1}
RETRY = {"retry": {"total": "300ms", "backoff": "20ms"}}
SETTINGS = {"workers": 2}


def targets(daemon, route):
    return next(one for one in daemon.ctl("routes")["routes"] if one["name"] == route)["targets"]


def check(daemon, route, index=0):
    return targets(daemon, route)[index]["check"]


def is_in(daemon, route, state, error=None, index=0):
    """Whether the check has marked it so, with that text as its newest error."""
    found = check(daemon, route, index)
    return found["state"] == state and (error is None or error in (found["error"] or "")) and found


def group(target, **health):
    """A target's group with a health of its own, from its text."""
    scheme, rest = str(target).split("://")
    if scheme.startswith("unix"):
        return {"family": "unix", "type": {"unix": "stream"}.get(scheme, scheme[5:]), "path": rest, "health": health}
    host, port = rest.split(":")
    return {"family": "inet", "type": "dgram" if scheme.startswith("udp") else "stream", "host": host, "port": int(port), "health": health}


def front():
    return f"tcp://127.0.0.1:{free_port()}"


def client(daemon, route):
    """A session, connected."""
    port = int(daemon.routes[route]["listen"].rsplit(":", 1)[1])
    return socket.create_connection(("127.0.0.1", port), timeout=harness.PATIENCE)


def said(daemon, route):
    """What a client of the route is answered; None: it is reset."""
    with client(daemon, route) as sock:
        try:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            answer = b""
            while part := sock.recv(65536):
                answer += part
        except ConnectionError:
            return None
    return answer


# ---- what is asked, and what is answered ----

PING = {"send": "PING\r\n", "expect": "PONG"}
HTTP = {"http": "/up", "status": "200-204"}
ZEROS = {"send": "\\x00\\x01", "expect": "\\x00\\x02"}

# kind, settings, what is right, and ways that are wrong, each with what is told of it; None: nobody is there
KINDS = {
    "connect": ("tcp", {}, SILENT, [(None, "Connection refused")]),
    "unix-connect": ("unix", {}, SILENT, [(None, "No such file")]),
    "text": ("tcp", PING, b"+PONG\r\n", [
        (None, "Connection refused"), (b"-ERR\r\n", 'the answer "-ERR\\x0d\\x0a" does not contain "PONG"'), (b"", "closed without an answer"),
        (SILENT, "no answer within 300ms"), (ENDLESS, "xxxx..."), (b"\xff\x00\x1b[31m", '"\\xff\\x00\\x1b[31m"')]),
    "banner": ("unix", {"expect": "220 "}, b"220 mail\r\n", [(b"554 no\r\n", "554 no")]),
    "zeros": ("tcp", ZEROS, b"..\x00\x02", [(b"\x00\x01", '"\\x00\\x01" does not contain "\\x00\\x02"')]),
    "http": ("tcp", HTTP, http(204), [
        (http(503), "HTTP status 503, expected 200-204"), (b"SSH-2.0-x\r\n", 'not HTTP: "SSH-2.0-x'), (SILENT, "no answer within"),
        (ENDLESS, "not HTTP"), (b"HTTP/1.1", "not HTTP"), (b"", "closed without an answer"), (b"HTTP/1.1 99999999999", "expected 200-204")]),
    "unix-http": ("unix", HTTP, http(200), [(http(404), "HTTP status 404")]),
    "packets": ("seqpacket", PING, b"PONG", [(b"no", 'the answer "no"'), (SILENT, "no answer"), (None, "No such file")]),
    "udp": ("udp", PING, b"PONG", [(b"no", 'the answer "no"'), (SILENT, "no answer within"), (None, "refused"), (b"", "without an answer")]),
    "unix-dgram": ("unix-dgram", ZEROS, b"\x00\x02", [(b"no", 'the answer "no"'), (SILENT, "no answer"), (None, "No such file")]),
}


def test_kinds():
    """Every kind of target, right, wrong in every way, and right again; the error is told. Each event stands in the log."""
    with contextlib.ExitStack() as stack:
        services = {name: stack.enter_context(Service(kind, right, reads=name != "banner"))
                    for name, (kind, _, right, _) in KINDS.items()}
        routes = {}
        for name, (kind, settings, _, _) in KINDS.items():
            listen = {"udp": f"udp://127.0.0.1:{free_port()}", "seqpacket": f"unix-seqpacket://@{os.getpid()}-{name}",
                      "unix-dgram": f"unix-dgram://@{os.getpid()}-{name}"}.get(kind, front())
            routes[name] = {"listen": listen, "target": str(services[name]), "health": {**QUICK, "timeout": "300ms", **settings}}
        with Daemon(routes, SETTINGS) as daemon:
            for name in KINDS:
                until(f"{name} is up", lambda name=name: is_in(daemon, name, "up"))
            for turn in range(max(len(wrong) for *_, wrong in KINDS.values())):
                now = {name: wrong[turn] for name, (*_, wrong) in KINDS.items() if turn < len(wrong)}
                for name, (way, _) in now.items():
                    if way is None:
                        services[name].end()
                        if services[name].directory:
                            os.unlink(services[name].address)
                    else:
                        services[name].way = way
                for name, (_, error) in now.items():
                    until(f"{name} is down: {error}", lambda name=name, error=error: is_in(daemon, name, "down", error))
                for name, (way, _) in now.items():
                    services[name].way = KINDS[name][2]
                    if way is None:
                        services[name].begin()
                for name in now:
                    until(f"{name} is up again", lambda name=name: is_in(daemon, name, "up"))
            downs = {name: check(daemon, name)["downs"] for name in KINDS}
            # A check may time out beside other work, and bring one down once more.
            assert all(downs[name] >= len(wrong) for name, (*_, wrong) in KINDS.items()), downs
            log = daemon.log()
            assert f"target http/{services['http']} is down: health check: HTTP status 503, expected 200-204" in log
            assert f"target http/{services['http']} is up again: health check: 1 of 1 succeeded" in log
        assert services["http"].requests[0].startswith(b"GET /up HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: spliced/")


def test_black_hole():
    """Who does not even connect is down after the check's time, and nothing is left of the attempts."""
    from test_targets import full
    with contextlib.ExitStack() as stack:
        listener, filling = full(harness.Endpoint("inet", "/tmp"))
        stack.callback(lambda: [sock.close() for sock in (listener, *filling)])
        target = "tcp4://127.0.0.1:%d" % listener.getsockname()[1]
        with Daemon({"a": {"listen": front(), "target": target, "health": {**QUICK, "timeout": "60ms"}}}, SETTINGS) as daemon:
            until("it is down", lambda: is_in(daemon, "a", "down", "not connected within 60ms"))


# ---- who gets sessions ----


def test_sessions():
    """Who is down gets no session, who is up again does; where all are, nobody is tried, and clients are reset; who is alone always is
    tried. A check goes to another port, and comes from the target's source address."""
    with Service("tcp", http(200, b"A")) as a, Service("tcp", http(200, b"B")) as b, Service("tcp", http(200)) as asked:
        health = {**QUICK, "http": "/"}
        pool = (str(a), {**group(b, port=asked.port), "source": "127.0.0.7"})
        routes = {"pool": {"listen": front(), "target": pool, "health": health, **RETRY},
                  "alone": {"listen": front(), "target": str(a), "health": health, **RETRY}}
        with Daemon(routes, SETTINGS) as daemon:
            def answers(route="pool"):
                return {answer and answer[-1:] for answer in (said(daemon, route) for _ in range(6))}

            until("both are up", lambda: is_in(daemon, "pool", "up") and is_in(daemon, "pool", "up", index=1))
            assert answers() == {b"A", b"B"}
            assert {peer[0] for peer in asked.peers} == {"127.0.0.7"} and not b"Host: 127.0.0.1\r\n" in b.requests
            asked.way = http(503)
            until("B is down", lambda: is_in(daemon, "pool", "down", index=1))
            assert answers() == {b"A"}
            verdict = daemon.ctl("status", status=1)["verdict"]
            assert "health check: HTTP status 503, expected 200)" in verdict and f"pool/{b}" in verdict
            asked.way = http(200)
            until("B is up", lambda: is_in(daemon, "pool", "up", index=1))
            a.way = http(500, b"A")
            until("A is down", lambda: is_in(daemon, "pool", "down") and is_in(daemon, "alone", "down"))
            assert answers() == {b"B"} and answers("alone") == {b"A"}
            asked.way = http(503)
            until("B is down", lambda: is_in(daemon, "pool", "down", index=1))
            before = a.asked, b.asked, check(daemon, "pool")["checks"]
            assert answers() == {None}
            assert b.asked == before[1] and targets(daemon, "pool")[1]["failures"] == 0
            a.way = http(200, b"A")
            until("A is up", lambda: is_in(daemon, "pool", "up"))
            assert answers() == {b"A"}


def test_datagrams():
    """Messages go to who is up; while all are down, to nobody."""
    with Service("udp", b"A") as a, Service("udp", b"B") as b:
        port = free_port()
        pool = (group(a, **QUICK, send="a", expect="A"), group(b, **QUICK, send="b", expect="B"))
        with Daemon({"pool": {"listen": f"udp://127.0.0.1:{port}", "target": pool, "timeout": {"idle": "100ms"}, **RETRY}},
                    SETTINGS) as daemon:
            def answers():
                found = set()
                for _ in range(6):
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                        sock.settimeout(harness.PATIENCE)
                        sock.sendto(b"?", ("127.0.0.1", port))
                        found.add(sock.recv(100))
                return found

            until("both are up", lambda: is_in(daemon, "pool", "up") and is_in(daemon, "pool", "up", index=1))
            assert answers() == {b"A", b"B"}
            a.way = lambda request: b"A" if request == b"?" else b"no"
            until("A is down", lambda: is_in(daemon, "pool", "down"))
            assert answers() == {b"B"}
            b.way = lambda request: b"B" if request == b"?" else b"no"
            until("B is down", lambda: is_in(daemon, "pool", "down", index=1))
            before = a.asked
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"?", ("127.0.0.1", port))
                until("the message is dropped", lambda: daemon.ctl("routes")["routes"][0]["dropped"].get("unreachable"))
                with pytest.raises(BlockingIOError):
                    sock.recv(100, socket.MSG_DONTWAIT)
            assert a.asked >= before


class Script:
    """Answers that are given one after the other; then the last for ever."""

    def __init__(self, text):
        self.answers = {"+": http(200), "-": http(503)}
        self.text, self.given = text, 0

    def __call__(self, request):
        now = self.text[min(self.given, len(self.text) - 1)]
        self.given += 1
        return self.answers[now]


def test_rise_and_fall():
    """So many failures in a row mark it down, so many successes up: no fewer, and none that others interrupt."""
    scripts = {"blinks": ("--+--+--+", 0, "up"), "falls": ("--+---", 1, "down"), "rises": ("---+-+-++", 1, "up"),
               "rises-not": ("---+-+-+-", 1, "down")}
    with contextlib.ExitStack() as stack:
        services = {name: stack.enter_context(Service("tcp", Script(text))) for name, (text, *_) in scripts.items()}
        routes = {name: {"listen": front(), "target": str(service), "health": {**QUICK, "rise": 2, "fall": 3, "http": "/"}}
                  for name, service in services.items()}
        with Daemon(routes, SETTINGS) as daemon:
            for name, (text, downs, state) in scripts.items():
                until(f"{name} was asked all of it", lambda name=name, text=text: check(daemon, name)["checks"] > len(text))
                found = check(daemon, name)
                assert (found["state"], found["downs"]) == (state, downs), name
                assert found["failures"] >= text.count("-")


# ---- what is known survives ----


def knows(before, after):
    """Whether the check went on where it was."""
    return after["state"] == before["state"] and after["checks"] >= before["checks"] and after["failures"] >= before["failures"] \
        and after["downs"] == before["downs"] and after["since"] >= before["since"] and after["error"] == before["error"]


def test_survives():
    """State and counts survive a kill in the middle of a check, whose connection closes and which begins anew; a reload and an upgrade;
    other settings, or none, begin from the beginning."""
    with Service("tcp", http(503)) as down, Service("tcp", http(200)) as up:
        health = {**QUICK, "http": "/", "timeout": "1h"}
        routes = {"a": {"listen": front(), "target": (str(down), str(up)), "health": health, **RETRY}}
        with Daemon(routes, SETTINGS) as daemon:
            until("both are known", lambda: is_in(daemon, "a", "down") and is_in(daemon, "a", "up", index=1))

            def ask_for_good():
                down.held.clear()
                down.way = SILENT
                until("a check is under way", lambda: down.held)
                return check(daemon, "a"), down.held[-1]

            def goes_on(before, held):
                held.settimeout(harness.PATIENCE)
                assert held.recv(1) == b""
                until("it is asked anew", lambda: len(down.held) > 1)
                assert knows(before, check(daemon, "a")) and check(daemon, "a", 1)["state"] == "up"
                down.way = http(503)
                for sock in down.held:
                    sock.close()
                until("checks go on", lambda: check(daemon, "a")["checks"] > before["checks"] + 2)

            before, held = ask_for_good()
            worker = daemon.worker
            os.kill(worker, signal.SIGKILL)
            daemon.worker_after(worker)
            until("the heir runs", daemon.runs)
            goes_on(before, held)
            assert daemon.ctl("status", status=None)["descriptors"]["unowned"] == 0

            before, held = ask_for_good()
            daemon.write({**routes, "b": {"listen": front(), "target": str(up)}})
            daemon.ctl("reload")
            goes_on(before, held)

            before, held = ask_for_good()
            daemon.ctl("upgrade")
            goes_on(before, held)

            routes["a"]["health"] = {**health, "status": "503"}
            daemon.write(routes)
            daemon.ctl("reload")
            until("the other is down now", lambda: is_in(daemon, "a", "up") and is_in(daemon, "a", "down", index=1))
            assert check(daemon, "a")["failures"] == 0
            del routes["a"]["health"]
            daemon.write(routes)
            daemon.ctl("reload")
            assert [target["state"] for target in targets(daemon, "a")] == ["up", "up"]
            assert [target["check"] for target in targets(daemon, "a")] == [None, None]


def test_one_checker():
    """However many routes have the same target, it is asked once, and all of them know; other settings are another check."""
    with Service("tcp", http(200)) as service:
        routes = {name: {"listen": front(), "target": str(service), "health": {**QUICK, "http": "/"}, "title": name} for name in "abc"}
        routes["d"] = {**routes["a"], "listen": front(), "health": {**QUICK, "http": "/other"}}
        with Daemon(routes, SETTINGS) as daemon:
            until("it was asked often", lambda: check(daemon, "a")["checks"] >= 10)
            found = {name: check(daemon, name) for name in "abcd"}
            once = [request for request in service.requests if request.startswith(b"GET / ")]
            assert len(once) < 2 * found["a"]["checks"] and found["c"]["checks"] >= 10 and found["d"]["checks"] >= 1
            assert any(request.startswith(b"GET /other ") for request in service.requests)
            service.way = http(503)
            until("all know", lambda: all(is_in(daemon, name, "down") for name in "abcd"))
            # one that comes later knows too
            service.way = SILENT
            until("nobody answers", lambda: len(service.held) >= 2)
            routes["e"] = {**routes["a"], "listen": front()}
            daemon.write(routes)
            daemon.ctl("reload")
            assert is_in(daemon, "e", "down")


def test_many():
    """More checks than are under way at a time: each has its turn, though none is answered; descriptors are those of the bound."""
    with Service("tcp", SILENT) as service:
        pool = tuple({**group(service, http=f"/{i}"), "name": str(i)} for i in range(300))
        routes = {"a": {"listen": front(), "target": pool, "health": {**QUICK, "interval": "1s", "timeout": "1500ms"}}}
        with Daemon(routes, SETTINGS) as daemon:
            until("as many as may be are under way", lambda: daemon.ctl("status", status=None)["descriptors"]["checks"] == 256)
            until("all are down", lambda: all(target["check"]["state"] == "down" for target in targets(daemon, "a")))
            assert daemon.ctl("status", status=1)["descriptors"]["checks"] <= 256
            service.way = http(200)
            until("all are up", lambda: all(target["check"]["state"] == "up" for target in targets(daemon, "a")))


# ---- what becomes of its sessions ----


def test_on_down():
    """on_down = "end" ends the sessions of who went down, also after a kill; "keep" does not; sessions of others go on, and those that
    begin with one that is alone and down."""
    with Service("tcp", SILENT, reads=False) as a, Service("tcp", SILENT, reads=False) as b, Service("tcp", http(200)) as asked:
        health = {**QUICK, "http": "/"}
        pool = (group(a, port=asked.port), {**group(b), "health": {"interval": 0}})
        routes = {"end": {"listen": front(), "target": pool, "health": health, "on_down": "end", **RETRY},
                  "keep": {"listen": front(), "target": pool, "health": health, "on_down": "keep", **RETRY},
                  "alone": {"listen": front(), "target": group(a, port=asked.port), "health": health, "on_down": "end", **RETRY}}
        with Daemon(routes, SETTINGS) as daemon, contextlib.ExitStack() as stack:
            def open_two(route):
                return [stack.enter_context(client(daemon, route)) for _ in range(2)]

            def sessions(route):
                return sorted(one["target"] for one in daemon.ctl("sessions")["sessions"] if one["route"] == route)

            until("A is up", lambda: all(is_in(daemon, route, "up") for route in routes))
            ends, keeps, alone = open_two("end"), open_two("keep"), open_two("alone")
            names = sorted(str(one) for one in (a, b))
            until("they are connected", lambda: sessions("end") == sessions("keep") == names and len(sessions("alone")) == 2)
            asked.way = http(503)
            until("A's are ended", lambda: sessions("end") == [str(b)] and not sessions("alone"))
            assert sessions("keep") == names
            for sock in ends + alone:
                sock.setblocking(False)
            gone = 0
            for sock in ends + alone:
                with contextlib.suppress(BlockingIOError):
                    try:
                        assert sock.recv(1) == b""
                    except ConnectionResetError:
                        pass
                    gone += 1
            assert gone == 3
            assert "its target went down" in daemon.log()
            counts = {one["name"]: one["sessions"]["target_down"] for one in daemon.ctl("routes")["routes"]}
            assert counts == {"end": 1, "keep": 0, "alone": 2}
            open_two("alone")
            until("it is tried although it is down", lambda: len(sessions("alone")) == 2)
            os.kill(daemon.worker, signal.SIGKILL)
            until("checks go on", lambda: (daemon.runs() and check(daemon, "end")["checks"]) or 0)
            before = check(daemon, "end")["checks"]
            until("checks went on", lambda: check(daemon, "end")["checks"] > before + 3)
            assert len(sessions("alone")) == 2 and sessions("keep") == names and sessions("end") == [str(b)]
            assert keeps


def test_on_down_by_sessions():
    """Who is down because nobody can connect any more loses the sessions that it had, too."""
    with Service("tcp", SILENT, reads=False) as a:
        routes = {"end": {"listen": front(), "target": str(a), "on_down": "end", **RETRY}}
        with Daemon(routes, SETTINGS) as daemon, client(daemon, "end") as old:
            until("it is connected", lambda: a.asked == 1 and a.held)
            a.end()
            for _ in range(3):
                with client(daemon, "end") as sock:
                    with contextlib.suppress(ConnectionError):
                        assert sock.recv(1) == b""
            old.settimeout(harness.PATIENCE)
            with contextlib.suppress(ConnectionResetError):
                assert old.recv(1) == b""
            until("it has ended", lambda: not daemon.ctl("sessions")["sessions"])
