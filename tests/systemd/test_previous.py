# SPDX-License-Identifier: LGPL-2.1-or-later
"""The release before this one hands over to this one, by an upgrade and by a restart of the service: all that it has open goes on.
$SPLICED_PREVIOUS is where that one is built."""

import json
import os
import signal
import socket

import pytest

import harness
import service
from harness import Running, Serve, until
from service import WORDS, Service, Words

PREVIOUS = os.environ.get("SPLICED_PREVIOUS")
PORT, BACK, UDP, UDP_BACK, MORE = 7400, 7401, 7402, 7403, 7404
ROUTES = {
    "web": {"listen": f"tcp4://127.0.0.1:{PORT}", "target": f"tcp4://127.0.0.1:{BACK}"},
    "words": WORDS,
    "datagrams": {"listen": f"udp4://127.0.0.1:{UDP}", "target": f"udp4://127.0.0.1:{UDP_BACK}", "timeout": {"idle": "10min"}},
    "framed": {"listen": "unix-dgram:///run/spliced/framed", "target": "unix://@framed?framing=length16"},
    "links": {"listen": "unix:///run/spliced/links", "target": "netlink://route?groups=link&dump=true&format=json"},
}

pytestmark = pytest.mark.skipif(not PREVIOUS, reason="the release before this one is not built: there is no history")


@pytest.fixture(scope="module", autouse=True)
def installed():
    yield
    service.install()


@pytest.fixture(scope="module", autouse=True)
def server():
    with Serve(f"tcp://127.0.0.1:{BACK}") as serving:
        yield serving


def unix(kind, name, listens):
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.settimeout(harness.PATIENCE)
    if listens:
        sock.bind(name)
        sock.listen()
    else:
        sock.connect(name)
    return sock


def udp(address, connects):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(harness.PATIENCE)
    if connects:
        sock.connect(address)
    else:
        sock.bind(address)
    return sock


class Sessions:
    """One of each kind, with both of its ends."""

    def __init__(self):
        self.words = Words()
        self.listening = unix(socket.SOCK_STREAM, "\0framed", True)
        self.framed = unix(socket.SOCK_DGRAM, "/run/spliced/framed", False)
        self.framed.send(b"first")
        self.framed_target = self.listening.accept()[0]
        self.framed_target.settimeout(harness.PATIENCE)
        assert self.framed_target.recv(7, socket.MSG_WAITALL) == b"\0\5first"
        self.datagrams, self.datagrams_target = udp(("127.0.0.1", UDP), True), udp(("127.0.0.1", UDP_BACK), False)
        self.links = unix(socket.SOCK_STREAM, "/run/spliced/links", False).makefile("rb")
        self.hears_links("snapshot-end")
        self.peer = None

    def hears_links(self, event):
        """Until that one is told."""
        while json.loads(self.links.readline())["event"] != event:
            pass

    def live(self):
        self.words.lives()
        self.framed.send(b"alive")
        assert self.framed_target.recv(7, socket.MSG_WAITALL) == b"\0\5alive"
        self.datagrams.send(b"alive")
        data, peer = self.datagrams_target.recvfrom(10)
        assert data == b"alive" and peer == (self.peer or peer), "it is the session that was"
        self.peer = peer
        self.datagrams_target.sendto(b"answer", peer)
        assert self.datagrams.recv(10) == b"answer"
        service.run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
        service.run("ip", "link", "del", "v0")
        self.hears_links("del")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.words.__exit__(*exception)
        for sock in (self.listening, self.framed, self.framed_target, self.datagrams, self.datagrams_target, self.links):
            sock.close()


def hand_over(spliced, verb):
    done = spliced.systemctl("restart", check=False) if verb == "restart" else spliced.ctl("upgrade")
    assert done.returncode == 0, done.stdout + done.stderr + spliced.log()


@pytest.mark.parametrize("verb", ("upgrade", "restart"))
def test_this_release_takes_over(verb):
    service.install(PREVIOUS)
    with Service(ROUTES) as spliced, Sessions() as sessions:
        before = spliced.status()["version"]
        sessions.live()
        # An earlier generation is lived in: the routes of the sessions above are those of a file that is no more.
        spliced.write({**ROUTES, "more": {"listen": f"tcp4://127.0.0.1:{MORE}", "target": f"tcp4://127.0.0.1:{BACK}"}})
        spliced.systemctl("reload")
        swarm = Running("swarm", "--to", f"tcp://127.0.0.1:{PORT}", "--parallel", 16, "--seconds", 100)
        until("the swarm is there", lambda: spliced.status()["sessions"]["active"] > 16)
        service.install()
        hand_over(spliced, verb)
        assert spliced.status()["version"] != before
        sessions.live()
        # What it took over survives its worker, another reload, and the next change of hands.
        os.kill(spliced.worker, signal.SIGKILL)
        sessions.live()
        spliced.systemctl("reload")
        hand_over(spliced, "upgrade")
        hand_over(spliced, "restart")
        sessions.live()
        assert swarm.running()
        told, code = swarm.stop()
        assert code == 0, told
        socket.create_connection(("127.0.0.1", MORE)).close()


def test_going_back():
    """The release before may refuse what this one left; then nothing changes. If it does not, it goes on with it."""
    service.install()
    with Service(ROUTES) as spliced, Sessions() as sessions:
        sessions.live()
        service.install(PREVIOUS)
        done = spliced.ctl("upgrade")
        assert done.returncode in (0, 1), done
        assert done.returncode == 0 or "does not understand the sessions" in done.stdout + done.stderr, done
        sessions.live()
        if done.returncode:
            go_back_without_sessions(spliced, sessions)


def go_back_without_sessions(spliced, sessions):
    """Which was said before. The service is there at once, and this release takes over again from there."""
    now = spliced.status()["version"]
    hand_over(spliced, "restart")
    assert spliced.status()["version"] != now
    assert "they end" in spliced.log() and "does not understand the sessions" in spliced.log(), spliced.log()
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        sessions.words.client.send(b"is somebody there?")
        assert sessions.words.client.recv(10) == b"", "it is not as if all were well"
        sessions.words.client.send(b"is somebody there?")
    sessions.__exit__()
    with Sessions() as others:
        others.live()
        service.install()
        hand_over(spliced, "upgrade")
        assert spliced.status()["version"] == now
        others.live()
