# SPDX-License-Identifier: LGPL-2.1-or-later
"""The relays that are measured: how each is configured, started and stopped.

Another one is a class with a name, a version() and a command(), and its place in PEERS. All run with THREADS threads,
as the same unprivileged user (the kernel bounds pipes by user), without logging sessions, and else with their defaults.
"""

import grp
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time

import cost

THREADS = 2
SESSIONS_MAX = 6000
PATIENCE = 10  # seconds for a start or a stop

HERE = os.path.dirname(os.path.abspath(__file__))
SPLICED = os.path.abspath(os.environ.get("SPLICED") or os.path.join(HERE, "..", "..", "build", "spliced"))


class Failure(Exception):
    """The measurement cannot be made; says why."""


class User:
    """Whom relays run as: the user given when we are root, else ourselves."""

    def __init__(self, name):
        self.switches = os.geteuid() == 0
        entry = pwd.getpwnam(name) if self.switches else pwd.getpwuid(os.geteuid())
        self.name, self.uid, self.gid = entry.pw_name, entry.pw_uid, entry.pw_gid
        self.group = grp.getgrgid(self.gid).gr_name

    def own(self, path):
        if self.switches:
            os.chown(path, self.uid, self.gid)


def _output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Relay:
    """A relay that runs, from 127.0.0.1:self.port to `target`: tcp:PORT or unix:PATH."""

    name = None
    remedy = None  # where it is missing

    def __init__(self, directory, user, target):
        self.user, self.target = user, target
        self.port = _free_port()
        self.directory = os.path.join(directory, self.name)
        os.makedirs(self.directory, exist_ok=True)
        user.own(self.directory)
        self.log = os.path.join(self.directory, "log")

    @classmethod
    def version(cls):
        """The version, or None where there is no such program."""
        raise NotImplementedError

    def command(self):
        """Writes what configuration it needs, and returns what to execute; it must stay in the foreground."""
        raise NotImplementedError

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o644)
        return path

    def __enter__(self):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait(self):
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        with open(self.log, encoding="utf-8", errors="replace") as log:
            raise Failure(f"{self.name} does not listen: {' '.join(self.process.args)}\n{log.read()}")

    def __exit__(self, *_):
        members = self.pids()
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            for member in members:
                os.kill(member, signal.SIGKILL)
            self.process.wait()

    def pids(self):
        return cost.family(self.process.pid)


class Spliced(Relay):
    name = "spliced"
    remedy = f"build {SPLICED}, or name another in SPLICED"
    program = SPLICED
    plugins = os.environ.get("SPLICED_PLUGIN_DIR")

    @classmethod
    def version(cls):
        return _output(cls.program, "--version").split()[1] if os.access(cls.program, os.X_OK) else None

    def command(self):
        plugins = self.plugins or os.path.join(os.path.dirname(self.program), "plugins")
        kind, _, place = self.target.partition(":")
        target = f"unix://{place}" if kind == "unix" else f"tcp4://127.0.0.1:{place}"
        user = f'user = "{self.user.name}"; group = "{self.user.group}";' if self.user.switches else ""
        config = self.write("spliced.conf", f"""\
daemon: {{
  workers = {THREADS};
  max_sessions = {SESSIONS_MAX};
  {user}
  plugin_dir = "{plugins}";
  control: {{ path = "{self.directory}/control.sock"; }};
  log: {{ to = "stderr"; level = "warning"; sessions = false; }};
}};
routes: {{
  bench: {{
    listen = "tcp4://127.0.0.1:{self.port}";
    target = "{target}";
  }};
}};
""")
        return [self.program, "-c", config]


class Before(Spliced):
    """An older build of it."""

    name = "before"
    remedy = "name its program in SPLICED_BEFORE"
    program = os.environ.get("SPLICED_BEFORE", "")
    plugins = None


class Haproxy(Relay):
    name = "haproxy"
    remedy = "install the package haproxy"
    options = ""

    @classmethod
    def version(cls):
        program = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")
        found = program and re.search(r"version (\S+)", _output(program, "-v"))
        return found and found[1].split("-")[0]

    def command(self):
        kind, _, place = self.target.partition(":")
        target = f"unix@{place}" if kind == "unix" else f"127.0.0.1:{place}"
        user = f"user {self.user.name}\n  group {self.user.group}" if self.user.switches else ""
        config = self.write("haproxy.cfg", f"""\
global
  nbthread {THREADS}
  maxconn {SESSIONS_MAX}
  {user}
defaults
  mode tcp
  {self.options}
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen bench
  bind 127.0.0.1:{self.port}
  server target {target}
""")
        return [shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin"), "-db", "-f", config]


class HaproxySplice(Haproxy):
    """The same, told to splice."""

    name = "haproxy-splice"
    options = "option splice-request\n  option splice-response"


PEERS = {relay.name: relay for relay in (Haproxy, HaproxySplice, Before)}
