# SPDX-License-Identifier: LGPL-2.1-or-later
"""Framing on the wire: what each of them looks like, both ways, however the bytes arrive."""

import socket
import struct
import subprocess
import time

import pytest

import harness
from harness import Daemon, until
from messages import Echo, End, Wire, route

QUIET = {"log": {"to": "stderr", "level": "warning"}}


def slip(data):
    return data.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"


FRAMES = {
    "length16": lambda data: struct.pack(">H", len(data)) + data,
    "length32": lambda data: struct.pack(">I", len(data)) + data,
    "line": lambda data: data + b"\n",
    "netstring": lambda data: b"%d:%s," % (len(data), data),
    "octet-count": lambda data: b"%d %s" % (len(data), data),
    "slip": slip,
    "nul": lambda data: data + b"\0",
}
MESSAGES = (b"hello", b"", b"x", b"\xc0\xdb\xdc end, 5:esc", b"", b"y" * 3000)


def framed(end, framing, **options):
    return f"{end}?framing={framing}" + "".join(f"&{key}={value}" for key, value in options.items())


def exactly(sock, count):
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        assert part, f"the end after {len(data)} of {count} bytes: {data!r:.100}"
        data += part
    return data


@pytest.fixture
def echo(place):
    end = End("unix-seqpacket", place)
    with Echo(end):
        yield end


@pytest.mark.parametrize("framing", FRAMES)
@pytest.mark.parametrize("kind", ("tcp4", "unix"))
def test_frames_there_and_back(place, echo, kind, framing):
    """In one segment, then byte by byte."""
    front = End(kind, place)
    wire = b"".join(map(FRAMES[framing], MESSAGES))
    with Daemon({"r": {"listen": framed(front, framing), "target": str(echo)}}, QUIET) as daemon:
        with front.client() as client:
            client.sock.sendall(wire)
            assert exactly(client.sock, len(wire)) == wire
            if kind == "tcp4":
                client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            short = b"".join(map(FRAMES[framing], MESSAGES[:5]))
            for byte in short:
                client.sock.sendall(bytes([byte]))
                time.sleep(0.0002)
            assert exactly(client.sock, len(short)) == short
        assert route(daemon, "r")["messages"]["to_target"] == len(MESSAGES) + 5
        assert not route(daemon, "r")["dropped"]


def test_none_keeps_no_edges(echo):
    front = End("tcp4")
    with Daemon({"r": {"listen": framed(front, "none"), "target": str(echo)}}, QUIET), front.client() as client:
        for data in (b"one", b"two" * 1000):
            client.sock.sendall(data)
            assert exactly(client.sock, len(data)) == data


@pytest.mark.parametrize("framing", FRAMES)
def test_a_longer_frame_than_max_frame_ends_the_session(echo, framing):
    front = End("tcp4")
    with Daemon({"r": {"listen": framed(front, framing, max_frame=100), "target": str(echo)}}, QUIET) as daemon:
        with front.client() as client:
            fits = FRAMES[framing](b"z" * 90)
            client.sock.sendall(fits)
            assert exactly(client.sock, len(fits)) == fits
            client.sock.sendall(FRAMES[framing](b"z" * 200))
            assert harness.read_all(client.sock)[1] in ("end", "ECONNRESET")
        until("it is counted", lambda: route(daemon, "r")["dropped"] == {"oversize": 1})


@pytest.mark.parametrize("framing, wrong", (("netstring", b"5:hello;"), ("netstring", b"x"), ("octet-count", b"05 hello"),
                                            ("slip", b"\xdbx\xc0")))
def test_what_is_no_frame_ends_the_session(echo, framing, wrong):
    front = End("tcp4")
    with Daemon({"r": {"listen": framed(front, framing), "target": str(echo)}}, QUIET) as daemon:
        with front.client() as client:
            client.sock.sendall(wrong)
            assert harness.read_all(client.sock)[1] in ("end", "ECONNRESET")
        until("it is counted", lambda: route(daemon, "r")["dropped"] == {"framing": 1})


def test_a_line_feed_within_a_message_is_not_framed_as_two(place):
    front, back = End("udp4"), End("tcp4")
    with back.server() as server:
        with Daemon({"r": {"listen": str(front), "target": framed(back, "line")}}, QUIET) as daemon, \
                front.client() as client:
            for data in (b"a", b"b\nc", b"d\n", b"e"):
                client.say(data)
            server.settimeout(harness.PATIENCE)
            with server.accept()[0] as sock:
                sock.settimeout(harness.PATIENCE)
                assert exactly(sock, 6) == b"a\nd\ne\n"
            assert route(daemon, "r")["dropped"] == {"framing": 1}


def test_a_part_of_a_frame_at_the_end_is_dropped_and_counted(echo):
    front = End("tcp4")
    with Daemon({"r": {"listen": framed(front, "length16"), "target": str(echo)}}, QUIET) as daemon:
        with front.client() as client:
            client.sock.sendall(b"\0\3abc\0\5ab")
            client.sock.shutdown(socket.SHUT_WR)
            assert harness.read_all(client.sock) == (b"\0\3abc", "end")
        until("it is counted", lambda: route(daemon, "r")["dropped"] == {"framing": 1})


@pytest.mark.parametrize("kind", ("tcp4", "unix"))
@pytest.mark.parametrize("framing, end", (("line", b"\n"), ("nul", b"\0"), ("auto", b"\n")))
@pytest.mark.parametrize("last", (b"unterminated", b"", b"u" * 60000))
def test_what_stands_unterminated_at_the_end_is_delivered(place, echo, kind, framing, end, last):
    front = End(kind, place)
    with Daemon({"r": {"listen": framed(front, framing), "target": str(echo)}}, QUIET) as daemon:
        with front.client() as client:
            client.sock.sendall(b"first" + end + last)
            client.sock.shutdown(socket.SHUT_WR)
            assert harness.read_all(client.sock) == (b"first" + end + (last and last + end), "end")
        assert route(daemon, "r")["messages"]["to_target"] == 1 + bool(last)
        assert not route(daemon, "r")["dropped"]


def test_what_a_reset_cuts_is_not_delivered(place):
    front, back = End("tcp4"), End("unix-seqpacket", place)
    with back.server() as server, Daemon({"r": {"listen": framed(front, "line"), "target": str(back)}}, QUIET) as daemon:
        client = front.client()
        client.sock.sendall(b"first\nunterm")
        sock = server.accept()[0]
        sock.settimeout(harness.PATIENCE)
        assert sock.recv(100) == b"first"
        harness.reset(client.sock)
        try:
            assert sock.recv(100) == b""
        except ConnectionResetError:
            pass
        sock.close()
        until("it has ended", lambda: not daemon.sessions())
        assert route(daemon, "r")["messages"]["to_target"] == 1


def test_either_framing_of_syslog_is_told_by_its_first_byte(echo):
    """By message, even within one connection."""
    front = End("tcp4")
    said = b"<34>1 a line\n" + b"14 <34>1 with \nlf" + b"<34>2 line\n" + b"5 <1>xy" + b"<3>end\n"
    heard = b"<34>1 a line\n<34>2 line\n<1>xy\n<3>end\n"  # with a line feed within it has no way back
    with Daemon({"r": {"listen": framed(front, "auto"), "target": str(echo)}}, QUIET) as daemon:
        with front.client() as client:
            for byte in said:
                client.sock.sendall(bytes([byte]))
            assert exactly(client.sock, len(heard)) == heard
        assert route(daemon, "r")["messages"]["to_target"] == 5
        with front.client() as client:
            client.sock.sendall(b"14 <34>1 ha")
            client.sock.shutdown(socket.SHUT_WR)
            assert harness.read_all(client.sock)[0] == b""
        until("it is counted", lambda: route(daemon, "r")["dropped"].get("framing") == 2)


def test_a_reader_that_is_slow_holds_the_sender_back(place):
    """A stream that is not read holds back the UNIX socket at the other end; then all is there, in order."""
    front, back = End("unix-seqpacket", place), End("tcp4")
    with back.server() as server:
        with Daemon({"r": {"listen": str(front), "target": framed(back, "length32", max_frame="128K")}}, QUIET) as daemon, \
                front.client() as client:
            server.settimeout(harness.PATIENCE)
            sent = 0
            client.sock.settimeout(0.3)
            with server.accept()[0] as sock:
                try:
                    while sent < 2000:
                        client.say(struct.pack(">I", sent) * 16000)
                        sent += 1
                except (TimeoutError, socket.timeout):
                    pass
                assert 10 < sent < 2000, "nobody was held back"
                sock.settimeout(harness.PATIENCE)
                for number in range(sent):
                    assert exactly(sock, 4 + 64000) == struct.pack(">I", 64000) + struct.pack(">I", number) * 16000
            assert not route(daemon, "r")["dropped"]


def test_two_streams_that_are_framed_in_two_ways(place):
    front, back = End("tcp4"), End("unix", place)
    with back.server() as server:
        with Daemon({"r": {"listen": framed(front, "netstring"), "target": framed(back, "line")}}, QUIET), \
                front.client() as client:
            client.sock.sendall(b"5:hello,0:,3:you,")
            server.settimeout(harness.PATIENCE)
            with server.accept()[0] as sock:
                sock.settimeout(harness.PATIENCE)
                assert exactly(sock, 11) == b"hello\n\nyou\n"
                sock.sendall(b"and back\n")
                assert exactly(client.sock, 11) == b"8:and back,"
                client.sock.shutdown(socket.SHUT_WR)
                assert sock.recv(1) == b""


def test_a_client_that_half_closes_still_hears(echo):
    front = End("tcp4")
    with Daemon({"r": {"listen": framed(front, "line"), "target": str(echo)}}, QUIET), front.client() as client:
        client.sock.sendall(b"one\ntwo\n")
        client.sock.shutdown(socket.SHUT_WR)
        assert harness.read_all(client.sock) == (b"one\ntwo\n", "end")


def test_datagrams_that_come_before_the_stream_is_connected(place):
    """What fits is framed into the pipe at once: the first words of a client are not lost to a handshake."""
    front, back = End("udp4"), End("tcp4")
    with back.server() as server:
        with Daemon({"r": {"listen": str(front), "target": framed(back, "length16")}}, QUIET), front.client() as client:
            client.say(b"first")
            server.settimeout(harness.PATIENCE)
            with Wire("tcp4", server.accept()[0]) as wire:
                assert wire.hear() == b"first"


def test_a_framing_that_is_missing_is_refused_with_its_place(place):
    path = f"{place}/c.conf"
    with open(path, "w", encoding="utf-8") as file:
        file.write('daemon: { plugin_dir = "%s"; };\nroutes: {\n  r: {\n    listen = "udp4://:9";\n    target = "tcp4://127.0.0.1:9";\n'
                   '  };\n};\n' % harness.plugin_dir())
    done = subprocess.run([harness.spliced(), "-t", "-c", path], capture_output=True, text=True, check=False)
    assert done.returncode == 78 and f"{path}:5: route r: " in done.stderr and "framing" in done.stderr, done.stderr
