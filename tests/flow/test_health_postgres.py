# SPDX-License-Identifier: LGPL-2.1-or-later
"""A primary and its standby, of PostgreSQL, behind one address. Which is the primary a service on another port says, as Patroni's REST
interface does. After a switch-over new sessions go to the new primary, those with the old one end, and nobody ever gets to a standby."""

import glob
import http.server
import os
import pwd
import shutil
import socket
import struct
import subprocess
import tempfile
import threading

import pytest

import harness
from harness import Daemon, free_port, until

BINARIES = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[-2]))[-1:]
FAST = "fsync=off\nsynchronous_commit=off\nfull_page_writes=off\nshared_buffers=16MB\nmax_connections=40\nwal_keep_size=64MB\n"
ROLE = "select pg_is_in_recovery()::text || ' ' || current_setting('port')"

pytestmark = pytest.mark.skipif(not BINARIES, reason="PostgreSQL's server is not installed (package postgresql)")


class Connection:
    """As little of PostgreSQL's protocol, version 3.0, as a question takes."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=harness.PATIENCE * 2)
        text = b"user\0postgres\0database\0postgres\0\0"
        self.sock.sendall(struct.pack("!II", len(text) + 8, 196608) + text)
        try:
            self.answer()
        except BaseException:
            self.close()
            raise

    def read(self, count):
        found = b""
        while len(found) < count:
            part = self.sock.recv(count - len(found))
            if not part:
                raise ConnectionError("the server has closed the connection")
            found += part
        return found

    def answer(self):
        """Up to ReadyForQuery; the first column of the last row, if there was one."""
        row = None
        while True:
            kind, length = struct.unpack("!cI", self.read(5))
            body = self.read(length - 4)
            if kind == b"E":
                raise ConnectionError(body.decode("utf-8", "replace"))
            if kind == b"D":
                row = body[6:6 + struct.unpack("!I", body[2:6])[0]].decode()
            if kind == b"Z":
                return row

    def ask(self, query):
        text = query.encode() + b"\0"
        self.sock.sendall(b"Q" + struct.pack("!I", len(text) + 4) + text)
        return self.answer()

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def ask(port):
    with Connection(port) as connection:
        return connection.ask(ROLE).split()


class Server:
    """One server, in a directory of its own, run as a user without privileges."""

    def __init__(self, top, name):
        self.top, self.name, self.port = top, name, free_port()
        self.data = os.path.join(top, name)
        self.leads = True  # what the cluster's manager has decided

    def run(self, program, *words):
        user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        done = subprocess.run([os.path.join(BINARIES[0], program), *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False, cwd=self.top, env={**os.environ, "LC_ALL": "C"}, **user)
        assert done.returncode == 0, f"{program} {words}: {done.stdout}"

    def make(self):
        self.run("initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "-N", "-E", "UTF8", "--locale=C")
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as file:
            file.write(FAST + f"unix_socket_directories='{self.top}'\n")

    def follow(self, primary):
        self.run("pg_basebackup", "-D", self.data, "-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres", "-R", "-c", "fast", "-N")

    def ctl(self, *words):
        self.run("pg_ctl", "-D", self.data, "-w", "-t", str(int(harness.PATIENCE * 3)), "-l", self.data + ".log", *words)

    def start(self):
        self.ctl("start", "-o", f"-p {self.port} -h 127.0.0.1")

    def stop(self):
        if os.path.exists(os.path.join(self.data, "postmaster.pid")):
            self.ctl("stop", "-m", "immediate")

    def is_primary(self):
        try:
            return self.leads and ask(self.port)[0] == "false"
        except OSError:
            return False


class Manager(http.server.BaseHTTPRequestHandler):
    """GET /primary: 200 where the server of this port is the primary, else 503."""

    def do_GET(self):
        self.send_response(200 if self.path == "/primary" and self.server.database.is_primary() else 503)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(name="servers")
def make_servers():
    top = tempfile.mkdtemp(prefix="postgres-", dir="/tmp")
    os.chmod(top, 0o755)
    if os.geteuid() == 0:
        os.chown(top, pwd.getpwnam("nobody").pw_uid, -1)
    first, second = Server(top, "first"), Server(top, "second")
    managers = []
    try:
        first.make()
        first.start()
        second.follow(first)
        second.start()
        for server in (first, second):
            manager = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Manager)
            manager.database = server
            threading.Thread(target=manager.serve_forever, daemon=True).start()
            managers.append(manager)
        yield (first, managers[0].server_port), (second, managers[1].server_port)
    finally:
        for manager in managers:
            manager.shutdown()
            manager.server_close()
        first.stop()
        second.stop()
        shutil.rmtree(top, ignore_errors=True)


class Clients:
    """They come one after the other, each asks where it is."""

    def __init__(self, port):
        self.port, self.met, self.stopped = port, [], False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopped:
            try:
                self.met.append(tuple(ask(self.port)))
            except OSError as error:
                self.met.append(("error", repr(error)))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stopped = True
        self.thread.join()


def test_switch_over(servers):
    (first, first_says), (second, second_says) = servers
    port = free_port()

    def target(server, says):
        return {"family": "inet", "host": "127.0.0.1", "port": server.port, "name": server.name, "health": {"port": says}}

    route = {"listen": f"tcp://127.0.0.1:{port}", "target": (target(first, first_says), target(second, second_says)), "on_down": "end",
             "health": {"http": "/primary", "interval": "100ms", "timeout": "10s", "rise": 1, "fall": 1}, "retry": {"total": "1min"}}
    with Daemon({"db": route}) as daemon:
        def checks():
            return [one["check"]["state"] for one in daemon.ctl("routes")["routes"][0]["targets"]]

        until("who is the primary is known", lambda: checks() == ["up", "down"])
        with Clients(port) as clients, Connection(port) as old:
            assert old.ask(ROLE) == f"false {first.port}"
            until("clients meet the first", lambda: len(clients.met) > 5)
            first.leads = False
            until("nobody is the primary", lambda: checks() == ["down", "down"])
            switched = len(clients.met) + 1  # one may be under way
            with pytest.raises(OSError):
                until("the old session ends", lambda: old.ask(ROLE) is None)
            first.stop()
            second.ctl("promote")
            until("the second is up", lambda: checks() == ["down", "up"])
            until("clients meet the second", lambda: len([one for one in clients.met if one == ("false", str(second.port))]) > 5)
        before, after = clients.met[:switched], clients.met[switched:]
        errors = [one for one in clients.met if one[0] == "error"]
        assert len(errors) <= 1, errors  # whose session ended because the first went down
        assert {one for one in before if one not in errors} <= {("false", str(first.port)), ("false", str(second.port))}
        assert {one for one in after if one not in errors} == {("false", str(second.port))}
        assert "target db/first is down: health check: HTTP status 503, expected 200" in daemon.log()
        assert daemon.ctl("routes")["routes"][0]["sessions"]["target_down"] >= 1
