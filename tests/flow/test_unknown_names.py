# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules with users and groups that the name service does not know yet, as at boot: a start does not fail of them; their route waits, closed,
says so, and opens by itself as soon as they are known. A check and a reload hold them for mistakes, and nothing that runs is lost."""

import os
import socket
import subprocess

import pytest

import harness
from harness import Daemon, Endpoint, until

NAMED = {"user": ("/etc/passwd", "latecomer:x:4711:4711::/:/bin/false\n"), "group": ("/etc/group", "latecomers:x:4712:root\n")}


class Names:
    """A file of names of the daemon's own, which can grow."""

    def __init__(self, place, path, line):
        self.path, self.line, self.copy = path, line, os.path.join(place, os.path.basename(path))
        with open(path, encoding="utf-8") as file, open(self.copy, "w", encoding="utf-8") as copy:
            copy.write(file.read())

    def wrap(self):
        return ("unshare", "--mount", "sh", "-c", f'mount --bind {self.copy} {self.path} && exec "$@"', "sh")

    def learn(self):
        with open(self.copy, "a", encoding="utf-8") as file:
            file.write(self.line)


@pytest.fixture
def ends(place):
    front, open_front, back = Endpoint("unix", place), Endpoint("unix", place), Endpoint("unix", place)
    with back.listen() as listener:
        yield front, open_front, back, listener


def routes(ends, key, word):
    front, open_front, back, _ = ends
    return {"named": {"listen": str(front), "target": str(back), key: [word]}, "open": {"listen": str(open_front), "target": str(back)}}


def is_served(ends, which):
    with ends[which].connect() as client, ends[3].accept()[0] as server:
        client.sendall(b"served")
        return server.recv(10) == b"served"


def names_of(place, kind):
    if os.geteuid():
        pytest.skip("mounts take root")
    names = Names(place, *NAMED[kind])
    if subprocess.run([*names.wrap(), "true"], check=False).returncode:
        pytest.skip("no mount namespace here")
    return names, f"{kind}:{names.line.split(':')[0]}"


@pytest.mark.parametrize("key", ("allow", "deny"))
@pytest.mark.parametrize("kind", NAMED)
def test_it_waits_until_it_is_known(place, ends, kind, key):
    names, word = names_of(place, kind)
    with Daemon(routes(ends, key, word), wrap=names.wrap(), wait=False) as daemon:
        daemon.wrap = []  # each of them has become the next
        until("it runs", lambda: ends[1].listening())
        assert is_served(ends, 1)
        until("it says so", lambda: "named" in daemon.status()["verdict"] and "unknown " in daemon.status()["verdict"])
        assert not ends[0].listening(), "a route is open to whom nobody knows"
        before, worker = daemon.status()["reload"]["generation"], daemon.worker
        os.kill(worker, 9)
        daemon.worker_after(worker)
        assert not ends[0].listening() and is_served(ends, 1)
        names.learn()
        until("it opens", lambda: ends[0].listening(), harness.PATIENCE * 3)
        until("all is well", lambda: daemon.status()["verdict"] == "OK")
        assert daemon.status()["reload"]["generation"] == before + 1
        if key == "deny" and kind == "user":  # we are somebody else
            assert is_served(ends, 0)


def test_a_reload_holds_it_for_a_mistake(place, ends):
    names, word = names_of(place, "user")
    with Daemon({"open": routes(ends, "allow", word)["open"]}, wrap=names.wrap(), wait=False) as daemon:
        daemon.wrap = []
        until("it runs", lambda: ends[1].listening())
        daemon.write(routes(ends, "allow", word))
        done = daemon.ctl_run("reload")
        assert done.returncode == 1 and "there is no user" in done.stdout, done.stdout
        assert is_served(ends, 1) and not os.path.exists(ends[0].address)
        names.learn()
        daemon.ctl("reload")
        until("it opens", lambda: ends[0].listening())
