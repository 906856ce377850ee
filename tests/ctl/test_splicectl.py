# SPDX-License-Identifier: LGPL-2.1-or-later
"""splicectl against a daemon made of Python: what it asks, what it shows, and how it ends."""

import contextlib
import grp
import json
import os
import pty
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import harness  # noqa: E402

PATIENCE = harness.PATIENCE
DOWN, USAGE, NOT_ALLOWED = 69, 64, 77

STATUS = {
    "ok": True, "verdict": "OK", "degraded": False, "version": "1.2.3", "uptime": 273902.25,
    "keeper": {"pid": 811, "version": "1.2.3"},
    "worker": {"pid": 812, "version": "1.2.4", "age": 252.5, "adopted": 17,
               "starts": {"start": 1, "crash": 2, "hang": 0, "reload": 3, "upgrade": 4},
               "last_death": {"time": "2025-01-02T03:04:05Z", "what": "signal 11 in thread 1"},
               "sandbox": {"seccomp": True, "landlock": False, "why": "landlock: Function not implemented"}},
    "sessions": {"active": 40, "total": 1000, "limit": 65536},
    "descriptors": {"open": 99, "limit": 20000},
    "routes": 2, "listeners": {"listening": 3, "paused": 1},
    "reload": {"generation": 4, "ok": True, "time": "2025-01-02T03:04:06Z", "error": None},
    "file": {"path": "/etc/spliced/spliced.conf", "differs": False},
    "refused": [{"route": "web", "reason": "denied", "count": 5},
                {"route": "web", "reason": "unreachable", "count": 6}],
    "audit_failures": 0, "control": {"path": "/run/spliced/control.sock"},
}

ROUTES = {"ok": True, "routes": [
    {"name": "web", "title": "the web", "enabled": True, "place": "/etc/spliced/spliced.conf:7",
     "listen": ["tcp4://:80", "tcp6://[::]:80"],
     "targets": [{"name": "a", "address": "unix:///a", "state": "up", "sessions": 1, "failures": 0},
                 {"name": "b", "address": "unix:///b", "state": "down", "sessions": 0, "failures": 3}],
     "sessions": {"active": 1, "total": 9, "limit": 0},
     "bytes": {"to_target": 1536, "from_target": 12582912}, "refused": 2},
    {"name": "off", "title": None, "enabled": False, "place": "/etc/spliced/spliced.conf:20",
     "listen": ["unix:///x"], "targets": [], "sessions": {"active": 0, "total": 0, "limit": 10},
     "bytes": {"to_target": 0, "from_target": 0}, "refused": 0}]}

HOSTILE_REASON = "\x1b[2J"

LISTENERS = {"ok": True, "listeners": [
    {"route": "web", "address": "tcp4://:80", "state": "listening", "reason": None, "sockets": 2, "accepted": 9},
    {"route": "web", "address": "tcp6://[::]:80", "state": "paused", "reason": "limit of the route", "sockets": 2,
     "accepted": 0}]}


TARGETS = {"ok": True, "targets": [
    {"route": "web", "name": "a", "address": "tcp4://10.0.0.1:80", "state": "up", "why": None, "since": None, "sessions": 2,
     "failures": 0, "downs": 0, "weight": 3, "backup": False, "active": 2, "hand": "drained", "unit": None, "check": None},
    {"route": "web", "name": "b", "address": "tcp4://10.0.0.2:80", "state": "down", "why": "Connection refused", "since": 252.125,
     "sessions": 0, "failures": 3, "downs": 1, "weight": 1, "backup": True, "active": 0, "hand": None, "unit": None, "check": None}]}


def session(number, **members):
    return {"id": f"{number}.1", "route": "web", "peer": f"10.0.0.1:{number}", "target": "web/a", "age": 252.125,
            "idle": 0.25, "bytes": {"to_target": 2048, "from_target": 0}, "state": "relaying", "waits_for": "",
            "thread": 0, **members}


class FakeDaemon:
    """Says `answer` (an object, or bytes as they are) to every line; `asked` holds what it was asked."""

    def __init__(self, path, answer):
        self.path = path
        self.answer = answer if isinstance(answer, bytes) else json.dumps(answer).encode() + b"\n"
        self.asked = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve)

    def serve(self):
        while True:
            connection, _ = self.listener.accept()
            with connection, connection.makefile("rb") as lines:
                line = lines.readline()
                if not line:
                    return  # the block was left
                self.asked.append(json.loads(line))
                with contextlib.suppress(BrokenPipeError):
                    connection.sendall(self.answer)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(self.path)
        self.thread.join()
        self.listener.close()


@pytest.fixture(name="path")
def path_of_a_socket():
    """In a short directory: a UNIX socket's path ends at 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="ctl-") as directory:
        yield os.path.join(directory, "control.sock")


def splicectl(path, *words, wrap=(), locale="C.UTF-8", **options):
    return subprocess.run([*wrap, harness.splicectl(), "-s", path, *words], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=PATIENCE * 3, check=False,
                          env={**os.environ, "LC_ALL": locale}, text=True, **options)


def ask(path, answer, *words, **options):
    with FakeDaemon(path, answer) as daemon:
        done = splicectl(path, *words, **options)
    done.asked = daemon.asked
    return done


def rows(text):
    return [line.split() for line in text.splitlines()]


def in_terminal(path, *words, columns=80):
    """Runs splicectl with a terminal as its standard output, and returns what that shows."""
    import fcntl
    import struct
    import termios
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen([harness.splicectl(), "-s", path, *words], stdout=slave)
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError), open(master, "rb", buffering=0) as terminal:
        while True:
            shown += terminal.read(4096)
    process.wait(PATIENCE)
    return shown.decode().replace("\r\n", "\n")


# ---- verbs ----


@pytest.mark.parametrize("words, request_", [
    (["status"], {"verb": "status"}),
    (["status", "-q"], {"verb": "status"}),
    (["routes"], {"verb": "routes"}),
    (["listeners"], {"verb": "listeners"}),
    (["targets"], {"verb": "targets"}),
    (["sessions"], {"verb": "sessions"}),
    (["sessions", "--route", "web", "--peer", "10.0"], {"verb": "sessions", "route": "web", "peer": "10.0"}),
    (["--peer=@\u00e9", "sessions"], {"verb": "sessions", "peer": "@\u00e9"}),
    (["kill", "31.2"], {"verb": "kill", "id": "31.2"}),
    *(([verb, "web/v1"], {"verb": verb, "name": "web/v1"}) for verb in ("drain", "disable", "enable", "hold", "release")),
    (["weight", "web/v1", "3"], {"verb": "weight", "name": "web/v1", "weight": "3"}),
    (["wait", "web/v1", "up"], {"verb": "wait", "name": "web/v1", "state": "up"}),
    (["wait", "--timeout", "5s", "web/v1", "down"], {"verb": "wait", "name": "web/v1", "state": "down", "timeout": "5s"}),
    (["reload"], {"verb": "reload"}),
    (["log-level", "debug"], {"verb": "log-level", "level": "debug"}),
])
def test_asks_one_question(path, words, request_):
    assert ask(path, {"ok": True}, *words).asked == [request_]


def test_status_begins_with_the_verdict(path):
    done = ask(path, STATUS, "status")
    assert (done.returncode, done.stderr) == (0, "")
    verdict, *lines = done.stdout.splitlines()
    assert verdict == "OK"
    values = [line[16:] for line in lines]
    keys = [line[:16].rstrip(": ") for line in lines]
    shown = dict(zip(keys, values))
    assert shown["version"] == "1.2.3, up 3d4h"
    assert shown["keeper"] == "pid 811, version 1.2.3"
    assert shown["worker"] == "pid 812, started 4m12s ago, version 1.2.4"
    assert shown["adopted"] == "17 sessions"
    assert shown["worker starts"] == "start 1, crash 2, hang 0, reload 3, upgrade 4"
    assert shown["last death"] == "2025-01-02T03:04:05Z, signal 11 in thread 1"
    assert shown["sandbox"] == "seccomp (landlock: Function not implemented)"
    assert shown["sessions"] == "40 of at most 65536, 1000 in total"
    assert shown["descriptors"] == "99 of at most 20000"
    assert shown["listeners"] == "3 listening, 1 paused"
    assert shown["file"] == "/etc/spliced/spliced.conf, is the running configuration"
    assert shown["generation"] == "4"
    assert shown["last reload"] == "2025-01-02T03:04:06Z"
    assert shown["refused"] == "web 5 denied"
    assert shown[""] == "web 6 unreachable"
    assert shown["control"] == "/run/spliced/control.sock"


def test_status_in_plain_numbers(path):
    done = ask(path, STATUS, "status", "-n")
    assert "up 273902.250\n" in done.stdout
    assert "started 252.500 ago" in done.stdout


def test_status_tells_a_failed_reload_in_all_its_lines(path):
    reload = {"generation": 4, "ok": False, "time": "2025-01-02T03:04:06Z", "error": "a.conf:1: one\na.conf:2: two\n"}
    done = ask(path, {**STATUS, "degraded": True, "verdict": "DEGRADED: the last reload failed", "reload": reload},
               "status")
    assert done.returncode == 1
    assert done.stdout.startswith("DEGRADED: the last reload failed\n")
    assert "2025-01-02T03:04:06Z failed:\n" + 16 * " " + "a.conf:1: one\n" + 16 * " " + "a.conf:2: two\n" in done.stdout


def test_status_of_a_young_daemon(path):
    worker = {**STATUS["worker"], "last_death": None}
    reload = {"generation": 1, "ok": False, "time": None, "error": None}
    done = ask(path, {**STATUS, "worker": worker, "reload": reload, "refused": []}, "status")
    for key in ("last death", "last reload", "refused"):
        assert f"{key + ':':16}none\n" in done.stdout


@pytest.mark.parametrize("answer, code", [
    (STATUS, 0),
    ({**STATUS, "degraded": True, "verdict": "DEGRADED: x"}, 1),
    ({"ok": False, "error": "not you", "exit": 77}, NOT_ALLOWED),
    ({"ok": True}, DOWN),
    (b"", DOWN),
])
def test_quiet_status_is_an_exit_code(path, answer, code):
    done = ask(path, answer, "status", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_status_of_an_older_daemon(path):
    done = ask(path, {"ok": True, "verdict": "OK", "degraded": False, "worker": 7}, "status")
    assert done.returncode == 0
    assert done.stdout.startswith("OK\nversion:")


def test_routes(path):
    done = ask(path, ROUTES, "routes")
    assert done.returncode == 0
    heading, web, off = rows(done.stdout)
    assert heading == ["ROUTE", "STATE", "LISTEN", "TARGETS", "SESSIONS", "LIMIT", "TOTAL", "TO-TARGET",
                       "FROM-TARGET", "REFUSED", "PLACE", "TITLE"]
    assert web == ["web", "enabled", "tcp4://:80,tcp6://[::]:80", "a,b(down)", "1", "-", "9", "1.5K", "12M", "2",
                   "/etc/spliced/spliced.conf:7", "the", "web"]
    assert off == ["off", "disabled", "unix:///x", "-", "0", "10", "0", "0", "0", "0",
                   "/etc/spliced/spliced.conf:20", "-"]


SYSLOG = {
    "name": "syslog", "title": None, "enabled": True, "place": "/etc/spliced/spliced.conf:30", "listen": [],
    "dial": ["udp4://10.0.0.1:514", "udp4://10.0.0.2:514"], "targets": [],
    "sessions": {"active": 1, "total": 1, "limit": 0}, "bytes": {"to_target": 90, "from_target": 0}, "refused": 0,
    "messages": {"to_target": 12, "from_target": 3}, "dropped": {"oversize": 2, "no-session": 7}, "lost": 1,
    "descriptors": 4}


def with_messages(**members):
    return {"ok": True, "routes": [*ROUTES["routes"], {**SYSLOG, **members}]}


def test_routes_that_dial(path):
    done = ask(path, with_messages(), "routes", "-H")
    assert rows(done.stdout)[2][:3] == ["syslog", "enabled", "dial:udp4://10.0.0.1:514,dial:udp4://10.0.0.2:514"]


def test_messages_of_routes(path):
    done = ask(path, with_messages(), "routes")
    assert done.stdout.splitlines()[4:] == [
        "syslog: messages to target 12, messages from target 3, dropped oversize 2, dropped no-session 7, "
        "stripped of descriptors 4, lost 1"]


@pytest.mark.parametrize("members, line", [
    ({"lost": 2}, ["syslog: lost 2"]), ({"waiting": 3}, ["syslog: waiting 3"]),
    ({"kernel_dropped": 3}, ["syslog: dropped by the kernel 3"]),
    ({"dropped": {"overflow": 5, "framing": 0}}, ["syslog: dropped overflow 5"]),
    ({"messages": {"to_target": 0, "from_target": 1}}, ["syslog: messages from target 1"]),
    ({"dropped": {HOSTILE_REASON: 1}}, ["syslog: dropped \\x1b[2J 1"]),
    ({}, []), ({"messages": 7, "dropped": [1], "lost": "x"}, []), ({"name": 5, "lost": 3}, [": lost 3"]),
])
def test_only_what_happened_is_told(path, members, line):
    nothing = {"messages": {"to_target": 0, "from_target": 0}, "dropped": {}, "lost": 0, "descriptors": 0}
    done = ask(path, with_messages(**{**nothing, **members}), "routes")
    assert done.returncode == 0
    assert done.stdout.splitlines()[4:] == line


def test_a_line_for_each_route(path):
    """Without headings there is a line a route, and no more: a script counts on it."""
    assert len(ask(path, with_messages(), "routes", "-H").stdout.splitlines()) == 3


def test_targets(path):
    done = ask(path, TARGETS, "targets")
    assert rows(done.stdout) == [
        ["TARGET", "ADDRESS", "STATE", "WEIGHT", "ACTIVE", "FAILURES", "DOWNS", "SINCE", "WHY"],
        ["web/a", "tcp4://10.0.0.1:80", "up,drained", "3", "2", "0", "0", "-", "-"],
        ["web/b", "tcp4://10.0.0.2:80", "down,backup", "1", "0", "3", "1", "4m12s", "Connection", "refused"]]


def test_listeners(path):
    done = ask(path, LISTENERS, "listeners", "-H")
    assert rows(done.stdout) == [["web", "tcp4://:80", "listening", "2", "9", "-"],
                                 ["web", "tcp6://[::]:80", "paused", "2", "0", "limit", "of", "the", "route"]]


def test_sessions(path):
    waiting = session(2, state="connecting", waits_for="the target's answer")
    done = ask(path, {"ok": True, "sessions": [session(1), waiting]}, "sessions")
    assert rows(done.stdout) == [
        ["ID", "ROUTE", "PEER", "TARGET", "AGE", "IDLE", "TO-TARGET", "FROM-TARGET", "STATE", "WAITS-FOR"],
        ["1.1", "web", "10.0.0.1:1", "web/a", "4m12s", "250ms", "2.0K", "0", "relaying", "-"],
        ["2.1", "web", "10.0.0.1:2", "web/a", "4m12s", "250ms", "2.0K", "0", "connecting", "the", "target's",
         "answer"]]


def test_sessions_for_a_script(path):
    done = ask(path, {"ok": True, "sessions": [session(1)]}, "sessions", "-Hn")
    assert rows(done.stdout) == [["1.1", "web", "10.0.0.1:1", "web/a", "252.125", "0.250", "2048", "0", "relaying",
                                  "-"]]


def test_no_sessions(path):
    done = ask(path, {"ok": True, "sessions": []}, "sessions")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("seconds, text", [(0, "0ms"), (0.9994, "999ms"), (1, "1s"), (59.99, "59s"), (60, "1m0s"),
                                           (3599, "59m59s"), (3600, "1h0m"), (86399, "23h59m"), (86400 * 400, "400d0h"),
                                           (-1, "0ms"), (1e300, "11574074074d1h")])
def test_ages(path, seconds, text):
    assert rows(ask(path, {"ok": True, "sessions": [session(1, age=seconds)]}, "sessions", "-H").stdout)[0][4] == text


@pytest.mark.parametrize("size, text", [(0, "0"), (1023, "1023"), (1024, "1.0K"), (10188, "9.9K"), (10189, "10K"),
                                        (1048063, "1023K"), (1048064, "1.0M"), (2**63 - 1, "8.0E"), (-1, "-1")])
def test_sizes(path, size, text):
    answer = {"ok": True, "sessions": [session(1, bytes={"to_target": size, "from_target": 0})]}
    assert rows(ask(path, answer, "sessions", "-H").stdout)[0][6] == text


def test_a_big_answer(path):
    answer = {"ok": True, "sessions": [session(number) for number in range(5000)]}
    done = ask(path, answer, "sessions", "-H")
    assert done.returncode == 0
    lines = rows(done.stdout)
    assert len(lines) == 5000
    assert lines[4999][2] == "10.0.0.1:4999"
    os.unlink(path)
    assert json.loads(ask(path, answer, "sessions", "--json").stdout) == answer


def test_kill_and_log_level_are_silent(path):
    for words in (["kill", "1"], ["log-level", "debug"]):
        done = ask(path, {"ok": True, "level": "debug"}, *words)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        os.unlink(path)


@pytest.mark.parametrize("changed, text", [(True, "generation 5 is running\n"),
                                           (False, "generation 5 continues: nothing changed\n")])
def test_reload(path, changed, text):
    done = ask(path, {"ok": True, "generation": 5, "changed": changed}, "reload")
    assert (done.returncode, done.stdout) == (0, text)


# ---- refusals ----


def test_a_refusal_of_one_line(path):
    done = ask(path, {"ok": False, "error": "there is no session 9", "exit": 1}, "kill", "9")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "splicectl: kill: there is no session 9\n"


def test_a_refusal_of_many_lines(path):
    done = ask(path, {"ok": False, "error": "a.conf:1: one\n\na.conf:2: two\n", "exit": 1}, "reload")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "splicectl: reload:\na.conf:1: one\na.conf:2: two\n"


@pytest.mark.parametrize("members, code", [({"exit": 77}, 77), ({"exit": 64}, 64), ({}, 1), ({"exit": 0}, 1),
                                           ({"exit": 300}, 1), ({"exit": "x"}, 1), ({"exit": -1}, 1)])
def test_the_daemon_chooses_the_exit_code_of_a_refusal(path, members, code):
    done = ask(path, {"ok": False, **members}, "reload")
    assert done.returncode == code
    assert done.stderr == "splicectl: reload: refused, no reason given\n"


# ---- JSON ----


def test_json_is_what_the_daemon_said_to_the_byte(path):
    line = b'{"ok": true, "degraded":true,"big":9007199254740993,"real":0.1,"text":"\\u00e9 \xc3\xa9"}'
    done = ask(path, line + b"\n", "--json", "status")
    assert done.stdout.encode() == line + b"\n"
    assert done.returncode == 1


def test_json_of_a_refusal(path):
    answer = {"ok": False, "error": "no", "exit": 77}
    done = ask(path, answer, "reload", "--json")
    assert json.loads(done.stdout) == answer
    assert (done.returncode, done.stderr) == (77, "")


def test_json_for_a_terminal_is_laid_out_and_plain(path):
    with FakeDaemon(path, '{"ok":true,"real":0.1,"name":"\x9b31m\x7f"}\n'.encode()):
        shown = in_terminal(path, "status", "--json")
    assert json.loads(shown) == {"ok": True, "real": 0.1, "name": "\x9b31m\x7f"}
    assert shown.count("\n") > 3
    assert shown.isascii() and '"real": 0.1,' in shown


# ---- the terminal ----

HOSTILE = "a\x1b]0;owned\x07\nb\x9b31m\u00e9"


@pytest.mark.parametrize("answer, words", [
    ({"ok": True, "sessions": [session(1, peer=HOSTILE)]}, ["sessions"]),
    ({**ROUTES, "routes": [{**ROUTES["routes"][0], "title": HOSTILE, "listen": [HOSTILE]}]}, ["routes"]),
    ({**STATUS, "verdict": HOSTILE, "reload": {"ok": False, "time": HOSTILE, "error": HOSTILE}}, ["status"]),
    ({"ok": False, "error": HOSTILE}, ["kill", "1"]),
])
def test_names_cannot_command_a_terminal(path, answer, words):
    done = ask(path, answer, *words)
    out = done.stdout + done.stderr
    assert "owned" in out and "\u00e9" in out
    assert all(character.isprintable() or character == "\n" for character in out)


def test_a_locale_without_utf8(path):
    done = ask(path, {"ok": True, "sessions": [session(1, peer="\u00e9")]}, "sessions", "-H", locale="C")
    assert rows(done.stdout)[0][2] == "\\xc3\\xa9"


def test_a_narrow_terminal_loses_nothing(path):
    with FakeDaemon(path, {"ok": True, "sessions": [session(1, peer="unix:///" + 60 * "p")]}):
        shown = in_terminal(path, "sessions", "-H", columns=40)
    assert rows(shown) == [["1.1", "web", "unix:///" + 60 * "p", "web/a", "4m12s", "250ms", "2.0K", "0", "relaying",
                            "-"]]


# ---- usage ----


@pytest.mark.parametrize("words, text", [
    (["statsu"], 'no verb "statsu"; did you mean "status"? The verbs are status, routes, '),
    (["session"], 'no verb "session"; did you mean "sessions"? '),
    (["relaod"], 'no verb "relaod"; the verbs are status, routes, '),
    (["upgraed"], 'no verb "upgraed"; the verbs are status, routes, '),
    (["loglevel", "info"], 'no verb "loglevel"; the verbs are status, routes, '),
    (["kil", "1.1"], 'no verb "kil"; the verbs are '),
    (["top"], 'no verb "top"; the verbs are '),
    (["explain"], 'no verb "explain"; the verbs are '),
    ([200 * "x"], "no verb"),
    ([], "usage: splicectl"),
    (["kill"], "kill: missing argument: ID (see `splicectl sessions`)"),
    (["log-level"], "log-level: missing argument: LEVEL (error, warning, notice, info or debug)"),
    (["-i", "", "status"], "is not the name of an instance"),
    (["-i", "../x", "status"], "is not the name of an instance"),
    (["-i", 108 * "x", "status"], "too long"),
    (["kill", "1", "2"], "kill does not take '2'"),
    (["drain"], "drain: missing argument: ROUTE or ROUTE/TARGET"),
    (["weight", "web/v1"], 'weight: missing argument: ROUTE/TARGET and a number, or "configured"'),
    (["weight", "web/v1", "1", "2"], "weight does not take '2'"),
    (["drain", "web", "--timeout", "3s"], "drain takes no --timeout"),
    (["reload", "now"], "reload does not take 'now'"),
    (["reload", "-q"], "reload takes no -q"),
    (["status", "--route", "web"], "status takes no --route"),
    (["routes", "--peer", "x"], "routes takes no --peer"),
    (["kill", "-H", "1"], "kill takes no -H"),
    (["kill", "-n", "1"], "kill takes no -n"),
    (["sessions", "--color"], "unrecognized option"),
    (["sessions", "--peer"], "requires an argument"),
])
def test_wrong_usage(path, words, text):
    done = splicectl(path, *words)
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert text in done.stderr


@pytest.mark.parametrize("words, code", [
    (["statsu"], USAGE), ([], USAGE), (["kill"], USAGE), (["--sock"], USAGE), (["sessions", "--peer"], USAGE), (["-x"], USAGE),
    (["status"], DOWN), (["-i", "a/b", "status"], USAGE), (["routes", "-q"], USAGE)])
@pytest.mark.parametrize("before", [True, False])
def test_json_is_json_always(path, words, code, before):
    done = splicectl(path, *(["--json", *words] if before else [*words, "--json"]))
    if words[-1:] in (["--peer"], ["--sock"]) and not before:
        return  # it is that option's argument
    answer = json.loads(done.stdout)
    assert (done.returncode, done.stderr, answer["ok"], answer["exit"]) == (code, "", False, code)
    assert answer["error"]


def test_json_of_what_is_not_asked(path):
    assert json.loads(splicectl(path, "--json", "-V").stdout)["version"]
    assert "usage: splicectl" in json.loads(splicectl(path, "--json", "help").stdout)["usage"]


def test_where_the_socket_is(path):
    """-s and -i before $SPLICED_CONTROL."""
    def run(*words):
        return subprocess.run([harness.splicectl(), *words, "status", "-q"], env={**os.environ, "SPLICED_CONTROL": path},
                              timeout=PATIENCE * 3, check=False).returncode
    assert run() == DOWN
    with FakeDaemon(path, STATUS):
        assert run() == 0
        assert run("-s", path + "x") == DOWN
        assert run("-i", "nobody-has-this-one") == DOWN
    said = splicectl(path, "-i", "nobody-has-this-one", "status").stderr
    assert said.startswith("splicectl: /run/spliced-nobody-has-this-one/control.sock: ")


def test_a_name_that_is_no_text(path):
    done = splicectl(path, "sessions", "--peer", b"\xff", encoding="utf-8", errors="surrogateescape")
    assert done.returncode == USAGE and "UTF-8" in done.stderr


def test_help_and_version(path):
    for word, text in (("-h", "usage: splicectl"), ("--help", "usage: splicectl"), ("help", "usage: splicectl"),
                       ("--version", "splicectl "), ("-V", "splicectl ")):
        done = splicectl(path, word)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(text)


# ---- a daemon that is not there ----


def test_no_socket(path):
    done = splicectl(path, "status")
    assert (done.returncode, done.stdout) == (DOWN, "")
    assert done.stderr == f"splicectl: {path}: no such socket; is spliced running?\n"


def test_a_socket_that_nobody_listens_on(path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    done = splicectl(path, "status")
    assert done.returncode == DOWN and "nothing listens" in done.stderr


def test_a_socket_of_another_type(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(path)
        assert splicectl(path, "status").returncode == DOWN


def test_a_path_that_is_too_long(path):
    done = splicectl(path + 108 * "x", "status")
    assert done.returncode == USAGE and "too long" in done.stderr
    assert splicectl("", "status").returncode == DOWN


def test_a_socket_that_is_not_ours(path):
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv")
    os.chmod(os.path.dirname(path), 0o755)
    program = shutil.copy(harness.splicectl(), os.path.dirname(path))

    def run():
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "-s", path,
                               "status"], capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == NOT_ALLOWED and "Permission denied; " in done.stderr
        return done.stderr
    with FakeDaemon(path, STATUS):
        os.chmod(path, 0o600)
        assert "users root and root have access, but user nobody does not: use sudo, or give access to a group by control.group" in run()
        os.chown(path, 0, grp.getgrnam("daemon").gr_gid)
        os.chmod(path, 0o660)
        assert "group daemon have access" in (said := run()) and "usermod -aG daemon nobody" in said
        os.chmod(path, 0o666)
        os.chmod(os.path.dirname(path), 0o700)
        os.chmod(program, 0o755)
        moved = shutil.copy(program, os.path.dirname(path) + ".program")
        program = moved
        try:
            assert f"user nobody may not search directory {os.path.dirname(path)}" in run()
        finally:
            os.unlink(moved)


@pytest.mark.parametrize("answer", [b"", b'{"ok":true', b'{"ok":true,"verdict":"OK","degraded":false}'])
@pytest.mark.parametrize("verb", ["status", "reload"])
def test_a_daemon_that_closes_early(path, verb, answer):
    done = ask(path, answer, verb)
    assert (done.returncode, done.stdout) == (DOWN, "")
    assert "closed the connection" in done.stderr


def test_a_daemon_that_answers_before_it_is_asked(path):
    """It has clients enough, say: the answer counts, although the question cannot be sent."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def turn_away():
        connection, _ = listener.accept()
        connection.sendall(b'{"ok":false,"error":"too many clients","exit":1}\n')
        connection.close()

    thread = threading.Thread(target=turn_away)
    thread.start()
    done = splicectl(path, "status")
    thread.join()
    listener.close()
    assert (done.returncode, done.stderr) == (1, "splicectl: status: too many clients\n")


@pytest.mark.parametrize("garbage", [b"\n", b"SSH-2.0-x\n", b"[]\n", b"7\n", b"{}\n", b'{"ok":1}\n', b'{"ok":null}\n',
                                     b'{"ok":true,"ok":true}\n', b'{"ok":true}x\n', b"\xff\xfe\x00\n",
                                     b'{"ok":true,"a":"\x1b[2J"}\n', b"[" * 100000 + b"\n"])
@pytest.mark.parametrize("json_", [[], ["--json"]])
def test_garbage(path, garbage, json_):
    done = ask(path, garbage, "sessions", *json_)
    assert done.returncode == DOWN
    assert "is not from spliced" in (json.loads(done.stdout)["error"] if json_ else done.stderr)
    assert (done.stderr if json_ else done.stdout) == ""


@pytest.mark.parametrize("verb, answer", [
    ("status", {"ok": True, "verdict": "OK"}), ("status", {"ok": True, "degraded": False}),
    ("routes", {"ok": True}), ("listeners", {"ok": True, "listeners": {}}), ("targets", {"ok": True}), ("sessions", {"ok": True, "sessions": 5}),
    ("reload", {"ok": True, "changed": True}),
])
def test_an_answer_to_another_question(path, verb, answer):
    done = ask(path, answer, verb)
    assert (done.returncode, done.stdout) == (DOWN, "")


@pytest.mark.parametrize("strange", [5, None, "x", [], [[]], {}, {"bytes": 7, "id": [], "age": "old"}])
def test_sessions_of_strange_shapes(path, strange):
    done = ask(path, {"ok": True, "sessions": [strange], "routes": [strange]}, "sessions", "-H")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1


def strace(*words):
    """A command to run another under; the leak checker of a sanitized build cannot work there."""
    program = shutil.which("strace")
    if not program or subprocess.run([program, "-o", "/dev/null", "true"], check=False,
                                     stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("no strace, or it may not trace")
    return ["env", "ASAN_OPTIONS=detect_leaks=0", program, *words]


@pytest.mark.parametrize("call, error, verb, text", [
    ("recvfrom", "EAGAIN", "status", "does not answer"),
    ("recvfrom", "ECONNRESET", "reload", "closed the connection"),
    ("connect", "EAGAIN", "status", "does not answer"),
    ("connect", "EPERM", "status", "not permitted"),
    ("sendto", "EAGAIN", "status", "does not answer"),
    ("sendto", "ENOBUFS", "status", "No buffer space"),
])
def test_system_calls_that_fail(path, call, error, verb, text):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        done = splicectl(path, verb, wrap=strace("-o", "/dev/null", "-e", f"inject={call}:error={error}"))
    assert text in done.stderr
    assert done.returncode == (NOT_ALLOWED if error == "EPERM" else DOWN)


def test_patience_is_for_reload(path):
    """Only a reload waits without a limit: others set a time limit on the socket."""
    for verb, limited in (("reload", False), ("status", True)):
        log = path + verb
        splicectl(path, verb, wrap=strace("-o", log, "-e", "setsockopt"))
        with open(log, encoding="utf-8") as lines:
            assert ("SO_RCVTIMEO" in lines.read()) == limited


def test_output_that_cannot_be_written(path):
    with FakeDaemon(path, STATUS), open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([harness.splicectl(), "-s", path, "status"], stdout=full, stderr=subprocess.PIPE,
                              timeout=PATIENCE, check=False)
    assert done.returncode == 1 and b"No space left" in done.stderr
