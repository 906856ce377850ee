# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon with a service manager that keeps descriptors of it over a restart, as systemd's descriptor store does: a lifeboat, and others."""

import array
import fcntl
import os
import select
import signal
import socket
import subprocess
import threading

import harness
from harness import Daemon, until

BOAT = "spliced-lifeboat"
BY_HAND = "spliced-by-hand"
LISTEN = 'exec {passed}; export LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES={names}; exec "$1" -c "$2"'
FIRST = 3  # descriptor that is passed


class Store:
    """What a service manager keeps for a service: the end of a lifeboat, which is given away by a restart, and others by their names, which
    stay. What is told is read at once: a full socket would block who tells."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        os.chmod(self.path, 0o777)
        self.sock.setblocking(False)
        self.boat, self.others = None, {}
        self.lock, self.ended, self.end = threading.Lock(), *os.pipe()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while self.ended not in select.select([self.sock, self.ended], [], [])[0]:
            self.read()

    def read(self):
        with self.lock:
            self._read()

    def _read(self):
        while True:
            try:
                text, control, _, _ = self.sock.recvmsg(1 << 16, socket.CMSG_SPACE(4))
            except BlockingIOError:
                return
            fds = array.array("i", b"".join(data for _, _, data in control))
            told = dict(line.split("=", 1) for line in text.decode().splitlines() if "=" in line)
            if told.get("FDSTORE") == "1":
                self.keep(told["FDNAME"], fds[0])
            elif told.get("FDSTOREREMOVE") == "1":
                self.keep(told["FDNAME"], None)

    def keep(self, name, fd):
        """In place of what had this name; fd: None: nothing."""
        before = self.boat if name == BOAT else self.others.pop(name, None)
        if name == BOAT:
            self.boat = fd
        elif fd is not None:
            self.others[name] = fd
        if before is not None:
            os.close(before)

    def take(self):
        """The lifeboat, which is the caller's then."""
        with self.lock:
            self._read()
            boat, self.boat = self.boat, None
        return boat

    def close(self):
        os.close(self.end)
        self.thread.join()
        os.close(self.ended)
        self.read()
        for name in (BOAT, *self.others):
            self.keep(name, None)
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
        self.store.read()
        kept = {name: fd for name, fd in ((BOAT, self.boat), *self.store.others.items()) if fd is not None}
        if kept:
            passed = [fcntl.fcntl(fd, fcntl.F_DUPFD, FIRST + len(kept) + 10) for fd in kept.values()]
            moves = [f"{FIRST + number}<&{fd} {fd}<&-" for number, fd in enumerate(passed)]
            command = ["bash", "-c", LISTEN.format(passed=" ".join(moves), count=len(kept), names=":".join(kept)), "bash", *command[::2]]
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                            env=environment, pass_fds=passed)
        for fd in passed:
            os.close(fd)

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

    def killed(self):
        """The keeper is, and the service started again; with what is in the store, but the lifeboat is empty."""
        self.process.kill()
        self.process.wait()
        boat = self.store.take()
        if boat is not None:
            os.close(boat)
        self.start()

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
