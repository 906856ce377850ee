# SPDX-License-Identifier: LGPL-2.1-or-later
"""A network namespace of our own, in which the calling thread and whatever it starts then live."""

import ctypes
import os
import subprocess

import harness

CLONE_NEWNET = 0x40000000


class Namespace:
    """with Namespace(): … ; lo is up in it."""

    def __init__(self):
        self.before = None

    def __enter__(self):
        self.before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET):
            error = ctypes.get_errno()
            os.close(self.before)
            raise harness.Skip(f"no network namespace of our own: {os.strerror(error)}")
        ip("link", "set", "lo", "up")
        return self

    def leave(self):
        ctypes.CDLL(None).setns(self.before, CLONE_NEWNET)

    def __exit__(self, *exception):
        self.leave()
        os.close(self.before)


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def ip_batch(lines):
    """Many changes by one ip(8)."""
    subprocess.run(["ip", "-force", "-batch", "-"], input="\n".join(lines) + "\n", check=True, capture_output=True,
                   text=True)
