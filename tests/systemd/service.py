# SPDX-License-Identifier: LGPL-2.1-or-later
"""The installed service, and what a test does with it."""

import json
import os
import socket
import subprocess

import harness
import rest
from harness import until

CONF = "/usr/local/etc/spliced/spliced.conf"
DROP_INS = "/etc/systemd/system/spliced.service.d"
PLUGINS = "/usr/local/lib/spliced"
WORDS = {"listen": "unix-seqpacket:///run/spliced/words", "target": "unix-seqpacket://@words"}


def run(*words, check=True, timeout=120):
    return subprocess.run(words, capture_output=True, text=True, check=check, timeout=timeout)


def show(unit, name):
    return run("systemctl", "show", "-p", name, "--value", unit).stdout.strip()


def install(build=harness.BUILD):
    """What is built, as an administrator would have it."""
    run("make", "-s", "-C", build, "install")
    run("systemd-sysusers")
    run("systemctl", "daemon-reload")


def drop_in(name, text):
    os.makedirs(DROP_INS, exist_ok=True)
    with open(os.path.join(DROP_INS, name + ".conf"), "w", encoding="utf-8") as file:
        file.write(text)
    run("systemctl", "daemon-reload")


class Service:
    """spliced.service, with a configuration, from start to stop. routes: None leaves the file as it is."""

    def __init__(self, routes, settings=None, unit="spliced"):
        self.unit, self.settings = unit, settings or {"log": {"sessions": False}}
        if routes is not None:
            self.write(routes)

    def write(self, routes):
        text = harness.config_text({"daemon": self.settings, "routes": routes})[2:-1]
        with open(CONF, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(CONF, 0o644)

    def __enter__(self):
        run("systemctl", "reset-failed", check=False)
        done = run("systemctl", "start", self.unit, check=False)
        assert done.returncode == 0, done.stderr + self.log()
        return self

    def __exit__(self, kind, value, trace):
        try:
            if not kind:
                self.at_rest()
        except rest.NotAtRest:
            kind = rest.NotAtRest
            raise
        finally:
            if kind:
                print(self.log())
            run("systemctl", "stop", self.unit, check=False)

    def at_rest(self):
        """Waits until it is at rest, where it runs, and is of a version that tells."""
        if self.show("ActiveState") == "active" and "records" in self.status():
            rest.wait(self.status()["control"]["path"], harness.PATIENCE, lambda: self.show("ActiveState") != "active")

    def systemctl(self, *words, check=True):
        return run("systemctl", *words, self.unit, check=check)

    def show(self, name):
        return show(self.unit, name)

    @property
    def keeper(self):
        return int(self.show("MainPID"))

    @property
    def worker(self):
        keeper = self.keeper
        return until("there is a worker", lambda: [pid for pid in harness.children(keeper) if harness.process_state(pid) not in ("Z", None)])[-1]

    def ctl(self, *words):
        return run("splicectl", *words, check=False)

    def status(self):
        return json.loads(self.ctl("--json", "status").stdout)

    def log(self):
        return run("journalctl", "-u", self.unit, "-o", "cat", "--no-pager", "-n", "60", check=False).stdout


class Words:
    """A session of messages, whose target is the test; through the route WORDS."""

    def __init__(self):
        self.server = self._socket()
        self.server.bind("\0words")
        self.server.listen()
        self.client = self._socket()
        self.client.connect("/run/spliced/words")
        self.target = self.server.accept()[0]
        self.target.settimeout(harness.PATIENCE)

    @staticmethod
    def _socket():
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.settimeout(harness.PATIENCE)
        return sock

    def lives(self):
        for one, other in ((self.client, self.target), (self.target, self.client)):
            one.send(b"alive")
            assert other.recv(100) == b"alive"

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for sock in (self.client, self.target, self.server):
            sock.close()
