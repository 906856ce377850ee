# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the kernel refuses at a start is told with who may not do what, and what helps."""

import os
import shutil
import socket
import subprocess

import pytest

import harness
from harness import Daemon, free_port, until

TARGET = "tcp4://127.0.0.1:9"


def start(place, listen, user=None, pass_as=None, environment=None, **daemon):
    """Starts a daemon that must not, and returns what it says: with a socket that it is passed, as another user."""
    os.chmod(place, 0o755)
    settings = {"plugin_dir": harness.plugin_dir(), "control": {"path": os.path.join(place, "made", "c.sock"), **daemon}, "log": {"to": "stderr"}}
    path = os.path.join(place, "x.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(harness.config_text({"daemon": settings, "routes": {"r": {"listen": listen, "target": TARGET}}})[2:-1])
    os.makedirs(os.path.join(place, "made"), exist_ok=True)
    command, env = [harness.spliced(), "-c", path], {**os.environ, **(environment or {})}
    if user:
        os.chmod(os.path.join(place, "made"), 0o777)
        command = ["setpriv", f"--reuid={user}", "--regid=65534", "--clear-groups", *command]
    with socket.create_server(("127.0.0.1", 0)) as passed:
        if pass_as:
            env.update(LISTEN_FDS="1", LISTEN_FDNAMES=pass_as)
            command = ["bash", "-c", f'exec 3<&{passed.fileno()}; LISTEN_PID=$$ exec "$@"', "sh", *command]
        done = subprocess.run(command, capture_output=True, text=True, env=env, pass_fds=[passed.fileno()] if pass_as else [],
                              timeout=harness.PATIENCE * 3, check=False)
    assert done.returncode in (77, 78), (done.returncode, done.stderr)
    return done.stderr


def waits(routes, text):
    """A daemon that runs, and says why a route waits."""
    daemon = Daemon(routes, wait=False)
    daemon.start()
    try:
        until(f"it tells: {text}", lambda: text in daemon.log())
    finally:
        daemon.kill()


def test_congestion():
    with open("/proc/sys/net/ipv4/tcp_available_congestion_control", encoding="utf-8") as file:
        known = file.read().strip()
    waits({"r": {"listen": f"tcp4://127.0.0.1:{free_port()}?congestion=bbr9", "target": TARGET}},
          f'route r: listen: there is no congestion control "bbr9" here; available: {known} (')


def test_a_directory_that_is_not_there(place):
    waits({"r": {"listen": f"unix://{place}/none/x.sock", "target": TARGET}},
          f"directory {place}/none does not exist: create it (RuntimeDirectory= in the unit), or use /run/spliced. The route waits")


def test_sockets_that_are_passed(place):
    told = start(place, "fd://web")
    assert "x.conf:12: route r: " in told and "systemd passed no socket: set the name with FileDescriptorName= in the socket unit" in told, told
    told = start(place, "fd://web", pass_as="site")
    assert 'x.conf:12: route r: "fd://web": systemd passes no socket of this name; it passes "site": set the name with FileDescriptorName= in' in told, told


def test_what_raises_the_limit(place):
    told = start(place, "fd://web", environment={"INVOCATION_ID": "x"})
    assert "raise it with LimitNOFILE= of the unit" in told and "ulimit" not in told, told
    told = subprocess.run(["env", "-u", "INVOCATION_ID", "-u", "NOTIFY_SOCKET", harness.spliced(), "-c", os.path.join(place, "x.conf")],
                          capture_output=True, text=True, check=False, timeout=harness.PATIENCE * 3).stderr
    assert "raise it with ulimit -n, or limits.conf(5)" in told and "LimitNOFILE" not in told, told


@pytest.fixture(name="nobody")
def somebody_else():
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv, to be somebody else")
    for program in (harness.spliced(), harness.plugin_dir()):
        if subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "test", "-x", program], check=False).returncode:
            pytest.skip(f"{program} cannot be reached by others")
    return 65534


def test_a_directory_that_is_not_ours(place, nobody):
    closed = os.path.join(place, "closed")
    os.mkdir(closed, 0o755)
    told = start(place, f"unix://{closed}/x.sock", user=nobody)
    assert f"user nobody may not write to {closed}: use a path below /run/spliced, or another directory that it owns, or let systemd open" in told, told


def test_a_file_that_cannot_be_given(place, nobody):
    made = os.path.join(place, "made")
    told = start(place, f"unix://{made}/x.sock?group=daemon", user=nobody)
    assert f'cannot give {made}/x.sock to group "daemon": user nobody is not a member: set SupplementaryGroups=daemon in the unit' in told, told
    told = start(place, f"unix://{made}/x.sock?owner=daemon", user=nobody)
    assert f'cannot give {made}/x.sock to user "daemon": user nobody lacks CAP_CHOWN' in told, told
    told = start(place, f"unix://{made}/x.sock", user=nobody, group="daemon")
    assert f'cannot give {made}/c.sock to group "daemon" (control.group): user nobody is not a member: set SupplementaryGroups=daemon' in told, told
