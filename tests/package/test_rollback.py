# SPDX-License-Identifier: LGPL-2.1-or-later
"""The package of the release before and that of this one, each over the other, with sessions open: they go on, or who installs it is told
that they will end, and when.

The tests are one story, in this order.
"""

import os
import re
import signal
import socket

import pytest

import deb
import service
from harness import Running, Serve, until
from kinds import BACK, PORT, ROUTES, Sessions
from service import Service

MORE = 7404
MORE_ROUTES = {**ROUTES, "more": {"listen": f"tcp4://127.0.0.1:{MORE}", "target": f"tcp4://127.0.0.1:{BACK}"}}
STAYS = "splicectl -s /run/spliced/control.sock upgrade"  # the advice of either release, if its program could not take over

pytestmark = pytest.mark.skipif(not deb.PREVIOUS, reason="no packages of the release before: there is no history")


@pytest.fixture(scope="module", autouse=True)
def server():
    with Serve(f"tcp://127.0.0.1:{BACK}") as serving:
        yield serving
    service.run("dpkg", "--purge", "spliced", check=False)


@pytest.fixture(scope="module")
def spliced():
    """The service, whose life is the packages'."""
    return Service(None)


def install_previous():
    return deb.install("spliced", directory=deb.PREVIOUS)


def version_of(directory):
    return re.search(r"_([0-9.]+)-", os.path.basename(deb.files(directory, "spliced")[0]))[1]


def new_version():
    return version_of(deb.PACKAGES)


def old_version():
    return version_of(deb.PREVIOUS)


def kill_worker(spliced):
    """There is an heir."""
    keeper, worker = spliced.keeper, spliced.worker
    os.kill(worker, signal.SIGKILL)
    until("there is an heir", lambda: spliced.worker != worker)
    assert spliced.keeper == keeper


def new_client_is_served():
    with socket.create_connection(("127.0.0.1", PORT)):
        pass


class Swarm:
    """Sessions whose every byte is verified, over all that happens here."""

    def __init__(self, spliced):
        self.spliced = spliced

    def __enter__(self):
        self.swarm = Running("swarm", "--to", f"tcp://127.0.0.1:{PORT}", "--parallel", 8, "--seconds", 300)
        until("the swarm is there", lambda: self.spliced.status()["sessions"]["active"] > 8)
        return self

    def __exit__(self, kind, value, trace):
        running = self.swarm.running()
        told, code = self.swarm.stop()
        if not kind:
            assert running and code == 0, told


def test_this_release_over_the_one_before(spliced):
    """In place, by the same process, with all that is open; which survives what comes later, too."""
    install_previous()
    spliced.write(ROUTES)
    spliced.systemctl("reload")
    keeper = spliced.keeper
    assert spliced.status()["version"] == old_version()
    with Swarm(spliced), Sessions() as sessions:
        sessions.live()
        said = deb.install("spliced")
        assert STAYS not in said, said
        assert spliced.status()["version"] == new_version() and spliced.keeper == keeper, said
        sessions.live()
        kill_worker(spliced)
        sessions.live()
        spliced.write(MORE_ROUTES)
        spliced.systemctl("reload")
        spliced.systemctl("restart")
        sessions.live()
        new_client_is_served()


def test_the_one_before_over_this_release_and_back(spliced):
    """It may refuse what this one has open. Then nothing ends, and nothing is worse, with its files below the program that runs: that one goes
    on, reloads, has heirs, and hands over to the package of this release again."""
    keeper, upgrades = spliced.keeper, spliced.status()["worker"]["starts"]["upgrade"]
    with Swarm(spliced), Sessions() as sessions:
        sessions.live()
        said = install_previous()
        sessions.live()
        assert spliced.keeper == keeper
        if STAYS in said:
            assert "does not understand the sessions" in said and "when they may end" in said, said
            assert spliced.status()["version"] == new_version()
        else:
            assert spliced.status()["version"] == old_version()
        kill_worker(spliced)
        sessions.live()
        spliced.write(ROUTES)
        spliced.systemctl("reload")
        sessions.live()
        new_client_is_served()
        said = deb.install("spliced")
        assert STAYS not in said, said
        assert spliced.status()["version"] == new_version() and spliced.keeper == keeper
        assert spliced.status()["worker"]["starts"]["upgrade"] > upgrades
        sessions.live()


def test_the_one_before_takes_the_place_when_sessions_may_end(spliced):
    """A restart is what was told to be theirs. The service is there at once, and its sessions go on in this release again."""
    with Sessions() as sessions:
        said = install_previous()
        sessions.live()
        spliced.systemctl("restart")
        assert spliced.status()["version"] == old_version()
        if STAYS in said:
            assert "they end" in spliced.log() and "does not understand the sessions" in spliced.log(), spliced.log()
            sessions.ended()
        else:
            sessions.live()
    with Swarm(spliced), Sessions() as others:
        others.live()
        said = deb.install("spliced")
        assert STAYS not in said, said
        assert spliced.status()["version"] == new_version()
        others.live()
    spliced.at_rest()
