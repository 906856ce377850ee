# SPDX-License-Identifier: LGPL-2.1-or-later
"""The wall clock is set, forwards and back: no timer of the daemon's minds. Only where the clock is nobody else's: in the VM."""

import os
import time

import pytest

import harness
from harness import Daemon, Endpoint, until


def is_our_own_machine():
    return os.path.exists("/proc/1/comm") and open("/proc/1/comm", encoding="utf-8").read().strip() not in ("systemd", "init") and \
        os.environ.get("SPLICED_VM") == "1"


@pytest.mark.parametrize("step", (86400, -86400, 400 * 86400))
def test_a_step(place, step):
    if not is_our_own_machine():
        raise harness.Skip("the clock is not ours to set: SPLICED_VM=1 says it is")
    front, back = Endpoint("inet", place), Endpoint("unix", place)
    routes = {"r": {"listen": front, "target": back, "timeout": {"idle": "10min"}}}
    with back.listen() as listener, Daemon(routes) as daemon, front.connect() as client, listener.accept()[0] as server:
        worker = daemon.worker
        for end in (client, server):
            end.settimeout(harness.PATIENCE)
        try:
            time.clock_settime(time.CLOCK_REALTIME, time.time() + step)
            client.sendall(b"later")
            assert server.recv(100) == b"later"
            with front.connect() as other, listener.accept()[0]:
                until("it is there", lambda: len(daemon.sessions()) == 2)
                other.close()
            daemon.ctl("reload")
            client.sendall(b"still")
            assert server.recv(100) == b"still"
            status = daemon.status()
            assert status["verdict"] == "OK" and daemon.worker == worker
        finally:
            time.clock_settime(time.CLOCK_REALTIME, time.time() - step)
