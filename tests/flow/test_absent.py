# SPDX-License-Identifier: LGPL-2.1-or-later
"""Families that this machine's kernel lacks: their route says so and waits, the others run."""

import errno
import os
import socket

import pytest

import harness
from harness import Daemon, until

FAMILIES = {"bluetooth": (31, "rfcomm://any/1"), "vsock": (40, "vsock://any:7")}


def is_missing(number):
    try:
        socket.socket(number, socket.SOCK_STREAM, 3 if number == 31 else 0).close()
    except OSError as error:
        return error.errno in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)
    return False


@pytest.mark.parametrize("family", FAMILIES)
def test_the_other_routes_run(family):
    number, listen = FAMILIES[family]
    if not is_missing(number):
        pytest.skip(f"this kernel has {family}")
    if not os.path.exists(os.path.join(harness.plugin_dir(), family + ".so")):
        pytest.skip(f"the plugin {family} is not built")
    port = harness.free_port()
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = f"tcp4://127.0.0.1:{server.getsockname()[1]}"
        with Daemon({"absent": {"listen": listen, "target": target}, "there": {"listen": f"tcp4://127.0.0.1:{port}", "target": target}}) as daemon:
            with socket.create_connection(("127.0.0.1", port)) as client:
                accepted, _ = server.accept()
                client.sendall(b"hello")
                assert accepted.recv(5) == b"hello"
                accepted.close()
            assert "route absent" in daemon.log() and "not supported" in daemon.log()
            told = daemon.ctl_run("status")
            assert told.returncode == 1 and "absent" in told.stdout and "not supported" in told.stdout, told  # not all is well


@pytest.mark.parametrize("family", FAMILIES)
def test_a_target(family):
    number, _ = FAMILIES[family]
    if not is_missing(number) or not os.path.exists(os.path.join(harness.plugin_dir(), family + ".so")):
        pytest.skip(f"this kernel has {family}, or the plugin is not built")
    port = harness.free_port()
    target = {"bluetooth": "rfcomm://00:11:22:33:44:55/1", "vsock": "vsock://local:7"}[family]
    with Daemon({"r": {"listen": f"tcp4://127.0.0.1:{port}", "target": target, "retry": {"attempts": 1}}}) as daemon:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.settimeout(harness.PATIENCE)
            with pytest.raises(OSError):
                assert client.recv(1) == b""
                raise OSError
        until("its end is told", lambda: "not supported" in daemon.log())
