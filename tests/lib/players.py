# SPDX-License-Identifier: LGPL-2.1-or-later
"""The peers tool: servers and clients that check each byte."""

import json
import subprocess

import programs
from waiting import PATIENCE


class Serve:
    """`peers serve` on some endpoints, as a block. `count` holds what it counted once it is left."""

    def __init__(self, *endpoints, threads=64):
        self.command = [programs.peers(), "serve", "--threads", str(threads), *map(str, endpoints)]
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
        self.process = subprocess.Popen([programs.peers(), *map(str, words)], stdout=subprocess.PIPE, text=True)

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
