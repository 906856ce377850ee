# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every option that `spliced --describe` calls live is on each socket that is opened after a reload, and on listening sockets as they are: those
that listen, those that are accepted, those of targets. What is not said any more is gone from them."""

import json
import os
import signal
import socket
import subprocess

import pytest

import harness
from harness import Daemon, free_port, until
from test_live import sockets

IPV6_TCLASS, IPV6_UNICAST_HOPS, TCP_USER_TIMEOUT, TCP_FASTOPEN, TCP_DEFER_ACCEPT, SO_MARK, SO_PRIORITY = 67, 16, 18, 23, 9, 36, 12
TCP, SOCKET = socket.IPPROTO_TCP, socket.SOL_SOCKET

# What is said, where it is found, and what the kernel says then.
COMMON = {"sndbuf": ("30000", (SOCKET, socket.SO_SNDBUF), 60000), "rcvbuf": ("30000", (SOCKET, socket.SO_RCVBUF), 60000),
          "mark": ("7", (SOCKET, SO_MARK), 7), "priority": ("3", (SOCKET, SO_PRIORITY), 3)}
STREAMS = {"nodelay": ("false", (TCP, socket.TCP_NODELAY), 0), "keepalive": ("false", (SOCKET, socket.SO_KEEPALIVE), 0),
           "user_timeout": ("7s", (TCP, TCP_USER_TIMEOUT), 7000)}
INET = {**STREAMS, "tos": ("16", (socket.IPPROTO_IP, socket.IP_TOS), 16), "ttl": ("42", (socket.IPPROTO_IP, socket.IP_TTL), 42)}
INET6 = {**STREAMS, "tos": ("16", (socket.IPPROTO_IPV6, IPV6_TCLASS), 16), "ttl": ("42", (socket.IPPROTO_IPV6, IPV6_UNICAST_HOPS), 42)}
LISTENING = {"fastopen": ("5", (TCP, TCP_FASTOPEN), 5), "defer_accept": ("3s", (TCP, TCP_DEFER_ACCEPT), 3)}
# What is found elsewhere: test_unix.py, test_unix_file.c, test_framing.py; a backlog nobody can ask for, and fastopen's queue is a listener's.
ELSEWHERE = {"name", "framing", "max_frame", "reply_from", "format", "mode", "owner", "group", "unlink", "backlog",
             # of pools and their members, which no socket has
             "weight", "backup", "slow_start", "max_sessions", "queue", "unit", "idle_stop", "expand", "passive.failures", "passive.retry",
             *(f"health.{one}" for one in ("interval", "timeout", "rise", "fall", "port", "send", "expect", "http", "status"))}

TABLES = {"tcp4": ("inet", 0, INET), "tcp6": ("inet6", 0, INET6), "udp4": ("inet", 2, INET), "udp6": ("inet6", 2, INET6), "unix": ("unix", 0, {}),
          "unix-dgram": ("unix", 1, {}), "unix-seqpacket": ("unix", 2, {})}
# What a UNIX stream receives lies in its peer's send buffer: nobody uses its own, and what is accepted has the usual.
NOT_ACCEPTED = {"unix": {"rcvbuf"}}


def describe(what):
    done = subprocess.run([harness.spliced(), "--plugin-dir", harness.plugin_dir(), "--describe", what, "--json"], capture_output=True,
                          text=True, check=True)
    told = json.loads(done.stdout)
    told = told[0] if isinstance(told, list) else told
    return told.get("options", told.get("keys"))


def live(kind, role):
    """{option: (text, place, value)} of all that are live there; one that nobody thought of is an error."""
    family, row, own = TABLES[kind]
    known, found = {**COMMON, **own, **(LISTENING if role == "listen" else {})}, {}
    for option in [*describe("endpoint"), *describe(family)]:
        if option["change"] != "live" or role not in (option.get("roles") or [role]) or row not in (option.get("rows") or [row]):
            continue
        name = option["name"]
        assert name in known or name in ELSEWHERE or (name == "fastopen" and role == "target"), f"{kind}: nobody looks whether {name} is set"
        if name in known:
            found[name] = known[name]
    return found


def say(options):
    return "&".join(f"{name}={text}" for name, (text, _, _) in options.items())


def read(sock, options):
    return {name: sock.getsockopt(*place) for name, (_, place, _) in options.items()}


def values(options):
    return {name: value for name, (_, _, value) in options.items()}


def of(daemon, options, wanted):
    """What each socket that answers wanted() has."""
    def answers(sock):
        try:
            return wanted(sock)
        except OSError:
            return False
    found = sockets(daemon, answers)
    try:
        return [read(sock, options) for sock in found]
    finally:
        for sock in found:
            sock.close()


def is_listening(sock):
    return sock.getsockopt(SOCKET, socket.SO_ACCEPTCONN) or sock.type == socket.SOCK_DGRAM


class Ends:
    def __init__(self, kind, place, name=""):
        self.kind = kind
        self.family = socket.AF_UNIX if kind.startswith("unix") else socket.AF_INET6 if kind.endswith("6") else socket.AF_INET
        self.type = socket.SOCK_DGRAM if kind.startswith("udp") or kind.endswith("dgram") else \
            socket.SOCK_SEQPACKET if kind.endswith("seqpacket") else socket.SOCK_STREAM
        self.front, self.back = (os.path.join(place, name + end) for end in ("front", "back"))
        if self.family != socket.AF_UNIX:
            host = "::1" if self.family == socket.AF_INET6 else "127.0.0.1"
            self.front, self.back = (host, free_port()), (host, free_port())
        self.server = socket.socket(self.family, self.type)
        self.server.bind(self.back)
        self.server.settimeout(harness.PATIENCE)
        if self.type != socket.SOCK_DGRAM:
            self.server.listen()
        self.open = [self.server]

    def text(self, end, options):
        address = end if isinstance(end, str) else f"[{end[0]}]:{end[1]}" if ":" in end[0] else f"{end[0]}:{end[1]}"
        return f"{self.kind}://{address}" + ("?" + say(options) if options else "")

    def routes(self, front, back):
        return {"r": {"listen": self.text(self.front, front), "target": self.text(self.back, back)}}

    def is_at(self, sock, end, peers):
        name = (sock.getpeername if peers else sock.getsockname)()
        return sock.family == self.family and (name if isinstance(end, str) else name[:2]) == end

    def begin(self):
        """A session, whose client speaks first."""
        client = socket.socket(self.family, self.type)
        self.open.append(client)
        if self.family == socket.AF_UNIX and self.type == socket.SOCK_DGRAM:
            client.bind("")
        client.connect(self.front)
        client.send(b"hello")
        if self.type == socket.SOCK_DGRAM:
            assert self.server.recv(10) == b"hello"
            return
        served, _ = self.server.accept()
        self.open.append(served)
        assert served.recv(5) == b"hello"

    def close(self):
        while self.open:
            self.open.pop().close()


@pytest.mark.parametrize("kind", TABLES)
def test_all_that_are_live(place, kind):
    if os.geteuid():
        pytest.skip("a mark takes a privilege")
    listening, connecting, ends = live(kind, "listen"), live(kind, "target"), Ends(kind, place)
    accepted = {name: one for name, one in listening.items() if name not in LISTENING and name not in NOT_ACCEPTED.get(kind.split("-")[0], ())}
    try:
        with Daemon(ends.routes({}, {})) as daemon:
            def look():
                return (of(daemon, listening, lambda sock: is_listening(sock) and ends.is_at(sock, ends.front, False)),
                        of(daemon, accepted, lambda sock: not is_listening(sock) and ends.is_at(sock, ends.front, False)),
                        of(daemon, connecting, lambda sock: ends.is_at(sock, ends.back, True)))

            def check(front, back, what):
                ends.begin()
                if ends.type != socket.SOCK_DGRAM:
                    until("it is open", lambda: len(look()[1]) == 1)
                heard, taken, sent = look()
                assert heard and sent and (taken or ends.type == socket.SOCK_DGRAM)
                for one in heard:
                    assert not front or one == front, f"{what}: of those that listen"
                for one in taken:
                    assert not front or same(one, front), f"{what}: of those that are accepted"
                for one in sent:
                    assert not back or same(one, back), f"{what}: of targets"
                for one in daemon.sessions():
                    daemon.ctl("kill", str(one["id"]), status=None)
                for sock in ends.open[1:]:
                    sock.close()
                del ends.open[1:]
                until("they are gone", lambda: not daemon.sessions())
                return heard[0], sent[0]

            def same(one, expected):
                """What a connection's buffers are, if nobody says it, is TCP's affair."""
                return all(value == expected[name] for name, value in one.items() if name not in sized)

            sized = ()
            usual = check(None, None, "at first")
            daemon.reload(ends.routes(listening, connecting))
            check(values(listening), values(connecting), "after a reload")
            daemon.reload(ends.routes({}, {}))
            sized = ("sndbuf", "rcvbuf")
            check(*usual, "after one that takes all back")
    finally:
        ends.close()


def test_a_start_sets_them_too(place):
    """The same as a reload does."""
    if os.geteuid():
        pytest.skip("a mark takes a privilege")
    for kind in ("tcp4", "tcp6"):
        listening, ends = live(kind, "listen"), Ends(kind, place)
        try:
            with Daemon(ends.routes(listening, {})) as daemon:
                found = of(daemon, listening, lambda sock, ends=ends: is_listening(sock) and ends.is_at(sock, ends.front, False))
                assert found and all(one == values(listening) for one in found), found
        finally:
            ends.close()


# Other values, to tell two listeners of one route apart.
OTHERS = {"sndbuf": ("50000", 100000), "rcvbuf": ("50000", 100000), "mark": ("9", 9), "priority": ("5", 5), "nodelay": ("true", 1),
          "keepalive": ("true", 1), "user_timeout": ("9s", 9000), "tos": ("32", 32), "ttl": ("77", 77), "fastopen": ("9", 9),
          "defer_accept": ("3s", 3)}


def others(options):
    return {name: (OTHERS[name][0], place, OTHERS[name][1]) for name, (_, place, _) in options.items()}


@pytest.mark.parametrize("kind", TABLES)
def test_each_listener_has_its_own(place, kind):
    """Three in one route: one with nothing said, two with different values. Also what is accepted has those of its listener."""
    if os.geteuid():
        pytest.skip("a mark takes a privilege")
    first = live(kind, "listen")
    both = (first, others(first))
    accepted = {name for name in first if name not in LISTENING and name not in NOT_ACCEPTED.get(kind.split("-")[0], ())}
    plain, *ends = (Ends(kind, place, name) for name in ("none", "one", "two"))

    def routes(one, two, **more):
        listens = [plain.text(plain.front, {}), ends[0].text(ends[0].front, one), ends[1].text(ends[1].front, two)]
        return {"r": {"listen": tuple(listens), "target": plain.text(plain.back, {}), **more}}

    def listens_at(end):
        return lambda sock: is_listening(sock) and end.is_at(sock, end.front, False)

    try:
        with Daemon(routes(*both)) as daemon:
            usual = of(daemon, first, listens_at(plain))[0]

            def check(one, two, what):
                assert of(daemon, first, listens_at(plain)) and all(each == usual for each in of(daemon, first, listens_at(plain))), what
                for end, options in zip(ends, (one, two)):
                    found = of(daemon, options, listens_at(end))
                    assert found and all(each == values(options) for each in found), f"{what}: {found}"
                    if end.type == socket.SOCK_DGRAM:
                        continue
                    with socket.socket(end.family, end.type) as client:
                        client.connect(end.front)
                        client.send(b"hello")
                        served, _ = plain.server.accept()
                        with served:
                            assert served.recv(5) == b"hello"
                            own = {name: options[name] for name in accepted}
                            taken = of(daemon, own, lambda sock, end=end: not is_listening(sock) and end.is_at(sock, end.front, False))
                            assert taken and all(each == values(own) for each in taken), f"{what}: {taken}"
                    until("it is gone", lambda: not daemon.sessions())

            check(*both, "at first")
            os.kill(daemon.worker, signal.SIGKILL)
            check(*both, "of an heir")
            daemon.reload(routes(*reversed(both)))
            check(*reversed(both), "exchanged")
            with pytest.raises(AssertionError):
                daemon.reload(routes(*both, balance="none"))
            check(*reversed(both), "after a refused reload")
            daemon.write(routes(*reversed(both)))
            daemon.ctl("upgrade")
            check(*reversed(both), "after an upgrade")
    finally:
        for end in (plain, *ends):
            end.close()
