# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whoever may write to a directory can put something else in the place of our socket's file at any moment, between any two system calls.
Nothing of his is changed or removed."""

import os
import shutil
import socket
import stat
import subprocess

import pytest

import harness
from harness import Daemon, Endpoint, until

HELD_UP_US = 200000
PRECIOUS = b"precious"
ROOT = os.geteuid() == 0


def bind(path, kind=socket.SOCK_STREAM):
    one = socket.socket(socket.AF_UNIX, kind)
    one.bind(path)
    if kind != socket.SOCK_DGRAM:
        one.listen(1)
    return one


class Theirs:
    """What stands in the place of our file."""

    def __init__(self, kind, path, place):
        self.path, self.kept = path, []
        ours = os.lstat(path)
        os.unlink(path)
        if kind == "file":
            with open(path, "wb") as file:
                file.write(PRECIOUS)
        elif kind == "directory":
            os.mkdir(path)
        elif kind == "link":
            other = os.path.join(place, "other")
            self.kept.append(bind(other))
            os.symlink(other, path)
        elif kind == "ours":  # another socket of the daemon's own
            os.rename(os.path.join(place, "another"), path)
        else:
            self.kept.append(bind(path, socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM))
            if kind == "dead":
                self.kept.pop().close()
            os.chmod(path, 0o640)
            if ROOT:
                os.chown(path, 4321, 4321)
            if kind == "forged":  # all that can be set of a file
                os.utime(path, ns=(ours.st_atime_ns, ours.st_mtime_ns))
        self.before = self.look()

    def look(self):
        status = os.stat(self.path, follow_symlinks=False)
        return status.st_ino, status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns

    def is_untouched(self):
        assert os.path.lexists(self.path), "it was removed"
        assert self.look() == self.before
        left = os.listdir(os.path.dirname(self.path))
        assert not [name for name in left if name.startswith(os.path.basename(self.path) + ".")], left


def injected(place, call):
    if not shutil.which("strace"):
        raise harness.Skip("no strace")
    return ["strace", "-f", "-o", os.path.join(place, "strace"), "-e", f"trace={call}", "-e", f"inject={call}:delay_exit={HELD_UP_US}"]


def listens(front, **more):
    owner = {"owner": "1234", "group": "1234"} if ROOT else {}
    return {"family": "unix", "path": front.address, "mode": "0666", **owner, **more}


KINDS = ("stream", "forged", "datagram", "dead", "file", "directory", "link")


@pytest.mark.parametrize("kind", KINDS + ("ours",))
def test_after_bind(place, kind):
    """bind(2) has made the file; who takes its place then is neither marked, nor given away, nor opened to others."""
    front, back = Endpoint("unix", place), Endpoint("unix", place)
    routes = {"another": {"listen": {"family": "unix", "path": os.path.join(place, "another"), "mode": "0600"}, "target": back},
              "r": {"listen": listens(front), "target": back}}
    daemon = Daemon(routes, wrap=injected(place, "bind"), wait=False)
    try:
        daemon.start()
        until("it is bound", lambda: os.path.lexists(front.address))
        theirs = Theirs(kind, front.address, place)
        assert daemon.process.wait(harness.PATIENCE) != 0, daemon.log()
        assert "then replaced by another file" in daemon.log()
        if kind != "ours":
            theirs.is_untouched()
        elif os.path.lexists(front.address):  # the start was refused, and took it back
            assert stat.S_IMODE(os.lstat(front.address).st_mode) == 0o600
    finally:
        daemon.kill()


@pytest.mark.parametrize("change,kind", [("stop", kind) for kind in KINDS] +
                         [(change, kind) for change in ("away", "mode") for kind in ("forged", "datagram", "file")])
def test_while_it_listens(place, change, kind):
    """Neither the end, nor a reload that takes the route away, or changes the file's mode."""
    front, back = Endpoint("unix", place), Endpoint("unix", place)
    other = {"listen": Endpoint("unix", place), "target": back}
    with Daemon({"r": {"listen": listens(front), "target": back}, "other": other}) as daemon:
        theirs = Theirs(kind, front.address, place)
        if change == "away":
            daemon.reload({"other": other})
            until("it has left", lambda: len(daemon.ctl("listeners")["listeners"]) == 1)
        elif change == "mode":
            daemon.write({"r": {"listen": listens(front, mode="0600"), "target": back}, "other": other})
            daemon.ctl("reload", status=None)
        if change != "stop" and kind != "dead":
            theirs.is_untouched()
    if kind != "dead":  # `unlink` is about those, too
        theirs.is_untouched()


def test_without_netlink(place):
    """The kernel does not tell: what is ours is set up and removed all the same, and another user's is not touched."""
    front, back = Endpoint("unix", place), Endpoint("unix", place)
    program = os.path.join(place, "no-netlink")
    source = program + ".c"
    with open(source, "w", encoding="utf-8") as file:
        file.write(FILTER)
    if subprocess.run([os.environ.get("CC", "cc").split()[0], "-o", program, source], check=False).returncode:
        raise harness.Skip("no compiler here")
    with Daemon({"r": {"listen": listens(front), "target": back}}, wrap=[program]) as daemon:
        assert stat.S_IMODE(os.stat(front.address).st_mode) == 0o666
        if ROOT:
            assert os.stat(front.address).st_uid == 1234
        daemon.wrap = []
    assert not os.path.lexists(front.address)
    with Daemon({"r": {"listen": listens(front), "target": back}}, wrap=[program]) as daemon:
        theirs = Theirs("stream", front.address, place)
        daemon.wrap = []
    theirs.is_untouched()


# As RestrictAddressFamilies= of a unit does it.
FILTER = r"""
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **words)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof code / sizeof *code, code};

	(void)count;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return 77;
	execv(words[1], words + 1);
	return 77;
}
"""
