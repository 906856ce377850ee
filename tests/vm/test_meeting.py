# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bluetooth, vsock and TIPC, each kind of socket with every other kind there is: what one says the other hears, edges and all, both ways."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

import harness
import meeting
import messages
from harness import Daemon, until
from messages import route

OLD = messages.STREAMS[:3] + messages.MESSAGES
KINDS = OLD + meeting.KINDS
PAIRS = [(front, back) for front in KINDS for back in KINDS if front in meeting.KINDS or back in meeting.KINDS]
SIZES = (1, 100, 600, 5000, 60000)
BURST = 8
BUILD = os.path.abspath(harness.BUILD)
TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


def is_stream(kind):
    return kind in OLD[:3] or kind in meeting.STREAMS


@pytest.fixture(scope="session")
def plugins():
    """As an author of a plugin has it: what is installed of spliced, and his own family beside it, built with that alone."""
    stage = tempfile.mkdtemp(prefix="stage-")
    os.chmod(stage, 0o755)
    subprocess.run(["make", "-s", "install", f"DESTDIR={stage}"], cwd=BUILD, check=True, capture_output=True)
    source = os.path.join(stage, "tipc")
    shutil.copytree(os.path.join(TOP, "doc", "examples", "tipc"), source)
    environment = {**os.environ, "PKG_CONFIG_SYSROOT_DIR": stage}
    found = subprocess.run(["find", stage, "-name", "spliced.pc"], capture_output=True, text=True, check=True).stdout.strip()
    environment["PKG_CONFIG_PATH"] = os.path.dirname(found)
    subprocess.run(["make", "install"], cwd=source, env=environment, check=True)
    place = os.path.dirname(subprocess.run(["find", stage, "-name", "tipc.so", "-path", "*/spliced/*"], capture_output=True, text=True,
                                           check=True).stdout.split()[0])
    yield place
    shutil.rmtree(stage)


def end(kind, is_front, directory):
    return meeting.End(kind, is_front) if kind in meeting.KINDS else messages.End(kind, directory)


def fits(pair, size):
    largest = {**messages.LARGEST, **meeting.LARGEST}
    return all(size <= largest.get(kind, 65000) for kind in pair)


@pytest.fixture
def directory():
    made = tempfile.mkdtemp(prefix="meeting-", dir="/tmp")
    os.chmod(made, 0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def daemon_of(routes, plugins):
    return Daemon(routes, {"plugin_dir": plugins})


@pytest.mark.parametrize("front", KINDS)
def test_all_that_meet(front, plugins, directory):
    """One daemon a kind of front: a route to each kind of target."""
    pairs = [pair for pair in PAIRS if pair[0] == front]
    fronts = {pair: end(front, True, directory) for pair in pairs}
    backs = {pair: end(pair[1], False, directory) for pair in pairs}
    routes = {}
    for pair in pairs:
        framed = not all(map(is_stream, pair))
        routes["-to-".join(pair)] = {"listen": fronts[pair].framed if framed else fronts[pair].text,
                                     "target": backs[pair].framed if framed else backs[pair].text}
    failed = []
    with daemon_of(routes, plugins) as daemon:
        for pair in pairs:
            try:
                in_tries(pair, lambda pair=pair: there_and_back(daemon, pair, fronts[pair], backs[pair]))
            except (AssertionError, OSError) as error:
                failed.append(f"{' to '.join(pair)}: {type(error).__name__} {error}")
        assert not failed, "\n".join(failed)


def in_tries(pair, function):
    """The emulated controllers lose a packet now and then, when the machine is busy, and the kernel ends the multiplexer of RFCOMM with the
    last of its channels, also while the next is being opened: both reset the connection, which a datagram's sender does not see."""
    if {"rfcomm", "l2cap"} & set(pair):
        try:
            function()
            return
        except (ConnectionResetError, TimeoutError):
            pass
    function()


def there_and_back(daemon, pair, front, back):
    said = [os.urandom(size) for size in SIZES if fits(pair, size)]
    with messages.Echo(back), front.client() as client:
        for data in said:
            client.say(data)
            assert client.hear() == data
        for number in range(BURST):
            client.say(b"%d" % number)
        assert [client.hear() for _ in range(BURST)] == [b"%d" % number for number in range(BURST)]
    counts = route(daemon, "-to-".join(pair))
    assert not counts["dropped"], counts


@pytest.mark.parametrize("kind", meeting.KINDS)
def test_events_and_frames(kind, plugins, directory):
    """To and from the kernel's events, and a network interface's frames."""
    events = {"family": "netlink", "protocol": "route", "groups": ["link"], "dump": True, "format": "json"}
    frames = {"family": "packet", "interface": "v0", "filter": "ether proto 0x88b5"}
    front, framed = meeting.End(kind, True), meeting.End(kind, True)
    back, behind = meeting.End(kind, False), meeting.End(kind, False)
    for words in (("link", "add", "v0", "type", "veth", "peer", "name", "v1"), ("link", "set", "v0", "up"), ("link", "set", "v1", "up")):
        subprocess.run(["ip", *words], check=True)
    for name in ("v0", "v1"):
        subprocess.run(["ethtool", "-K", name, "tx", "off", "gso", "off", "gro", "off"], check=True, capture_output=True)
    try:
        with messages.Echo(back), messages.Echo(behind), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(0x88b5)) as far, daemon_of({
                "events": {"listen": front.framed, "target": events}, "feed": {"listen": events, "target": back.framed},
                "frames": {"listen": framed.framed, "target": frames}, "wire": {"listen": frames, "target": behind.framed}}, plugins) as daemon:
            far.bind(("v1", 0x88b5))
            far.settimeout(harness.PATIENCE)
            with front.client() as client:
                if kind in meeting.DATAGRAMS:
                    client.say(b"hello")
                assert json.loads(client.hear())["event"] == "snapshot"
            until("events reach a target", lambda: route(daemon, "feed")["messages"]["to_target"] >= 2)
            until("frames have their session", lambda: any(one["route"] == "wire" and one["state"] == "relaying" for one in daemon.sessions()))
            one = b"\xff" * 6 + b"\x02\0\0\0\0\x01" + b"\x88\xb5" + bytes(50)
            with framed.client() as client:
                client.say(one)
                assert far.recv(2048) == one
                far.send(one)
                assert client.hear() == one
                assert far.recv(2048) == one  # the other route's target has heard it, too, and said it again
    finally:
        subprocess.run(["ip", "link", "del", "v0"], check=False)


# ---- reliable datagrams ----


MESSAGES_SENT = 5000
WINDOW = 30


def exchange(client, window=WINDOW, changes=None):
    """Numbers there and back; changes: {number of a window: what is done while it is on its way}."""
    for turn, first in enumerate(range(0, MESSAGES_SENT, window)):
        numbers = range(first, first + window)
        for number in numbers:
            client.say(b"%d" % number)
        if changes and turn in changes:
            changes[turn]()
        assert [client.hear() for _ in numbers] == [b"%d" % number for number in numbers]


def planned(daemon):
    """A reload to another configuration, and an upgrade, under way: nothing is lost, nothing comes twice."""
    def reload():
        other = {"listen": f"tcp4://127.0.0.1:{harness.free_port()}", "target": "tcp4://127.0.0.1:9"}
        daemon.write({**daemon.routes, "other": other})
        daemon.signal(signal.SIGHUP)

    return {MESSAGES_SENT // WINDOW // 4: reload, MESSAGES_SENT // WINDOW // 2: lambda: daemon.signal(signal.SIGUSR2)}


def assert_planned(daemon):
    until("both have happened", lambda: (starts := daemon.status()["worker"]["starts"])["upgrade"] == 1 and starts["reload"] >= 1)


@pytest.mark.parametrize("back", ("udp4", "unix-seqpacket"))
def test_reliable_datagrams_lose_nothing(back, plugins, directory):
    """TIPC's SOCK_RDM to UDP and to UNIX seqpacket, and back: each message, once, in order."""
    front, target = meeting.End("tipc-rdm", True), messages.End(back, directory)
    with daemon_of({"r": {"listen": front.text, "target": target.text}}, plugins) as daemon, messages.Echo(target), front.client() as client:
        if back == "udp4":
            exchange(client, 8)
        else:
            exchange(client, changes=planned(daemon))
            assert_planned(daemon)
        assert not route(daemon, "r")["dropped"]


def test_to_reliable_datagrams(plugins, directory):
    front, target = messages.End("unix-seqpacket", directory), meeting.End("tipc-rdm", False)
    with daemon_of({"r": {"listen": front.text, "target": target.text}}, plugins) as daemon, messages.Echo(target), front.client() as client:
        exchange(client, changes=planned(daemon))
        assert_planned(daemon)
        # A death under way: none is lost, the one in hand may come twice.
        for number in range(WINDOW):
            client.say(b"%d" % number)
        os.kill(daemon.worker, signal.SIGKILL)
        heard = []
        while heard[-1:] != [WINDOW - 1]:
            heard.append(int(client.hear()))
        assert sorted(set(heard)) == list(range(WINDOW)) and heard == sorted(heard) and len(heard) <= WINDOW + 1, heard
        assert not route(daemon, "r")["dropped"]
