# SPDX-License-Identifier: LGPL-2.1-or-later
"""Calls of the worker's that fail, or are held up."""

import os
import shutil
import subprocess

import waiting


class Injected:
    """What strace makes of the worker's calls while the block lasts: Injected(daemon, "accept4", "error=EMFILE:when=1+").
    thread: of that thread alone; more: of other calls, as strace's inject= says it. calls() counts those that were made to fail, or
    were held up."""

    def __init__(self, daemon, call, what, thread=None, more=()):
        if not shutil.which("strace"):
            raise waiting.Skip("no strace")
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
            raise waiting.Skip(f"strace cannot attach here: {line.strip()}")
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
