# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's packages where they are installed: the service runs at once, an upgrade keeps every session, removing leaves nothing.

The tests are one story, in this order. $SPLICED_PACKAGES is the directory with the packages.
"""

import glob
import os
import shutil
import socket
import subprocess

import pytest

import harness
import service
from deb import install
from harness import Running, Serve, until
from service import WORDS, Service, Words, run

PORT, BACK, OTHER = 7300, 7301, 7302
ROUTES = {
    "web": {"listen": f"tcp4://127.0.0.1:{PORT}", "target": f"tcp4://127.0.0.1:{BACK}"},
    "words": WORDS,
}


def installed_files(name):
    return [line for line in run("dpkg", "-L", name).stdout.splitlines() if not os.path.isdir(line)]


@pytest.fixture(scope="module")
def spliced():
    """The service, whose life is the packages'."""
    return Service(None)


@pytest.fixture(scope="module", autouse=True)
def server():
    with Serve(f"tcp://127.0.0.1:{BACK}") as serving:
        yield serving


def test_installing_is_all(spliced):
    """The service runs, as a user of its own, with a file that opens nothing; and starts with the machine."""
    install("spliced")
    assert spliced.show("ActiveState") == "active", spliced.log()
    assert spliced.show("StatusText") == "OK; 0 routes, 0 sessions"
    assert run("systemctl", "is-enabled", "spliced").stdout.strip() == "enabled"
    assert os.stat(f"/proc/{spliced.keeper}").st_uid != 0
    assert "no errors" in run("spliced", "-t").stdout


def test_what_it_needs_comes_with_it():
    """Manual pages say the paths that are; the completions are where the shells look."""
    pages = run("zcat", *(path for path in installed_files("spliced") if "/man/man" in path)).stdout
    plugins = os.path.dirname(next(path for path in installed_files("spliced") if path.endswith("inet.so")))
    assert plugins in pages and "@plugindir@" not in pages
    for line in run("spliced", "--describe").stdout.splitlines():
        assert run("spliced", "--describe", line.split()[0]).returncode == 0
    assert run("spliced", "--describe", "bluetooth", check=False).returncode == 69, "it has a package of its own"
    assert run("bash", "-c", "source /usr/share/bash-completion/completions/splicectl; complete -p splicectl").returncode == 0


def test_an_upgrade_keeps_sessions(spliced):
    """In place: the same process runs another program. An instance goes along; the swarm verifies every byte."""
    spliced.write(ROUTES)
    spliced.systemctl("reload")
    shutil.copy(service.CONF, "/etc/spliced/one.conf")
    with open("/etc/spliced/one.conf", "w", encoding="utf-8") as file:
        file.write(harness.config_text({"routes": {"one": {"listen": f"tcp4://127.0.0.1:{OTHER}", "target": f"tcp4://127.0.0.1:{BACK}"}}})[2:-1])
    run("systemctl", "start", "spliced@one")
    keeper, other = spliced.keeper, service.show("spliced@one", "MainPID")
    with Words() as words:
        swarms = [Running("swarm", "--to", f"tcp://127.0.0.1:{port}", "--parallel", 8, "--seconds", 100) for port in (PORT, OTHER)]
        for number in range(1, 3):
            said = install("spliced")
            assert "continues unchanged" not in said, said
            words.lives()
            assert spliced.keeper == keeper and spliced.status()["worker"]["starts"]["upgrade"] == number
        for swarm in swarms:
            assert swarm.running(), "it was there all the time"
            told, code = swarm.stop()
            assert code == 0, told
        assert os.readlink(f"/proc/{keeper}/exe").endswith("/usr/sbin/spliced"), "it is the file that was installed last"
        # And a restart, for what a unit says.
        spliced.systemctl("restart")
        words.lives()
    assert service.show("spliced@one", "MainPID") == other
    run("systemctl", "stop", "spliced@one")
    os.unlink("/etc/spliced/one.conf")


def test_an_upgrade_that_cannot_be(spliced):
    """A file that is wrong by now: the old program goes on, and installing says why."""
    with Words() as words:
        keeper, upgrades = spliced.keeper, spliced.status()["worker"]["starts"]["upgrade"]
        with open(service.CONF, "a", encoding="utf-8") as file:
            file.write("routes2: { };\n")
        said = install("spliced")
        assert "routes2" in said and "continues unchanged" in said, said
        words.lives()
        assert spliced.keeper == keeper and spliced.status()["worker"]["starts"]["upgrade"] == upgrades
        spliced.write(ROUTES)
        run("splicectl", "upgrade")
        words.lives()


def test_a_plugin_of_its_own_package(spliced):
    """The daemon that runs takes it up when it is installed, without losing a session."""
    with Words() as words:
        upgrades = spliced.status()["worker"]["starts"]["upgrade"]
        install("spliced-bluetooth")
        assert run("spliced", "--describe", "bluetooth").returncode == 0
        assert spliced.status()["worker"]["starts"]["upgrade"] == upgrades + 1
        spliced.write({**ROUTES, "serial": {"listen": "tcp4://127.0.0.1:7303", "target": "rfcomm://00:00:00:00:00:01/1"}})
        spliced.systemctl("reload")
        words.lives()
        spliced.write(ROUTES)
        spliced.systemctl("reload")
        run("dpkg", "--purge", "spliced-bluetooth")
        words.lives()


def test_a_family_by_somebody_else():
    """The header and the example: a plugin is built, put into the directory, and found."""
    install("spliced-dev")
    directory = next(os.path.dirname(path) for path in installed_files("spliced-dev") if path.endswith("tipc.c"))
    shutil.copytree(directory, "/tmp/tipc")
    run("make", "-C", "/tmp/tipc")
    plugins = run("pkg-config", "--variable=plugindir", "spliced").stdout.strip()
    shutil.copy("/tmp/tipc/tipc.so", plugins)
    assert "tipc" in run("spliced", "--describe", "tipc").stdout
    os.unlink(os.path.join(plugins, "tipc.so"))


def test_removing_it(spliced):
    sock = socket.create_connection(("127.0.0.1", PORT))
    run("dpkg", "--remove", "spliced-dev", "spliced")
    with pytest.raises(ConnectionResetError):
        sock.settimeout(harness.PATIENCE)
        sock.recv(1)
    until("the unit is gone", lambda: spliced.show("LoadState") == "not-found")
    assert os.path.exists(service.CONF), "an operator's file stays"
    done = subprocess.run(["dpkg", "--purge", "spliced"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not os.path.exists("/etc/spliced"), done.stdout + done.stderr
    assert not glob.glob("/usr/lib/*/spliced") and not os.path.exists("/run/spliced")
