# SPDX-License-Identifier: LGPL-2.1-or-later
"""A restart whose file is wrong, in any way, ends nothing: what the last process left goes on as it was, new clients are served, and status
has all that is wrong. Without anything left, the same file is refused."""

import os
import pwd
import shutil
import socket
import tempfile

import pytest

import harness
from harness import Endpoint
from kept import Kept

USAGE, NO_PERMISSION, WRONG = 64, 77, 78


class Wrong:
    """A way in which the file is wrong: what is done to a daemon's file, and what is said of it, all of it."""

    def __init__(self, name, do, *said):
        self.name, self.do, self.said = name, do, said


def text(words):
    return lambda daemon: daemon.write(text=words)


def settings(**more):
    def write(daemon):
        good, daemon.settings = daemon.settings, {**daemon.settings, **more}
        daemon.write()
        daemon.settings = good
    return write


def gone(daemon):
    os.unlink(daemon.file)


def directory(daemon):
    os.unlink(daemon.file)
    os.mkdir(daemon.file)


def fifo(daemon):
    os.unlink(daemon.file)
    os.mkfifo(daemon.file)


def locked(daemon):
    """Nobody reads that, not even root."""
    os.unlink(daemon.file)
    os.symlink("/proc/self/mem", daemon.file)


def two_at_once(daemon):
    good, daemon.settings = daemon.settings, {**daemon.settings, "user": "nobody-of-this-name"}
    daemon.write({**daemon.routes, "bad": {"listen": "tcp4://127.0.0.1:nonsense", "target": "unix:///nowhere"}})
    daemon.settings = good
    daemon.routes.pop("bad", None)


def beside(daemon):
    daemon.write()
    os.makedirs(daemon.file + ".d", exist_ok=True)
    with open(os.path.join(daemon.file + ".d", "bad.conf"), "w", encoding="utf-8") as file:
        file.write("routes: { bad: }")


def empty_plugins(daemon):
    os.makedirs(os.path.join(daemon.directory, "empty"), exist_ok=True)
    settings(plugin_dir=os.path.join(daemon.directory, "empty"))(daemon)


WAYS = (
    Wrong("syntax", text("routes: { r: { listen = "), "spliced.conf"),
    Wrong("zero byte", text("routes: { };\0"), "zero byte"),
    Wrong("include", text('@include "not-there.inc"\n'), "not-there.inc"),
    Wrong("option", text("daemon: { nonsense = 1; };"), "nonsense"),
    Wrong("gone", gone, "No such file"),
    Wrong("directory", directory, "directory"),
    Wrong("fifo", fifo, "FIFO"),
    Wrong("unreadable", locked, "cannot be read"),
    Wrong("user", settings(user="nobody-of-this-name"), "nobody-of-this-name"),
    Wrong("group", settings(group="nobody-of-this-name"), "nobody-of-this-name"),
    Wrong("plugin_dir gone", settings(plugin_dir="/nowhere/at/all"), "/nowhere/at/all"),
    Wrong("plugin_dir empty", empty_plugins, "/empty"),
    Wrong("control in no directory", settings(control={"path": "/proc/none/here.sock"}), "/proc/none"),
    Wrong("control too long", settings(control={"path": "/tmp/" + "long" * 40}), "has at most"),
    Wrong("user and route", two_at_once, "nobody-of-this-name", "nonsense"),
    Wrong("conf.d", beside, "bad.conf"),
)


def mend(daemon):
    if os.path.isdir(daemon.file):
        os.rmdir(daemon.file)
    elif os.path.lexists(daemon.file):
        os.unlink(daemon.file)
    shutil.rmtree(daemon.file + ".d", ignore_errors=True)
    daemon.write()


@pytest.fixture
def place():
    path = tempfile.mkdtemp(prefix="restart-")
    os.chmod(path, 0o777)
    yield path
    shutil.rmtree(path)


class Session:
    def __init__(self, front, listener):
        self.client = front.connect()
        self.server, _ = listener.accept()
        for sock in (self.client, self.server):
            sock.settimeout(harness.PATIENCE)

    def lives(self):
        for one, other in ((self.client, self.server), (self.server, self.client)):
            one.sendall(b"alive")
            assert other.recv(5, socket.MSG_WAITALL) == b"alive"
        return True

    def close(self):
        self.client.close()
        self.server.close()


def check_restart(daemon, way, session, front, listener):
    way.do(daemon)
    daemon.restart()
    status = daemon.status()
    assert session.lives(), way.name
    new = Session(front, listener)
    assert new.lives()
    new.close()
    assert status["verdict"].startswith("DEGRADED"), (way.name, status["verdict"])
    error = status["reload"]["error"]
    assert error and all(word in error for word in way.said), (way.name, error)
    assert all(word in daemon.log() for word in way.said)
    mend(daemon)
    daemon.ctl("reload")
    assert daemon.status()["verdict"] == "OK", (way.name, daemon.status())
    assert session.lives()


@pytest.mark.parametrize("user", ("", "nobody"))
def test_it_goes_on(place, user):
    if user and os.geteuid():
        pytest.skip("only root can become somebody else")
    front, back = Endpoint("unix", place), Endpoint("unix", place)
    with back.listen() as listener:
        os.chmod(back.address, 0o777)
        daemon = Kept({"r": {"listen": f"{front}?mode=0777", "target": str(back)}}, {"user": user} if user else {})
        os.chmod(daemon.directory, 0o777)
        with daemon:
            session = Session(front, listener)
            for way in WAYS:
                check_restart(daemon, way, session, front, listener)
                if user:
                    uid = pwd.getpwnam(user).pw_uid
                    assert os.stat(f"/proc/{daemon.keeper}").st_uid in (uid, 0)
                    with open(f"/proc/{daemon.worker}/status", encoding="utf-8") as file:
                        assert f"Uid:\t{uid}\t{uid}" in file.read(), way.name
            session.close()


def test_a_first_start_is_refused(place):
    for way in WAYS:
        daemon = Kept({"r": {"listen": f"unix://{place}/front", "target": f"unix://{place}/back"}})
        try:
            way.do(daemon)
            daemon.launch()
            assert daemon.process.wait(harness.PATIENCE) in (NO_PERMISSION, WRONG), (way.name, daemon.log())
            # Without its directory a family is any unknown word; and what the daemon's own settings lack comes first.
            assert way.name.startswith("plugin_dir") or way.said[0] in daemon.log(), (way.name, daemon.log())
        finally:
            daemon.kill()
            daemon.own.close()
            shutil.rmtree(daemon.directory, ignore_errors=True)
