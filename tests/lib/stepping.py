# SPDX-License-Identifier: LGPL-2.1-or-later
"""A worker's thread that is run instruction by instruction, to die at each moment at which an heir would find something else.

    with Stepper(daemon, thread=0) as stepper:     it stands still, in front of a turn
        ...                                        what the turn is to handle
        known = stepper.run(known, over)           one moment further than before
        stepper.kill()

A moment is behind each system call, and behind each instruction that changes what the ledger says of messages.
"""

import ctypes
import errno
import os
import platform
import signal
import struct

import harness
from scribbling import SECTIONS, Ledger

SINGLESTEP, GETREGS, DETACH, SYSCALL, SEIZE, INTERRUPT = 9, 12, 17, 24, 0x4206, 0x4207
WALL = 0x40000000  # __WALL: threads too
REGISTERS, RAX, RIP = 27 * 8, 10 * 8, 16 * 8
SYSCALL_CODE = b"\x0f\x05"
EPOLL_WAITS = (232, 281, 441)
RECORDS = {"flows": 8, "counters": 1}  # that are looked at

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
libc.ptrace.restype = ctypes.c_long


def ptrace(request, tid, data=None):
    if libc.ptrace(request, tid, None, data) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace: {os.strerror(ctypes.get_errno())}")


class Stepper:
    def __init__(self, daemon, thread=0):
        if platform.machine() != "x86_64":
            raise harness.Skip("it knows the registers of x86-64 only")
        with open(f"/proc/{daemon.worker}/maps", encoding="utf-8") as maps:
            if "libasan" in maps.read():
                raise harness.Skip("a turn has too many instructions with sanitizers")
        ledger = Ledger.of(daemon.keeper)
        self.memory, self.ranges = ledger.memory, []
        for name, count in RECORDS.items():
            _, _, stride, _, offset = ledger.sections[list(SECTIONS).index(name)]
            self.ranges.append(slice(offset, offset + count * stride))
        self.keeper = daemon.keeper
        self.worker, self.tid = daemon.worker, daemon.thread(thread)
        self.code, self.calls = {}, []
        self.registers = ctypes.create_string_buffer(REGISTERS)

    def __enter__(self):
        self.before = signal.signal(signal.SIGALRM, self._too_long)
        try:
            ptrace(SEIZE, self.tid)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.ENOSYS):
                raise harness.Skip(f"no ptrace here: {error}") from error
            raise
        self.text = os.open(f"/proc/{self.worker}/mem", os.O_RDONLY)
        os.kill(self.keeper, signal.SIGSTOP)  # who would take it for hung
        ptrace(INTERRUPT, self.tid)
        self._wait()
        return self

    def _wait(self):
        pid, status = os.waitpid(self.tid, WALL | os.WNOHANG)
        if not pid:
            signal.alarm(int(harness.PATIENCE))  # nothing else ends a wait for a thread that has nothing to do
            _, status = os.waitpid(self.tid, WALL)
            signal.alarm(0)
        assert os.WIFSTOPPED(status), f"the thread has ended: {status:#x}"
        return os.WSTOPSIG(status)

    def _next(self):
        """The number of the system call that the next instruction makes, or None."""
        ptrace(GETREGS, self.tid, ctypes.addressof(self.registers))
        at = struct.unpack_from("<Q", self.registers, RIP)[0]
        if at not in self.code:
            self.code[at] = os.pread(self.text, 2, at) == SYSCALL_CODE
        return struct.unpack_from("<Q", self.registers, RAX)[0] if self.code[at] else None

    def _records(self):
        return b"".join([self.memory[one] for one in self.ranges])

    def _pass_by(self, known):
        """What is behind the last system call of the moments that are known comes next."""
        while known and known[-1] is None:
            known = known[:-1]
        for _ in range(2 * sum(one is not None for one in known)):  # into it, and out of it
            ptrace(SYSCALL, self.tid)
            self._wait()
        self.calls = list(known)

    def run(self, known, over):
        """Into the turn, which the thread waits for, one moment further than those that are known; None if it is over() before, which is
        asked between turns. The moments that are known then: of each the system call, None of a change."""
        self._pass_by(known)
        before = self._records()
        while len(self.calls) <= len(known):
            call = self._next()
            if call in EPOLL_WAITS and over():
                return None
            ptrace(SINGLESTEP, self.tid)
            self._wait()
            now = self._records()
            if call is not None or now != before:
                self.calls.append(call)
            before = now
        return self.calls

    def kill(self):
        os.kill(self.worker, signal.SIGKILL)
        while self.tid and os.WIFSTOPPED(os.waitpid(self.tid, WALL)[1]):
            pass
        self.tid = None

    def _too_long(self, *_):
        raise AssertionError(f"the thread waits for something, after the calls {self.calls}")

    def __exit__(self, *exception):
        signal.alarm(0)
        signal.signal(signal.SIGALRM, self.before)
        os.kill(self.keeper, signal.SIGCONT)
        os.close(self.text)
        if exception[0] and self.tid:
            self.kill()
        elif self.tid:
            ptrace(DETACH, self.tid)
