# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real name server, Knot DNS, for a daemon under test, which gets an /etc/hosts and an /etc/resolv.conf of its own. Its zones change
while it runs."""

import os
import shutil
import signal
import subprocess

from waiting import PATIENCE, Skip, until

MOUNT = 'mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/resolv.conf && shift 2 && exec "$@"'

CONFIG = """
server:
    rundir: "{place}"
    listen: [ {address}@53 ]
control:
    listen: "{place}/control"
database:
    storage: "{place}"
log:
  - target: stderr
    any: warning
template:
  - id: default
    storage: "{place}"
    file: "%s.zone"
    zonefile-sync: -1
    zonefile-load: whole
    journal-content: none
zone:
"""

HEAD = """$ORIGIN {zone}.
@ 1 SOA ns hostmaster {serial} 1 1 1000 1
@ 1 NS ns
ns 1 A {address}
"""


def find(program):
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if not found:
        raise Skip(f"no {program}: install knot")
    return found


def own_address():
    """An address of the loopback network that no other run uses at the same time."""
    return f"127.{64 + os.getpid() // 65536 % 64}.{os.getpid() // 256 % 256}.{os.getpid() % 254 + 1}"


class Zones:
    """The server with these zones, as a block; `wrap` is for the daemon. A zone is a text of records, each "NAME TTL TYPE VALUE"; None is
    one that the server has no file of: it answers SERVFAIL."""

    def __init__(self, place, zones, search=""):
        if os.geteuid() != 0:
            raise Skip("only root can give the daemon an /etc/resolv.conf of its own")
        self.place, self.address, self.serial, self.process = place, own_address(), 0, None
        self.server, self.tool = find("knotd"), find("knotc")
        self.config = os.path.join(place, "knot.conf")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(place=place, address=self.address))
            file.writelines(f"  - domain: {zone}\n" for zone in zones)
        for zone, text in zones.items():
            self._write(zone, text)
        hosts, resolv = os.path.join(place, "hosts"), os.path.join(place, "resolv.conf")
        for path, text in ((hosts, "127.0.0.1 localhost\n"), (resolv, f"nameserver {self.address}\n{search}")):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        self.wrap = ("unshare", "--mount", "--fork", "sh", "-c", MOUNT, "sh", hosts, resolv)
        tried = subprocess.run([*self.wrap, "true"], capture_output=True, text=True, check=False)
        if tried.returncode:
            raise Skip(f"no file systems of its own for the daemon here: {tried.stderr.strip()}")

    def _write(self, zone, text):
        path = os.path.join(self.place, f"{zone}.zone")
        if text is None:
            if os.path.exists(path):
                os.unlink(path)
            return
        self.serial += 1
        with open(path, "w", encoding="utf-8") as file:
            file.write(HEAD.format(zone=zone, serial=self.serial, address=self.address) + text)

    def _tell(self, *words):
        return subprocess.run([self.tool, "-c", self.config, "-b", *words], capture_output=True, text=True, timeout=PATIENCE * 3,
                              check=False)

    def __enter__(self):
        with open(os.path.join(self.place, "knot.log"), "wb") as log:
            self.process = subprocess.Popen([self.server, "-c", self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def answers():
            with open(log.name, encoding="utf-8") as file:
                assert self.process.poll() is None, file.read()
            return self._tell("status").returncode == 0

        until("the name server answers", answers)
        return self

    def __exit__(self, *exception):
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait()

    def change(self, zone, text):
        """Another text of a zone, or None: the server loses it."""
        self._write(zone, text)
        done = self._tell("zone-reload", zone) if text is not None else self._tell("-f", "zone-purge", zone)
        assert done.returncode == 0, done.stdout + done.stderr

    def silence(self):
        """It hears, and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def speak(self):
        self.process.send_signal(signal.SIGCONT)
