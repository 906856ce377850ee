# SPDX-License-Identifier: LGPL-2.1-or-later
"""The longest frames: by every framing, towards every kind of message socket and back, whatever buffers the ends have; while max_frame is
raised, lowered, or refused, and the worker killed."""

import os
import signal
import socket
import struct

import pytest

import harness
from harness import Daemon, until
from messages import End, route
from test_framing import FRAMES, exactly, framed

QUIET = {"log": {"to": "stderr", "level": "warning"}}
FRONTS, ROWS = ("tcp4", "unix"), ("unix-seqpacket", "unix-dgram", "udp4")
LONG = {"unix-seqpacket": 1000000, "unix-dgram": 1000000, "udp4": 65507}
USUAL = {"unix-seqpacket": 65000, "unix-dgram": 65000, "udp4": 65000}


class Rows:
    """A route for each framing, front and row."""

    def __init__(self, place, fronts=FRONTS, rows=ROWS):
        self.place = place
        self.cases = [(framing, front, row) for framing in FRAMES for front in fronts for row in rows]
        self.fronts = {case: End(case[1], place) for case in self.cases}
        self.backs = {case: End(case[2], place) for case in self.cases}
        self.servers = {}
        for case, back in self.backs.items():
            server = self.servers[case] = back.server()
            server.settimeout(harness.PATIENCE)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)

    def routes(self, more="", front=None, **options):
        """front: what each says in place of max_frame."""
        return {self.name(case): {"listen": framed(self.fronts[case], case[0], **(front or options)), "target": str(self.backs[case]) + more}
                for case in self.cases}

    @staticmethod
    def name(case):
        return "-".join(case).replace("4", "")

    def begin(self, case, send_buffer=None):
        client = self.fronts[case].socket()
        client.settimeout(harness.PATIENCE)
        if send_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        client.connect(self.fronts[case].address)
        return Talk(self, case, client)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for server in self.servers.values():
            server.close()


class Talk:
    """One client, and what the target has of it."""

    def __init__(self, rows, case, client):
        self.rows, self.case, self.client, self.served = rows, case, client, None

    def target(self):
        if self.case[2] != "unix-seqpacket":
            return self.rows.servers[self.case]
        if not self.served:
            self.served = self.rows.servers[self.case].accept()[0]
            self.served.settimeout(harness.PATIENCE)
            self.served.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        return self.served

    def say(self, data, pieces=0):
        wire = FRAMES[self.case[0]](data)
        if pieces:
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 212992)
            for at in range(0, len(wire), pieces):
                self.client.sendall(wire[at:at + pieces])
        else:
            self.client.sendall(wire)

    def passes(self, data, pieces=0):
        """It arrives whole; and comes back."""
        self.say(data, pieces)
        heard, peer = self.target().recvfrom(1 << 20)
        assert heard == data, f"{self.case}: {len(heard)} of {len(data)} bytes"
        if self.case[2] == "unix-seqpacket":
            self.target().send(data)
        elif peer:
            self.target().sendto(data, peer)
        else:
            return
        wire = FRAMES[self.case[0]](data)
        assert exactly(self.client, len(wire)) == wire, self.case

    def is_refused(self, data):
        """A frame that is too long ends its session."""
        try:
            self.say(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            assert self.client.recv(1) == b"", self.case
        except ConnectionResetError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.client.close()
        if self.served:
            self.served.close()


def fitting(framing, size):
    """length16 has no longer ones."""
    return b"z" * (min(size, 65000) if framing == "length16" else size)


def test_the_longest_pass_whole_and_in_pieces(place):
    """What a UNIX socket holds is up to its sender's buffer, where a byte of its own counts hundreds."""
    with Rows(place) as rows, Daemon(rows.routes(max_frame="1M"), QUIET) as daemon:
        for case in rows.cases:
            with rows.begin(case) as talk:
                talk.passes(fitting(case[0], LONG[case[2]]))
                talk.passes(b"")
                if case[1] == "unix":
                    talk.passes(b"p" * 1500, 1)
                talk.passes(fitting(case[0], LONG[case[2]]), 50000)
                if case[0] == "length32" and case[2] != "udp4":
                    talk.passes(b"1" * ((1 << 20) - 4), 1000)
            if case[1] == "unix":
                with rows.begin(case, 1) as talk:
                    talk.passes(b"s" * 20000)
        for case in rows.cases:
            assert not route(daemon, rows.name(case))["dropped"], case


def test_max_frame_is_raised_and_lowered(place):
    """Sessions keep what they were opened with; those to come have the new one, and the buffers that it takes."""
    with Rows(place) as rows, Daemon(rows.routes(), QUIET) as daemon:
        def dropped():
            return sum(route["dropped"].get("oversize", 0) for route in daemon.ctl("routes")["routes"])

        def check(long, known):
            """Of each case a session that is opened now."""
            opened = {}
            for case in rows.cases:
                opened[case] = rows.begin(case)
                opened[case].passes(b"z" * USUAL[case[2]] if case[0] != "slip" else b"z" * 60000)
                if long:
                    opened[case].passes(fitting(case[0], LONG[case[2]]))
            assert dropped() == known
            return opened

        def end(opened, refuse):
            left = len(daemon.sessions()) - len(opened)
            for case, talk in opened.items():
                if refuse and case[0] != "length16":
                    talk.is_refused(b"z" * 500000)
                else:
                    talk.passes(fitting(case[0], LONG[case[2]] if not refuse else 65000))
                talk.__exit__()
            until("they are gone", lambda: len(daemon.sessions()) == left)

        known, refused = 0, sum(case[0] != "length16" for case in rows.cases)
        usual = check(False, known)
        daemon.reload(rows.routes(max_frame="1M"))
        large = check(True, known)
        end(usual, True)
        known += refused
        assert dropped() == known
        daemon.write(rows.routes(front={"max_frame": "1M", "rcvbuf": "1M"}))
        assert daemon.ctl_run("reload").returncode == 1
        daemon.write(rows.routes(max_frame="1M"))
        daemon.reload(rows.routes())
        end(large, False)
        end(check(False, known), True)
        known += refused
        assert dropped() == known


def test_a_frame_that_is_half_there_survives_a_kill(place):
    with Rows(place) as rows, Daemon(rows.routes(max_frame="1M"), QUIET) as daemon:
        talks = {case: rows.begin(case) for case in rows.cases}
        for case, talk in talks.items():
            talk.passes(b"first")
            talk.client.sendall(FRAMES[case[0]](fitting(case[0], LONG[case[2]]))[:60000])
        worker = daemon.worker
        os.kill(worker, signal.SIGKILL)
        daemon.worker_after(worker)
        for case, talk in talks.items():
            talk.client.sendall(FRAMES[case[0]](fitting(case[0], LONG[case[2]]))[60000:])
            assert talk.target().recv(1 << 20) == fitting(case[0], LONG[case[2]]), case
            talk.__exit__()
        for case in rows.cases:
            assert not route(daemon, rows.name(case))["dropped"], case


@pytest.mark.parametrize("framing", FRAMES)
def test_who_waited_at_a_listener_while_it_was_raised(place, framing):
    """Its socket has the buffer of before, and the window that it took then."""
    front, back = End("tcp4"), End("unix-seqpacket", place)

    def routes(**options):
        return {"r": {"listen": framed(front, framing, max_frame=options.pop("max_frame", "64K")), "target": str(back), **options}}
    with back.server() as server, Daemon(routes(limit={"sessions": 1}), {**QUIET, "workers": 1}) as daemon:
        server.settimeout(harness.PATIENCE)
        with front.client() as first, front.client() as second:
            first.sock.sendall(FRAMES[framing](b"first"))
            data, served = fitting(framing, 1000000), server.accept()[0]
            assert served.recv(10) == b"first" and len(daemon.sessions()) == 1
            daemon.reload(routes(max_frame="1M"))
            second.sock.sendall(FRAMES[framing](data))
            with served, server.accept()[0] as other:
                other.settimeout(harness.PATIENCE)
                assert other.recv(1 << 20) == data
        assert not route(daemon, "r")["dropped"]


def unprivileged(routes):
    if os.geteuid():
        return Daemon(routes)
    daemon = Daemon(routes, {"user": "nobody"})
    os.chmod(daemon.directory, 0o777)
    return daemon


def limit_of(name):
    try:
        with open(f"/proc/sys/net/core/{name}", encoding="ascii") as file:
            return int(file.read())
    except OSError as error:
        raise harness.Skip(f"net.core.{name} cannot be read here: {error}") from error


def test_a_buffer_that_is_not_granted_is_told(place):
    """At the start, and at a reload; of listeners, targets and dials."""
    os.chmod(place, 0o777)
    most = {"rcvbuf": limit_of("rmem_max"), "sndbuf": limit_of("wmem_max")}
    ends = [End("udp4"), End("tcp4"), End("unix-seqpacket", place)]

    def asks(end, *options):
        return f"{end}?" + "&".join(f"{option}={most[option] + 4096}" for option in options)

    def told(daemon):
        return [line for line in daemon.log().splitlines() if "the kernel grants" in line]
    with unprivileged({"r": {"listen": asks(ends[0], "rcvbuf"), "target": str(End("udp4"))}}) as daemon:
        line, = told(daemon)
        assert "warning: route r: listen " + str(ends[0]) in line and f"receive buffer of {most['rcvbuf'] + 4096} bytes" in line
        assert f"the kernel grants {most['rcvbuf']};" in line and "net.core.rmem_max" in line and "CAP_NET_ADMIN" in line
        daemon.reload({"r": {"listen": str(ends[0]), "target": asks(ends[2], "sndbuf")},
                       "d": {"dial": asks(ends[1], "rcvbuf", "sndbuf"), "target": str(End("tcp4"))}})
        lines = told(daemon)[1:]
        assert [("send" in one, "target" in one, "net.core.wmem_max" in one) for one in lines] == [(True, True, True), (True, False, True),
                                                                                                    (False, False, False)], lines
        daemon.reload({"r": {"listen": str(ends[0]), "target": f"{ends[2]}?sndbuf={most['sndbuf']}"}})
        assert len(told(daemon)) == 4


def test_a_message_that_the_buffer_does_not_take_is_counted(place):
    """The operator may want a smaller one; others go on."""
    front, back = End("tcp4"), End("unix-seqpacket", place)
    with back.server() as server, Daemon({"r": {"listen": framed(front, "length32", max_frame="1M"), "target": f"{back}?sndbuf=64K"}}) as daemon:
        server.settimeout(harness.PATIENCE)
        with front.client() as client:
            for data in (b"a" * 100000, b"b" * 300000, b"c"):
                client.sock.sendall(struct.pack(">I", len(data)) + data)
            with server.accept()[0] as served:
                served.settimeout(harness.PATIENCE)
                assert served.recv(1 << 20) == b"a" * 100000
                assert served.recv(1 << 20) == b"c"
        assert route(daemon, "r")["dropped"] == {"oversize": 1}
        assert "longer messages are dropped" in daemon.log()
