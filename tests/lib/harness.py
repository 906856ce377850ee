# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon under test, and what stands at its two sides.

    with Daemon({"web": {"listen": tcp(port), "target": "unix:///…"}}) as daemon:
        …
        daemon.ctl("status")

Leaving the block waits for the daemon to be at rest (rest.py), stops it and asserts that it ended well and left no
process behind; an exception inside it prints the daemon's log. Nothing here sleeps to be safe: until() waits for a
condition, and fails with its name. Needs only the standard library, so that it runs in a bare virtual machine too.
"""

import atexit
import contextlib
import ctypes
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

import rest

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("SPLICED_BUILD", os.path.join(HERE, "..", "..", "build"))

# Under a slow emulator everything takes longer, but nothing may take for ever.
PATIENCE = float(os.environ.get("SPLICED_PATIENCE", "10"))

SKIPPED = 77

KCMP = {"x86_64": 312, "aarch64": 272}  # the system call's number


class Skip(Exception):
    """What the test needs is not here; scripts exit 77 with the reason."""


def _find(variable, *names):
    """A program's path: from the environment, else in the build directory, else None."""
    if os.environ.get(variable):
        return os.path.abspath(os.environ[variable])
    for name in names:
        path = os.path.abspath(os.path.join(BUILD, name))
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    return None


def spliced():
    path = _find("SPLICED", "spliced", "daemon/spliced")
    if not path:
        raise Skip("no spliced: build it, or name it in SPLICED")
    return path


def splicectl():
    path = _find("SPLICECTL", "splicectl", "ctl/splicectl")
    if not path:
        raise Skip("no splicectl: build it, or name it in SPLICECTL")
    return path


def plugin_dir():
    """Where the plugins are."""
    found = os.environ.get("SPLICED_PLUGIN_DIR") or os.path.join(BUILD, "plugins")
    return os.path.abspath(found if os.path.isdir(found) else BUILD)


def compile_family(directory, name):
    """A family of tests/plugins, into a directory of plugins."""
    top = os.path.join(HERE, "..", "..")
    try:
        subprocess.run([os.environ.get("CC", "cc").split()[0], "-std=gnu11", "-D_GNU_SOURCE", "-I", os.path.join(top, "include"), "-fPIC",
                        "-shared", "-fvisibility=default", os.path.join(top, "tests", "plugins", name + ".c"),
                        "-o", os.path.join(directory, name + ".so")], check=True)
    except OSError as error:
        raise Skip(f"no compiler here: {error}") from error


def copy_families(directory, *more):
    """The families into a directory of plugins, with those of tests/plugins that are named; returns it."""
    for name in os.listdir(plugin_dir()):
        if name.endswith(".so"):
            shutil.copy(os.path.join(plugin_dir(), name), directory)
    for name in more:
        compile_family(directory, name)
    for name in os.listdir(directory):
        if name.endswith(".so"):
            os.chmod(os.path.join(directory, name), 0o755)
    return directory


def compile_crashy(directory):
    """The family that crashes where it is told to."""
    compile_family(directory, "crashy")


_peers = None


def peers():
    """The peers tool: from SPLICED_PEERS, the build directory, or compiled for this run."""
    global _peers
    _peers = _peers or _find("SPLICED_PEERS", "peers", "tests/lib/peers", "tests/peers")
    if not _peers:
        directory = tempfile.mkdtemp(prefix="peers-")
        atexit.register(shutil.rmtree, directory, True)
        sources = [os.path.join(HERE, name) for name in sorted(os.listdir(HERE)) if name.endswith(".c")]
        path = os.path.join(directory, "peers")
        try:
            subprocess.run([os.environ.get("CC", "cc"), "-O2", "-std=gnu11", "-o", path, *sources, "-lpthread"],
                           check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Skip(f"no peers tool, and it cannot be compiled here: {error}") from error
        _peers = path
    return _peers


# ---- waiting ----


def until(what, condition, patience=None):
    """Waits until condition() is true and returns its value."""
    patience = PATIENCE if patience is None else patience
    limit = time.monotonic() + patience
    pause = 0.0005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > limit:
            raise AssertionError(f"waited {patience:g} s in vain: {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


def holds(what, condition, seconds):
    """Fails as soon as condition() is false within so many seconds: for what must not happen."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        assert condition(), f"did not stay so for {seconds:g} s: {what}"
        time.sleep(0.005)


# ---- addresses ----

_given = set()
_choosing = threading.Lock()  # one thread's look at a port would be in the way of another's

IPPROTO_MPTCP = 262


def free_port():
    """A port below the ephemeral range: a client that retries a dead port up there can connect to itself."""
    with _choosing:
        while True:
            port = random.randrange(10000, 32000)
            if port in _given:
                continue
            try:
                with socket.socket(socket.AF_INET6) as six, socket.socket(socket.AF_INET) as four:
                    six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    six.bind(("::", port))
                    four.bind(("", port))
            except OSError:
                continue
            _given.add(port)
            return port


def has_mptcp():
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP).close()
    except OSError:
        return False
    return True


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as six:
            six.bind(("::1", 0))
        return True
    except OSError:
        return False


class Endpoint:
    """An address of our own making: as the config writes it, as the peers tool does, and as Python does."""

    def __init__(self, family, directory):
        self.name = family
        if family == "unix":
            self.family = socket.AF_UNIX
            self.address = os.path.join(directory, f"{random.randrange(1 << 40):x}.sock")
            self.text = "unix://" + self.address
        elif family == "inet6":
            self.family = socket.AF_INET6
            self.address = ("::1", free_port())
            self.text = f"tcp6://[::1]:{self.address[1]}"
        elif family == "mptcp":
            self.family = socket.AF_INET
            self.address = ("127.0.0.1", free_port())
            self.text = f"inet://127.0.0.1:{self.address[1]}?protocol=mptcp"
        else:
            self.family = socket.AF_INET
            self.address = ("127.0.0.1", free_port())
            self.text = f"tcp4://127.0.0.1:{self.address[1]}"

    def __str__(self):
        return self.text

    def socket(self):
        return socket.socket(self.family, socket.SOCK_STREAM, IPPROTO_MPTCP if self.name == "mptcp" else 0)

    def listen(self, backlog=128):
        listener = self.socket()
        if self.family != socket.AF_UNIX:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        elif os.path.exists(self.address):
            os.unlink(self.address)
        listener.bind(self.address)
        listener.listen(backlog)
        listener.settimeout(PATIENCE)
        return listener

    def connect(self, **options):
        """options: receive_buffer, timeout."""
        client = self.socket()
        client.settimeout(options.get("timeout", PATIENCE))
        if "receive_buffer" in options:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options["receive_buffer"])
        client.connect(self.address)
        return client

    def listening(self):
        """Whether somebody listens, told without connecting."""
        return listening(self.text)


SEEN_LISTENING = ("tcp4", "tcp6", "inet", "unix")


def listening(text):
    """Whether somebody listens at tcp4://A:P, tcp6://[A]:P, inet://A:P or unix://PATH, from the kernel's tables."""
    scheme, rest = text.split("?")[0].split("://")
    if scheme == "unix":
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
            return any(line.split()[7:] == [rest] and line.split()[3] == "00010000" for line in table)
    port = int(rest.rsplit(":", 1)[1])
    for name in ("tcp", "tcp6"):
        try:
            with open("/proc/net/" + name, encoding="utf-8") as table:
                for line in list(table)[1:]:
                    words = line.split()
                    if words[3] == "0A" and int(words[1].rsplit(":", 1)[1], 16) == port:
                        return True
        except FileNotFoundError:
            pass
    return False


def _list(value):
    return value if isinstance(value, (list, tuple)) else (value,)


# ---- processes ----


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return []


def shares_descriptors(one, other):
    """Whether two processes have one descriptor table (kcmp(2)); None where the kernel does not tell."""
    same = ctypes.CDLL(None, use_errno=True).syscall(KCMP[os.uname().machine], one, other, 2, 0, 0) \
        if os.uname().machine in KCMP else -1
    return same == 0 if same >= 0 else None


def process_state(pid):
    """R, S, D, T, Z …, or None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def memory_kib(pid):
    """Anonymous resident memory: what the process itself holds."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1])
    return 0


def session_members(sid):
    """Live processes of a process session. A zombie is none, once its last thread has ended: until then its descriptors are open."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8") as file:
                words = file.read().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(words[3]) == sid and (words[0] != "Z" or int(words[17]) > 1):
            found.append(int(name))
    return found


def descriptors(pid):
    """{number: what it leads to} of a process."""
    found = {}
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except PermissionError as error:
        raise Skip("the daemon hides what it has open from all but root; a build with --enable-dev does not") from error
    for name in names:
        try:
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            pass
    return found


# ---- the configuration ----


def config_text(value, depth=0):
    """libconfig's notation. A list of strings is a [ list ], one of dicts or of both is a ( list )."""
    pad = "\t" * depth
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (str, Endpoint)):
        return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, (list, tuple)):
        inner = ", ".join(config_text(item, depth + 1) for item in value)
        return f"[ {inner} ]" if isinstance(value, list) else f"( {inner} )"
    body = "".join(f"{pad}\t{key} = {config_text(item, depth + 1)};\n" for key, item in value.items())
    return "{\n" + body + pad + "}"


# ---- the daemon ----


class Daemon:
    """`spliced -c FILE` and its control socket. routes: {name: {"listen": …, "target": …, …}}; Endpoint objects and
    their text both serve; a list is a tuple for ( … ), a Python list for [ … ]. unrest: why this daemon does not come to rest."""

    def __init__(self, routes, settings=None, single=False, wrap=(), top=None, limit_nofile=None, wait=True,
                 unrest=None):
        self.directory = tempfile.mkdtemp(prefix="spliced-")
        os.chmod(self.directory, 0o755)
        self.file = os.path.join(self.directory, "spliced.conf")
        self.control = os.path.join(self.directory, "control.sock")
        self.log_file = os.path.join(self.directory, "log")
        self.settings = {"workers": 2, "plugin_dir": plugin_dir(), "control": {"path": self.control},
                         "log": {"to": "stderr", "level": "info"}}
        self.settings.update(settings or {})
        self.top = top or {}
        self.single = single
        self.wrap = list(wrap)
        self.limit_nofile = limit_nofile
        self.wait = wait
        self.unrest = unrest
        self.process = None
        self.routes = routes
        self.write(routes)

    # -- its file --

    def write(self, routes=None, text=None):
        """Puts a new configuration in place atomically."""
        if text is None:
            self.routes = self.routes if routes is None else routes
            text = config_text({"daemon": self.settings, **self.top, "routes": self.routes})[2:-1]
        with open(self.file + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(self.file + ".new", self.file)

    # -- start and stop --

    def _limit(self):
        if self.limit_nofile:
            import resource
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.limit_nofile, self.limit_nofile))

    def start(self):
        command = [*self.wrap, spliced(), "-c", self.file]
        if self.single:
            command.append("--single")
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, preexec_fn=self._limit)
        if self.wait:
            until("the daemon listens", self.ready)
        return self

    def ready(self):
        assert self.process.poll() is None, f"the daemon ended with status {self.process.returncode}\n{self.log()}"
        return listening("unix://" + self.control) and all(listening(text) for text in self._listens()) and self.runs()

    def runs(self):
        """Whether the worker has taken over all that there is: before, the keeper begins nothing, and waits longer for it."""
        told = self.ctl_run("status")
        return told.returncode in (0, 1) and json.loads(told.stdout)["worker"].get("state", "running") == "running"

    def hold_worker(self):
        """Stops the worker, which runs, by SIGSTOP; its pid."""
        until("the worker runs", self.runs)
        worker = self.worker
        os.kill(worker, signal.SIGSTOP)
        return worker

    def _listens(self):
        for route in self.routes.values():
            for listen in _list(route.get("listen", ())):
                text = str(listen)
                if route.get("enabled", True) and text.split("://")[0] in SEEN_LISTENING:
                    yield text

    @property
    def keeper(self):
        """The keeper's process; under a tracer or with --single, the daemon's."""
        if self.wrap:
            return until("the wrapper starts the daemon", lambda: children(self.process.pid))[0]
        return self.process.pid

    @property
    def worker(self):
        """The worker's process now: of the keeper's children, the one that shares its descriptors."""
        return self.keeper if self.single else self.worker_after(None)

    def worker_after(self, pid):
        """Waits for a worker other than `pid`."""
        keeper = self.keeper

        def find():
            living = [child for child in children(keeper) if child != pid and process_state(child) not in ("Z", None)]
            return next((child for child in reversed(living) if shares_descriptors(keeper, child) is not False
                         and command_name(child) == "spliced-worker"), None)

        return until("there is a worker" if pid is None else f"a worker other than {pid}", find)

    def thread(self, index):
        """The id of the worker's thread with this number, as status and sessions count them."""
        def find():
            worker = self.worker
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                for task in os.listdir(f"/proc/{worker}/task"):
                    if command_name(f"{worker}/task/{task}") == f"spliced-{index}":
                        return int(task)
            return None

        return until(f"the worker has thread {index}", find)

    def signal(self, number):
        os.kill(self.keeper, number)

    def at_rest(self, patience=PATIENCE, parts=rest.ALL):
        """Waits until nothing runs but for timers that are due, and nothing is left behind of what ended."""
        rest.wait(self.control, patience, lambda: self.process.poll() is not None, parts)

    def stop(self):
        """It comes to rest; SIGTERM; asserts status 0, and that no process is left of it."""
        sid = self.process.pid
        if self.process.poll() is None and not self.unrest:
            self.at_rest()
        # It may have been told before, and have ended meanwhile.
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise AssertionError("the daemon did not stop on SIGTERM") from error
        left = session_members(sid)
        assert status == 0, f"the daemon ended with status {status}"
        assert not left, f"processes were left behind: {left}"

    def kill(self):
        """Ends whatever is left of it, and what that may start meanwhile; and waits until all is gone: the descriptors close with the
        last of its processes."""
        if not self.process:
            return

        def gone():
            members = session_members(self.process.pid)
            for pid in members:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not members

        until("its last process is gone", gone)
        self.process.wait()

    def log(self):
        try:
            with open(self.log_file, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self.stop()
        except BaseException:
            kind = kind or AssertionError
            raise
        finally:
            self.kill()
            if kind is not None and not issubclass(kind, (Skip, KeyboardInterrupt)):
                log = self.log().splitlines()
                print("---- the daemon's log, last lines ----", *log[-60:], "----", sep="\n", file=sys.stderr)
            if os.environ.get("SPLICED_KEEP"):
                print("kept:", self.directory, file=sys.stderr)
            else:
                shutil.rmtree(self.directory, ignore_errors=True)

    # -- asking it --

    def ctl_run(self, *words, timeout=PATIENCE * 3):
        """splicectl's finished process: returncode, stdout, stderr."""
        return subprocess.run([splicectl(), "-s", self.control, "--json", *words], capture_output=True, text=True,
                              timeout=timeout, check=False)

    def ctl(self, *words, status=0):
        """What the daemon says, as an object (None when it says nothing); asserts splicectl's exit status, unless that is
        None."""
        done = self.ctl_run(*words)
        assert status is None or done.returncode == status, \
            f"splicectl {' '.join(words)}: status {done.returncode}\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() and done.returncode in (0, 1) else None

    def status(self):
        return self.ctl("status", status=None)

    def sessions(self):
        """The open sessions, as a list of objects."""
        answer = self.ctl("sessions")
        return answer.get("sessions", []) if isinstance(answer, dict) else answer or []

    def relays(self):
        """Whether a session is past connecting: what its target says is heard from then on."""
        return any(one["state"] == "relaying" for one in self.sessions())

    def reload(self, routes=None):
        """Writes the routes and reloads; returns when the heir has adopted."""
        if routes is not None:
            self.write(routes)
        return self.ctl("reload")


def command_name(pid):
    """comm, proc(5); None: there is no such process."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return None


class Injected:
    """What strace makes of the worker's calls while the block lasts: Injected(daemon, "accept4", "error=EMFILE:when=1+").
    thread: of that thread alone; more: of other calls, as strace's inject= says it. calls() counts those that were made to fail, or
    were held up."""

    def __init__(self, daemon, call, what, thread=None, more=()):
        if not shutil.which("strace"):
            raise Skip("no strace")
        self.file = os.path.join(daemon.directory, "strace" if thread is None else f"strace-{thread}")
        who = ["-f", "-p", str(daemon.worker)] if thread is None else ["-p", str(daemon.thread(thread))]
        self.command = ["strace", *who, "-o", self.file, "-e", ",".join([f"trace={call}", *(one.split(":")[0] for one in more)]),
                        "-e", f"inject={call}:{what}", *(word for one in more for word in ("-e", f"inject={one}"))]
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        if "attached" not in line:
            self.process.wait()
            raise Skip(f"strace cannot attach here: {line.strip()}")
        return self

    def calls(self):
        with open(self.file, encoding="utf-8", errors="replace") as file:
            text = file.read()
        return text.count("(INJECTED)") + text.count("(DELAYED)")

    def __exit__(self, *exception):
        self.process.terminate()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            # A thread that was killed while its call was held up stays in its exit stop until the delay is over: strace waits for it.
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()


# ---- the peers tool ----


class Serve:
    """`peers serve` on some endpoints, as a block. `count` holds what it counted once it is left."""

    def __init__(self, *endpoints, threads=64):
        self.command = [peers(), "serve", "--threads", str(threads), *map(str, endpoints)]
        self.count = None
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line == "ready\n", f"the server is not ready: {line!r}"
        return self

    def __exit__(self, *exception):
        self.process.terminate()
        self.count = json.loads(self.process.communicate(timeout=PATIENCE)[0] or "{}")


class Running:
    """A peers command in the background; finish() returns its JSON and exit status."""

    def __init__(self, *words):
        self.process = subprocess.Popen([peers(), *map(str, words)], stdout=subprocess.PIPE, text=True)

    def stop(self):
        self.process.terminate()
        return self.finish()

    def running(self):
        return self.process.poll() is None

    def finish(self, timeout=None):
        out = self.process.communicate(timeout=timeout)[0]
        return json.loads(out or "{}"), self.process.returncode


def peers_run(*words, timeout=None):
    """A peers command to its end: (its JSON, its exit status)."""
    return Running(*words).finish(timeout)


# ---- sockets ----

TCP_ESTABLISHED, TCP_CLOSE, TCP_CLOSE_WAIT = 1, 7, 8


def tcp_state(sock):
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[0]


def reset(sock):
    """Closes with a RST, where the family has one."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read_all(sock):
    """Bytes up to the end, and how that came: "end", or the error's name."""
    import errno
    data = bytearray()
    while True:
        try:
            part = sock.recv(1 << 16)
        except (TimeoutError, socket.timeout):
            return bytes(data), "timeout"
        except OSError as error:
            return bytes(data), errno.errorcode[error.errno]
        if not part:
            return bytes(data), "end"
        data += part


def ask(endpoint):
    """Connects, says nothing, and hears all there is: (bytes, how it ended). A reset that is quick is connect()'s."""
    try:
        with endpoint.connect() as client:
            return read_all(client)
    except ConnectionResetError:
        return b"", "ECONNRESET"


# ---- scripts ----


def script(main):
    """Runs a script's main(): exit 77 with the reason for a Skip, 1 for a failed assertion."""
    try:
        main()
    except Skip as reason:
        print(f"skipped: {reason}")
        sys.exit(SKIPPED)
    except AssertionError as error:
        print(f"FAILED: {error}")
        sys.exit(1)
