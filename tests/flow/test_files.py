# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files as targets and dials: the families serial and tun of doc/examples, compiled as whoever writes one would, with real traffic while
workers are killed and the configuration is read again."""

import contextlib
import hashlib
import os
import random
import signal
import socket
import subprocess
import threading
import tty

import pytest

import harness
from harness import Daemon, Endpoint, until
from messages import route
from namespace import Namespace, ip

RETRY = {"retry": {"backoff": "20ms", "max_backoff": "100ms"}}
KILLS = int(os.environ.get("SPLICED_KILLS", "6"))
BYTES = 1_000_000


@pytest.fixture
def plugins(place):
    harness.copy_families(place)
    for name in ("serial", "tun"):
        harness.compile_example(place, name)
    return place


class Line:
    """A pseudo-terminal, whose other end is the device."""

    def __init__(self):
        self.fd, device = os.openpty()
        self.heard = bytearray()
        tty.setraw(device)
        self.path = os.ttyname(device)
        os.close(device)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.fd >= 0:
            os.close(self.fd)

    def hang_up(self):
        os.close(self.fd)
        self.fd = -1

    def read(self, count):
        """So many bytes; a pseudo-terminal that nobody has opened says EIO."""
        while len(self.heard) < count:
            with contextlib.suppress(OSError):
                self.heard += os.read(self.fd, count - len(self.heard))

    def write(self, data):
        while data:
            with contextlib.suppress(OSError):
                data = data[os.write(self.fd, data):]


def kill_some(daemon, progress, reload=None):
    """Spread over the traffic; progress() tells how much of it, 0 to 1, is done. A reload in the middle of them."""
    for number in range(KILLS):
        until("more is done", lambda number=number: progress() >= number / (KILLS + 1))
        pid = daemon.worker
        os.kill(pid, signal.SIGKILL)
        daemon.worker_after(pid)
        if reload and number == KILLS // 2:
            daemon.reload(reload)


def echo(listener):
    """Everything back to who says it, one client after another."""
    def run():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                while data := client.recv(65536):
                    client.sendall(data)
    threading.Thread(target=run, daemon=True).start()


def test_a_line_loses_no_byte(plugins):
    """Both ways, as a dial and as a target."""
    back, front = Endpoint("unix", plugins), Endpoint("inet", plugins)
    data = random.Random(1).randbytes(BYTES)
    with Line() as dialed, Line() as target, back.listen() as listener:
        echo(listener)
        routes = {"dialed": {"dial": {"family": "serial", "path": dialed.path}, "target": str(back), **RETRY},
                  "target": {"listen": str(front), "target": f"serial://{target.path}", **RETRY}}
        with Daemon(routes, {"plugin_dir": plugins}) as daemon, front.connect() as client:
            client.settimeout(harness.PATIENCE)
            heard = bytearray()
            jobs = [threading.Thread(target=job, daemon=True) for job in (
                lambda: dialed.write(data),
                lambda: dialed.read(BYTES),
                lambda: target.write(data),
                lambda: target.read(BYTES),
                lambda: client.sendall(data),
                lambda: read_all(client, BYTES, heard))]
            for job in jobs:
                job.start()
            kill_some(daemon, lambda: min(len(dialed.heard), len(target.heard), len(heard)) / BYTES, {**routes, "more": {"listen": str(Endpoint("inet", plugins)), "target": str(back)}})
            for job in jobs:
                job.join(harness.PATIENCE)
            assert [hashlib.sha256(one).digest() for one in (dialed.heard, target.heard, heard)] == [hashlib.sha256(data).digest()] * 3
            # A line that is hung up resets its session.
            target.hang_up()
            with pytest.raises(ConnectionResetError):
                client.recv(1)


def read_all(sock, count, found):
    while len(found) < count:
        part = sock.recv(65536)
        if not part:
            break
        found += part


def test_a_line_framed(plugins):
    """A message a line; one that was in hand when a worker was killed may come twice."""
    words = [b"line %d" % number for number in range(2000)]
    with Line() as line, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sink:
        sink.bind(os.path.join(plugins, "sink"))
        sink.settimeout(harness.PATIENCE)
        with Daemon({"r": {"dial": {"family": "serial", "path": line.path, "framing": "line"},
                           "target": f"unix-dgram://{plugins}/sink", **RETRY}}, {"plugin_dir": plugins}) as daemon:
            writer = threading.Thread(target=line.write, args=(b"".join(word + b"\n" for word in words),), daemon=True)
            writer.start()
            heard = []
            killer = threading.Thread(target=kill_some, args=(daemon, lambda: len(heard) / len(words)), daemon=True)
            killer.start()
            while not heard or heard[-1] != words[-1]:
                word = sink.recv(100)
                if not heard or word != heard[-1]:
                    heard.append(word)
            killer.join()
            assert heard == words


WRONG = (
    ({"dial": {"family": "serial", "path": "/dev/null", "sndbuf": 65536}, "target": "tcp4://127.0.0.1:9"},
     'dial.sndbuf is for sockets, and family "serial" opens a file; remove it'),
    ({"listen": "tcp4://127.0.0.1:9", "target": {"family": "serial", "path": "/dev/null", "mark": 1}}, "target.mark is for sockets"),
    ({"listen": "serial:///dev/null", "target": "tcp4://127.0.0.1:9"}, 'stream sockets of family "serial" cannot listen'))


def test_what_is_for_sockets_is_refused(plugins):
    with Daemon({}, {"plugin_dir": plugins}) as daemon:
        for wrong, says in WRONG:
            daemon.write({"r": wrong})
            done = subprocess.run([harness.spliced(), "-t", "-c", daemon.file], capture_output=True, text=True, check=False)
            assert done.returncode and says in done.stderr, done.stderr


# ---- interfaces ----

class Elsewhere:
    """A namespace with the far end of the tunnel."""

    def __init__(self):
        self.process = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
        until("its namespace is there", lambda: os.readlink(f"/proc/{self.process.pid}/ns/net") != os.readlink("/proc/thread-self/ns/net"))
        self.netns = f"/proc/{self.process.pid}/ns/net"

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()

    def run(self, *words, **options):
        return subprocess.run(["nsenter", "-t", str(self.process.pid), "-n", *words], check=True, capture_output=True, **options)


SERVE = """
import hashlib, socket
server = socket.create_server(("10.78.0.2", 7))
print("ready", flush=True)
client, _ = server.accept()
whole = hashlib.sha256()
while data := client.recv(65536):
    whole.update(data)
    print(len(data), flush=True)
print(0, flush=True)
client.sendall(whole.digest())
"""


def make_interface(run, name, mode, address):
    run("ip", "tuntap", "add", "dev", name, "mode", mode)
    run("ip", "addr", "add", address, "dev", name)
    run("ip", "link", "set", name, "up")


@pytest.mark.parametrize("mode, carrier", (("tap", "tcp"), ("tun", "udp")))
def test_a_network_through_a_tunnel(plugins, mode, carrier):
    """TCP through it has every byte, whatever frames are lost with a worker."""
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        pytest.skip("needs root and /dev/net/tun")
    kind = {"tcp": "stream", "udp": "dgram"}[carrier]
    frames = {"framing": "length16"} if carrier == "tcp" else {}
    data, heard, counts = random.Random(2).randbytes(BYTES), bytearray(), []
    with Namespace(), Elsewhere() as there:
        here = lambda *words: ip(*words[1:])  # noqa: E731
        try:
            make_interface(here, "ours", mode, "10.78.0.1/24")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no interface of that kind: {error.stderr}")
        make_interface(there.run, "theirs", mode, "10.78.0.2/24")
        middle = {"family": "inet", "type": kind, "host": "127.0.0.1", "port": 7100, **frames}
        device = {"family": "tun", "type": "raw" if mode == "tap" else "dgram"}
        routes = {"ours": {"dial": {**device, "interface": "ours"}, "target": middle, **RETRY},
                  "theirs": {"listen": middle, "target": {**device, "interface": "theirs", "netns": there.netns}, **RETRY}}
        with Daemon(routes, {"plugin_dir": plugins}) as daemon:
            server = subprocess.Popen(["nsenter", "-t", str(there.process.pid), "-n", "/usr/bin/python3", "-c", SERVE], stdout=subprocess.PIPE)
            try:
                assert server.stdout.readline() == b"ready\n"
                client = socket.create_connection(("10.78.0.2", 7), timeout=harness.PATIENCE)
                with client:
                    sender = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)), daemon=True)
                    sender.start()
                    counter = threading.Thread(target=lambda: [counts.append(int(line)) for line in server.stdout], daemon=True)
                    counter.start()
                    kill_some(daemon, lambda: sum(counts) / BYTES)
                    read_all(client, 32, heard)
                    assert heard == hashlib.sha256(data).digest()
                    sender.join()
            finally:
                server.kill()
                server.wait()
            assert route(daemon, "ours")["sessions"]["active"] == 1
