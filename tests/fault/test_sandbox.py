# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a worker cannot do, whoever has taken it over: a family whose code does what a message tells it tries each thing, with the walls
and without them."""

import ctypes
import errno
import os
import signal
import socket
import sys

import pytest

import harness
import programs
from harness import Daemon, Endpoint, until

# What is refused, whatever its arguments are: {keeper} is the keeper's pid.
REFUSED = ["execve", "execveat", "fork", "clone", "ptrace {keeper}", "vm_read {keeper}", "vm_write {keeper}", "kill {keeper}",
           "tgkill {keeper}", "tkill {keeper}", "sigqueue {keeper}", "pidfd {keeper}", "own {keeper}", "own_socket {keeper}", "own_wide {keeper}", "type",
           f"socket {int(socket.AF_NETLINK)}", f"socket {int(socket.AF_PACKET)}", "listen", "io_uring", "io_uring_enter", "bpf", "mount",
           "unshare", "setns", "chroot", "setuid", "dumpable", "limit", "code", "code_later", "mkdir {place}/made",
           "chmod {place}/written", "rename {place}/written", "unlink {place}/written"]
ALLOWED = ["thread", "raise", "name", "memory", f"socket {int(socket.AF_UNIX)}", f"socket {int(socket.AF_INET)}", "list /proc/self/fd",
           "read /proc/self/status", "read /proc/sys/net/core/rmem_default", "read /dev/urandom"]
# Refused by the file system's walls.
SHUT = ["read {place}/written", "write {place}/written", "create {place}/new", "list {place}", "read /etc/passwd",
        "read /etc/shadow", "list /", "read {program}", "read /proc/{keeper}/mem"]


class Captive:
    """A route of the family's beside a plain one, and the far end of both."""

    def __init__(self, place, settings=None, **more):
        self.place = place
        self.port = harness.free_port()
        self.feed = {"family": "captive", "host": "127.0.0.1", "port": self.port, "format": "obey"}
        self.front, self.back, self.plain = (Endpoint("inet", place) for _ in range(3))
        self.routes = {"captive": {"listen": self.feed, "target": self.back}, "plain": {"listen": self.front, "target": self.plain}}
        self.daemon = Daemon(self.routes, settings=settings, **more)
        self.lines = b""

    def __enter__(self):
        self.ends = [self.back.listen(), self.plain.listen()]
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sender.connect(("127.0.0.1", self.port))
        try:
            self.daemon.__enter__()
        except BaseException:
            self._close()
            raise
        self.daemon.wrap = []  # what was run has become the daemon
        self.reader, _ = self.ends[0].accept()
        self.reader.settimeout(harness.PATIENCE)
        return self

    def __exit__(self, *error):
        try:
            return self.daemon.__exit__(*error)
        finally:
            self.reader.close()
            self._close()

    def _close(self):
        for sock in (*self.ends, self.sender):
            sock.close()

    def _fill(self, text):
        return text.format(keeper=self.daemon.keeper, place=self.place, program=harness.spliced())

    def tell(self, text):
        self.sender.send(self._fill(text).encode())

    def ask(self, text):
        """The errno of what was tried, 0 where it was done."""
        self.tell(text)
        while b"\n" not in self.lines:
            more = self.reader.recv(4096)
            assert more, "the route has ended"
            self.lines += more
        line, _, self.lines = self.lines.partition(b"\n")
        name, number = line.decode().split(" ", 1)
        assert name == text.split()[0]
        return int(number)

    def ask_all(self, texts):
        return {text: self.ask(text) for text in texts}

    def serves(self):
        """The other route carries."""
        with self.front.connect() as client:
            server, _ = self.ends[1].accept()
            with server:
                client.sendall(b"ping")
                assert server.recv(9) == b"ping"

    def sandbox(self):
        return self.daemon.status()["worker"]["sandbox"]


@pytest.fixture
def captive(place, monkeypatch):
    """The directory of plugins, with the family in it; and a file that is anybody's."""
    plugins = harness.copy_families(place, "captive")
    monkeypatch.setattr(programs, "plugin_dir", lambda: plugins)
    with open(os.path.join(place, "written"), "w", encoding="utf-8") as file:
        file.write("this")
    os.chmod(file.name, 0o666)
    return place


def landlock_abi():
    """0: this kernel has none."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(libc.syscall(444, None, ctypes.c_size_t(0), 1), 0)


def is_sanitized():
    with open(harness.spliced(), "rb") as file:
        return b"__asan_init" in file.read()


def is_filtered(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return "Seccomp:\t2\n" in file.read()


def need_filter(route):
    why = route.sandbox()["why"] or ""
    if not route.sandbox()["seccomp"]:
        assert "not built" in why, f"no filter, and no reason for that: {why}"
        raise harness.Skip("built without libseccomp")


def test_calls_are_refused(captive):
    with Captive(captive) as route:
        need_filter(route)
        assert set(route.ask_all(REFUSED).values()) == {errno.EPERM}, route.ask_all(REFUSED)
        assert route.ask("clone3") == errno.ENOSYS
        assert route.ask_all(ALLOWED) == dict.fromkeys(ALLOWED, 0)
        route.serves()


def test_files_are_shut(captive):
    if not landlock_abi():
        raise harness.Skip("no Landlock in this kernel")
    with Captive(captive) as route:
        assert route.sandbox()["landlock"]
        # A sanitizer reads the program to name lines of it.
        found = route.ask_all(text for text in SHUT if not (is_sanitized() and "program" in text))
        assert found == dict.fromkeys(found, errno.EACCES)
        assert os.path.exists(os.path.join(captive, "written")) and not os.path.exists(os.path.join(captive, "new"))
        route.serves()


@pytest.mark.parametrize("name", ["/proc/{}/ns/net", "{}/linked"])
def test_a_namespace_of_a_process(captive, name):
    """Landlock would not let the worker into it, and is left out."""
    if not landlock_abi() or os.geteuid() != 0:
        raise harness.Skip("no Landlock in this kernel, or not root")
    back, front = Endpoint("inet", captive), Endpoint("inet", captive)
    with Captive(captive) as route, back.listen() as listener:
        name = name.format(os.getpid() if "proc" in name else captive)
        if "linked" in name:
            os.symlink(f"/proc/{os.getpid()}/ns/net", name)
        target = {"family": "inet", "host": "127.0.0.1", "port": back.address[1], "netns": name}
        route.daemon.reload({**route.routes, "more": {"listen": front, "target": target}})
        with front.connect() as client:
            server, _ = listener.accept()
            with server:
                client.sendall(b"ping")
                assert server.recv(9) == b"ping"
        sandbox = route.sandbox()
        assert not sandbox["landlock"] and sandbox["why"] == "landlock: a route is in the network namespace of a process"
        assert route.ask("read {place}/written") == 0 and route.ask("setns") == errno.EBADF


def test_without_the_walls_all_of_it_is_done(captive):
    """It is the walls that refuse, and nothing else."""
    if os.geteuid() != 0:
        raise harness.Skip("root alone may do all of it")
    with Captive(captive, settings={"sandbox": "off"}) as route:
        sandbox = route.sandbox()
        assert (sandbox["seccomp"], sandbox["landlock"], sandbox["why"]) == (False, False, "daemon.sandbox is off")
        found = route.ask_all(text for text in REFUSED if "unlink" not in text)
        assert errno.EPERM not in found.values(), found
        found = route.ask_all(SHUT)
        assert set(found.values()) == {0}, found
        assert route.ask("unlink {place}/written") == 0 and not os.path.exists(os.path.join(captive, "written"))


@pytest.mark.parametrize("how, number", [("abort", signal.SIGABRT), ("crash", signal.SIGSEGV)])
def test_a_crash_is_what_it_was(captive, how, number):
    """A failed assertion ends the worker by SIGABRT, and the heir has the same walls."""
    if how == "crash" and is_sanitized():
        raise harness.Skip("a sanitizer turns it into an exit")
    with Captive(captive) as route:
        need_filter(route)
        before = route.daemon.worker
        route.tell(how)
        heir = route.daemon.worker_after(before)
        death = until("the death is told", lambda: (route.daemon.status() or {"worker": {"last_death": None}})["worker"]["last_death"])
        assert f"signal {int(number)} " in death["what"]
        route.serves()
        assert is_filtered(route.daemon.worker), f"the heir of {before}, {heir}"


def test_a_reload_brings_what_it_takes(captive):
    """The filter knows the socket families of the configuration: those of a new one are there with it."""
    wanted = "socket %d" % socket.AF_NETLINK
    sink = Endpoint("inet", captive)
    listen = {"family": "netlink", "protocol": "route", "groups": ["rule"], "format": "json"}
    with Captive(captive) as route, sink.listen():
        need_filter(route)
        assert route.ask(wanted) == errno.EPERM
        route.daemon.reload({**route.routes, "more": {"listen": listen, "target": sink}})
        assert route.ask(wanted) == 0


def test_a_unix_listener_that_leaves_takes_its_file(captive):
    """The keeper removes it: the worker could not."""
    front, back = Endpoint("unix", captive), Endpoint("inet", captive)
    with Captive(captive) as route:
        need_filter(route)
        route.daemon.reload({**route.routes, "more": {"listen": front, "target": back}})
        assert os.path.exists(front.address)
        route.daemon.reload(route.routes)
        until("the file is gone", lambda: not os.path.exists(front.address))


def test_a_reload_sets_and_takes_the_walls(captive):
    with Captive(captive) as route:
        need_filter(route)
        for value, expected in (("off", 0), ("auto", errno.EPERM)):
            route.daemon.settings["sandbox"] = value
            route.daemon.reload(route.routes)
            assert route.ask("fork") == expected


def test_a_target_of_a_family_that_was_not_there(captive):
    """The first configuration knows nothing of IPv6, whose sockets the filter then refuses; the second connects by it."""
    try:
        back = Endpoint("inet6", captive)
        listener = back.listen()
    except OSError as error:
        raise harness.Skip(f"no IPv6 here: {error}") from error
    front = Endpoint("inet", captive)
    with listener, Captive(captive) as route:
        need_filter(route)
        assert route.ask(f"socket {int(socket.AF_INET6)}") == errno.EPERM
        route.daemon.reload({**route.routes, "more": {"listen": front, "target": back}})
        with front.connect() as client:
            server, _ = listener.accept()
            with server:
                client.sendall(b"ping")
                assert server.recv(9) == b"ping"


# Runs the rest of its arguments where these calls fail: seccomp(2) by its other name, too.
OUTSIDE = """
import ctypes, os, sys
class Condition(ctypes.Structure):
    _fields_ = [("argument", ctypes.c_uint), ("is", ctypes.c_int), ("value", ctypes.c_uint64), ("other", ctypes.c_uint64)]
lib = ctypes.CDLL("libseccomp.so.2")
lib.seccomp_init.restype = ctypes.c_void_p
ALLOW, EPERM, EQUAL, PR_SET_SECCOMP = 0x7fff0000, 0x00050001, 4, 22
context = ctypes.c_void_p(lib.seccomp_init(ALLOW))
def refuse(name, *conditions):
    number = lib.seccomp_syscall_resolve_name(name.encode())
    assert number != -1
    array = (Condition * max(len(conditions), 1))(*conditions)
    assert lib.seccomp_rule_add_array(context, EPERM, number, len(conditions), array) == 0
refuse(sys.argv[1])
if sys.argv[1] == "seccomp":
    refuse("prctl", Condition(0, EQUAL, PR_SET_SECCOMP, 0))
assert lib.seccomp_load(context) == 0
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.parametrize("call, wall", [("seccomp", "seccomp"), ("landlock_restrict_self", "landlock"), ("landlock_create_ruleset", "landlock")])
def test_what_is_refused_from_outside_is_told(captive, call, wall):
    """As where a container's filter refuses it: one warning, however many workers there are, and it runs on."""
    if wall == "landlock" and not landlock_abi():
        raise harness.Skip("no Landlock in this kernel")
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise harness.Skip(f"no libseccomp here: {error}") from error
    route = Captive(captive, wrap=[sys.executable, "-c", OUTSIDE, call])
    with route:
        if wall == "seccomp" and "not built" in (route.sandbox()["why"] or ""):
            raise harness.Skip("built without libseccomp")
        for _ in range(2):
            sandbox = route.sandbox()
            assert not sandbox[wall] and f"{wall}: {os.strerror(errno.EPERM)}" in sandbox["why"]
            before = route.daemon.worker
            os.kill(before, signal.SIGKILL)
            route.daemon.worker_after(before)
            route.serves()
        warning = {"seccomp": "a system call filter", "landlock": "Landlock"}[wall]
        assert route.daemon.log().count(f"the worker runs without {warning}: {os.strerror(errno.EPERM)}") == 1


def test_alone_there_are_no_walls(captive, monkeypatch):
    monkeypatch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
    with Captive(captive, single=True, unrest="its keeper and its worker are one process") as route:
        sandbox = route.sandbox()
        assert (sandbox["seccomp"], sandbox["landlock"]) == (False, False) and "--single" in sandbox["why"]
