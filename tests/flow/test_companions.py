# SPDX-License-Identifier: LGPL-2.1-or-later
"""What accompanies a listening endpoint: each has its process, or the configuration is refused."""

import os
import re
import subprocess

import pytest

import harness
from harness import Daemon, until

MOST = 64


def routes(place, count, first=0, plain=0):
    """Some of several endpoints, and some without a companion among them."""
    listens = [{"family": "herald", "path": f"{place}/{number}"} for number in range(first, first + count)]
    found = {f"r{number}": {"listen": tuple(listens[number:number + 3]), "target": {"family": "herald", "path": "@nowhere"}}
             for number in range(0, count, 3)}
    for number in range(plain):
        found[f"plain{number}"] = {"listen": {"family": "herald", "path": f"{place}/plain{number}", "accompanied": False},
                                   "target": {"family": "herald", "path": "@nowhere"}}
    return found


@pytest.fixture
def plugins(place):
    harness.compile_family(place, "herald")
    return place


def companions(daemon):
    """The keeper's children that do not share its descriptors."""
    return {child for child in harness.children(daemon.keeper)
            if harness.process_state(child) not in ("Z", None) and harness.shares_descriptors(daemon.keeper, child) is False}


def check(daemon):
    return subprocess.run([harness.spliced(), "-t", "-c", daemon.file], capture_output=True, text=True, check=False)


def test_each_has_its_own(plugins):
    """Also where all are replaced by others at once, and when one of them ends."""
    with Daemon(routes(plugins, MOST, plain=3), {"plugin_dir": plugins}) as daemon:
        until("all are accompanied", lambda: len(companions(daemon)) == MOST)
        before = companions(daemon)
        daemon.reload(routes(plugins, MOST, first=1000))
        until("the others are accompanied", lambda: len(companions(daemon)) == MOST and not companions(daemon) & before)
        lost = companions(daemon).pop()
        os.kill(lost, 9)
        until("another takes its place", lambda: len(companions(daemon)) == MOST and lost not in companions(daemon))


def test_one_too_many(plugins):
    """The configuration says where it stands, to whoever checks, starts or reloads."""
    with Daemon(routes(plugins, MOST), {"plugin_dir": plugins}) as daemon:
        until("all are accompanied", lambda: len(companions(daemon)) == MOST)
        daemon.write(routes(plugins, MOST + 1, plain=3))
        done = check(daemon)
        assert done.returncode != 0
        assert re.search(rf"{re.escape(daemon.file)}:\d+: .*more than {MOST} .*companion", done.stderr), done.stderr
        answer = daemon.ctl("reload", status=None)
        assert not answer["ok"] and f"more than {MOST}" in answer["error"], answer
        assert len(companions(daemon)) == MOST
        daemon.write(routes(plugins, MOST, plain=3))
        assert check(daemon).returncode == 0
        daemon.reload()
