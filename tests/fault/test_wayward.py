# SPDX-License-Identifier: LGPL-2.1-or-later
"""A family that crashes, ends the process, or hangs, in each callback that is called for a listener: the keeper lives, says which route,
family and callback it was, and no other route's session notices; also if the worker dies while one hangs."""

import json
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading

import pytest

import harness
from harness import Daemon, Endpoint, free_port, until

# What a reload that brings such a route says; those that are called as a route leaves are said by the log.
CHECKED = ("address", "privileges", "sidecar")
OPENED = ("prepare", "bound", "reclaim")
LEFT = ("unlink", "release")
LONG = 120  # for what may hang 20 s, on a busy machine


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("plugins"))
    for name in ("inet.so", "unix.so"):
        shutil.copy(os.path.join(harness.plugin_dir(), name), directory)
    harness.compile_family(directory, "wayward")
    for name in os.listdir(directory):
        os.chmod(os.path.join(directory, name), 0o755)
    return directory


class Case:
    """A daemon with a good route, whose session speaks all the time, and a wayward one that comes, changes or leaves."""

    def __init__(self, place, plugins, wound, how):
        self.wound, self.how, self.port = wound, how, free_port()
        self.front, self.back = Endpoint("inet", place), Endpoint("unix", place)
        self.listener = self.back.listen()
        self.daemon = Daemon(self.routes(), settings={"plugin_dir": plugins, "control": {
            "path": os.path.join(place, f"{self.port}.sock")}})
        self.daemon.control = os.path.join(place, f"{self.port}.sock")

    def routes(self, **more):
        good = {"good": {"listen": str(self.front), "target": str(self.back)}}
        if more:
            good["wayward"] = {"listen": {"family": "wayward", "host": "127.0.0.1", "port": self.port, **more}, "target": str(self.back)}
        return good

    def __enter__(self):
        self.daemon.__enter__()
        self.client = self.front.connect()
        self.server, _ = self.listener.accept()
        for end in (self.client, self.server):
            end.settimeout(harness.PATIENCE)
        return self

    def __exit__(self, *exception):
        for sock in (self.client, self.server, self.listener):
            sock.close()
        self.daemon.__exit__(*exception)

    def speaks(self):
        for one, other in ((self.client, self.server), (self.server, self.client)):
            one.sendall(b"word")
            assert other.recv(10) == b"word"
        return True

    def reload(self, **more):
        """A reload with the wayward route so; the session speaks meanwhile, and a worker that dies then has an heir."""
        self.daemon.write(self.routes(**more))
        done = []
        thread = threading.Thread(target=lambda: done.append(self.daemon.ctl_run("reload", timeout=LONG)))
        thread.start()
        if self.how == "hang":
            worker = self.daemon.worker
            with contextlib.suppress(ProcessLookupError):  # the reload was faster, and has brought another
                os.kill(worker, signal.SIGKILL)
            self.daemon.worker_after(worker)
        while thread.is_alive():
            assert self.speaks()
            thread.join(0.05)
        return done[0]

    def says(self, text):
        how = {"crash": "died of signal 6", "exit": "exited with status 0", "hang": "took longer than"}[self.how]
        return f'route wayward: wayward://127.0.0.1:{self.port}: family "wayward", {self.wound}() {how}' in text


def bring(case):
    """The route comes, and is refused."""
    with socket.socket() as other:
        if case.wound == "reclaim":
            other.bind(("127.0.0.1", case.port))
            other.listen()
        done = case.reload(wound=case.wound, how=case.how)
    assert done.returncode == 1, (done.stdout, done.stderr)
    told = json.loads(done.stdout)["error"]
    if case.wound in CHECKED:
        assert {"crash": "died of signal 6", "exit": "exited with status 0", "hang": "took longer than"}[case.how] in told, told
    else:
        assert case.says(told), told


def change(case):
    """Its LIVE option does, and what that calls goes wrong after all has been done."""
    assert case.reload(wound="never").returncode == 0
    assert case.reload(wound=case.wound, how=case.how).returncode == 0
    until("the log says so", lambda: case.says(case.daemon.log()), LONG)


def leave(case):
    assert case.reload(wound=case.wound, how=case.how).returncode == 0
    assert case.reload().returncode == 0
    until("the log says so", lambda: case.says(case.daemon.log()), LONG)


def play(case, course):
    with case:
        keeper = case.daemon.keeper
        course(case)
        assert case.speaks()
        case.port = free_port()  # one that leaves is still there for a while
        case.daemon.write(case.routes(wound="never"))
        assert case.daemon.ctl_run("reload", timeout=LONG).returncode == 0
        with socket.create_connection(("127.0.0.1", case.port), timeout=harness.PATIENCE) as client:
            server, _ = case.listener.accept()
            with server:
                client.sendall(b"served")
                assert server.recv(10) == b"served"
        assert case.daemon.keeper == keeper and case.speaks()


COURSES = [(bring, wound) for wound in CHECKED + OPENED] + [(change, "bound")] + [(leave, wound) for wound in LEFT]


@pytest.mark.parametrize("how", ("crash", "exit"))
@pytest.mark.parametrize("course,wound", COURSES, ids=lambda value: getattr(value, "__name__", value))
def test_goes_wrong(place, plugins, course, wound, how):
    play(Case(place, plugins, wound, how), course)


def test_hangs(place, plugins):
    """All of them at once: each takes as long as a callback may."""
    failed = []

    def one(course, wound):
        try:
            play(Case(place, plugins, wound, "hang"), course)
        except BaseException as error:  # pylint: disable=broad-except
            failed.append((course.__name__, wound, repr(error)))

    threads = [threading.Thread(target=one, args=both) for both in COURSES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed


def test_a_wayward_rule(place, plugins):
    with Case(place, plugins, "rule", "crash") as case:
        routes = case.routes(wound="never")
        routes["wayward"]["allow"] = ["wound"]
        case.daemon.write(routes)
        done = case.daemon.ctl_run("reload")
        assert done.returncode == 1 and "died of signal 6" in done.stdout, done.stdout
        assert case.speaks()


@pytest.mark.parametrize("wound", ("prepare", "bound"))
def test_a_start_says_so(place, plugins, wound):
    case = Case(place, plugins, wound, "crash")
    case.listener.close()
    case.daemon.write(case.routes(wound=wound))
    done = subprocess.run([harness.spliced(), "-c", case.daemon.file], capture_output=True, text=True, timeout=LONG, check=False)
    assert done.returncode and case.says(done.stderr), done.stderr
    shutil.rmtree(case.daemon.directory)
