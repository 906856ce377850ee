# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon with a service manager that keeps its lifeboat over a restart, as systemd's descriptor store does."""

import array
import os
import signal
import socket
import subprocess

import harness
from harness import Daemon, until

BOAT = "spliced-lifeboat"
LISTEN = 'exec 3<&"$3" {own}; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=' + BOAT + '; exec "$1" -c "$2"'


class Store:
    """What a service manager keeps for a service: the end of a lifeboat. It reads what is told when it is asked."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        os.chmod(self.path, 0o777)
        self.sock.setblocking(False)
        self.boat = None

    def read(self):
        while True:
            try:
                text, control, _, _ = self.sock.recvmsg(1 << 16, socket.CMSG_SPACE(4))
            except BlockingIOError:
                return
            fds = array.array("i", b"".join(data for _, _, data in control))
            if b"FDSTORE=1" in text:
                self.boat = fds[0]
            elif b"FDSTOREREMOVE=1" in text and self.boat is not None:
                os.close(self.boat)
                self.boat = None

    def take(self):
        """The lifeboat, which is the caller's then."""
        self.read()
        boat, self.boat = self.boat, None
        return boat

    def close(self):
        boat = self.take()
        if boat is not None:
            os.close(boat)
        self.sock.close()


class Kept(Daemon):
    """A daemon with a manager, and what that kept for it. Without a store it has one of its own."""

    def __init__(self, routes, settings=None, store=None, boat=None, program=None):
        super().__init__(routes, settings)
        self.own = Store(self.directory) if store is None else None
        self.store, self.boat = store or self.own, boat
        self.program = program

    def launch(self):
        environment = {**os.environ, "NOTIFY_SOCKET": self.store.path}
        command, passed = [self.program or harness.spliced(), "-c", self.file], ()
        if self.boat is not None:
            command, passed = ["bash", "-c", LISTEN.replace("{own}", f"{self.boat}<&-"), "bash", *command[::2], str(self.boat)], (self.boat,)
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                            env=environment, pass_fds=passed)

    def start(self):
        self.launch()
        until("it answers", lambda: self.process.poll() is not None or self.ctl_run("status").returncode in (0, 1))
        assert self.process.poll() is None, f"it ended with status {self.process.returncode}\n{self.log()}"
        return self

    def leave(self):
        """SIGTERM; all that is open waits in the store then."""
        self.signal(signal.SIGTERM)
        assert self.process.wait(harness.PATIENCE) == 0, self.log()

    def reloads(self):
        reload = self.status()["reload"]
        return reload["succeeded"] + reload["failed"]

    def restart(self):
        """As `systemctl restart` does. Its file has been read then."""
        before = self.reloads()
        self.leave()
        self.boat = self.store.take()
        assert self.boat is not None, "there was nothing in the store"
        try:
            self.start()
        finally:
            os.close(self.boat)
            self.boat = None
        until("it has read its file", lambda: self.reloads() > before)

    def __exit__(self, kind, value, trace):
        try:
            super().__exit__(kind, value, trace)
        finally:
            if self.own:
                self.own.close()
