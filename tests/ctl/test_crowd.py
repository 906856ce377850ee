# SPDX-License-Identifier: LGPL-2.1-or-later
"""However many sit on the control socket, and whatever they do not do: who asks is answered."""

import os
import signal
import socket
import subprocess
import threading
import time

import pytest

import harness
from harness import Daemon, Endpoint, Serve, until

PLACES = 64
# Their answer is larger than what a socket takes of it.
MANY = 400
KINDS = {"idle": b"", "half": b'{"verb": "sta', "deaf": b'{"verb": "routes"}\n'}


class Crowd:
    """So many connections at a time that each say `words` and read nothing; one that is ended is replaced at once."""

    def __init__(self, daemon, words, count):
        self.path, self.words, self.count = daemon.control, words, count
        self.made, self.held, self.stop = 0, [], threading.Event()
        self.thread = threading.Thread(target=self.run)

    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        try:
            client.connect(self.path)
            client.send(self.words)
        except OSError:  # the backlog is full, or the daemon ended it already
            client.close()
            return
        self.made += 1
        self.held.append(client)

    def has_ended(self, client):
        try:
            return self.words != KINDS["deaf"] and not client.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def run(self):
        while not self.stop.is_set():
            for client in [one for one in self.held if self.has_ended(one)]:
                client.close()
                self.held.remove(client)
            for _ in range(min(16, self.count - len(self.held))):
                self.connect()
            time.sleep(0.002)

    def __enter__(self):
        self.thread.start()
        until("they sit there", lambda: self.made >= min(self.count, PLACES + 16))
        return self

    def __exit__(self, *exception):
        self.stop.set()
        self.thread.join()
        for client in self.held:
            client.close()


@pytest.fixture
def crowded(place):
    front, back = Endpoint("inet", place), Endpoint("unix", place)
    routes = {"r": {"listen": front, "target": back}}
    for number in range(MANY):
        routes[f"other-{number}"] = {"listen": f"unix://{place}/o{number}", "target": back, "enabled": False}
    with Serve(back), Daemon(routes) as daemon:
        yield daemon
        assert daemon.status()["verdict"] == "OK"


def ask_all(daemon):
    assert daemon.ctl("status")["ok"]
    assert len(daemon.ctl("routes")["routes"]) == MANY + 1
    assert daemon.ctl("reload")["ok"]
    worker = daemon.worker
    os.kill(worker, signal.SIGKILL)
    daemon.worker_after(worker)
    assert daemon.ctl("listeners")["listeners"]


@pytest.mark.parametrize("count", (PLACES, 1000))
@pytest.mark.parametrize("kind", KINDS)
def test_a_crowd(crowded, kind, count):
    with Crowd(crowded, KINDS[kind], count):
        ask_all(crowded)
        assert crowded.ctl("status")["ok"]


def test_all_kinds_at_once(crowded):
    with Crowd(crowded, KINDS["idle"], 30), Crowd(crowded, KINDS["half"], 30), Crowd(crowded, KINDS["deaf"], 30):
        ask_all(crowded)


@pytest.mark.parametrize("kind", KINDS)
def test_a_reload_that_is_waited_for_keeps_its_place(crowded, kind):
    """The keeper stands still meanwhile: the reload waits, and others come and go."""
    crowded.signal(signal.SIGSTOP)
    with subprocess.Popen([harness.splicectl(), "-s", crowded.control, "--json", "reload"], stdout=subprocess.PIPE,
                          text=True) as reload:
        with Crowd(crowded, KINDS[kind], 200) as crowd:
            made = crowd.made
            if kind != "deaf":
                until("each place was given away", lambda: crowd.made > made + 2 * PLACES)
            assert crowded.ctl("status")["ok"]
            assert reload.poll() is None, reload.stdout.read()
            crowded.signal(signal.SIGCONT)
            out = reload.communicate(timeout=harness.PATIENCE * 3)[0]
            assert reload.returncode == 0 and '"ok":true' in out.replace(" ", ""), out


def test_nothing_spins_while_all_wait(crowded):
    """Every place is a waiting reload's: newcomers wait too, and the daemon rests."""
    crowded.signal(signal.SIGSTOP)
    clients = []
    for _ in range(PLACES):
        client = socket.socket(socket.AF_UNIX)
        client.connect(crowded.control)
        client.sendall(b'{"verb": "reload"}\n')
        clients.append(client)
    late = socket.socket(socket.AF_UNIX)
    late.connect(crowded.control)
    late.sendall(b'{"verb": "status"}\n')
    until("the daemon rests", lambda: rests(crowded.worker))
    crowded.signal(signal.SIGCONT)
    for client in clients + [late]:
        client.settimeout(harness.PATIENCE * 3)
        answer, how = harness.read_all(client)
        assert how == "end" and answer.startswith(b'{"ok"'), (answer[:100], how)
        client.close()


def rests(pid):
    before = harness.cpu_seconds(pid)
    time.sleep(0.3)
    return harness.cpu_seconds(pid) - before <= 0.02
