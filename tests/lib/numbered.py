# SPDX-License-Identifier: LGPL-2.1-or-later
"""Numbered messages of random sizes, and who takes them: in order, or as they come."""

import errno
import random
import select
import socket
import struct
import threading

NUMBERED = 8  # bytes from which on a message says its number and its length
GLANCE = 0.1  # seconds; nothing wakes who waits for datagrams


class Messages:
    """What message number N is: the same on both sides, without keeping them all. least, most: bytes in one."""

    def __init__(self, seed, least=0, most=65536):
        choose = random.Random(seed)
        draws = (lambda: least, lambda: choose.randint(least, min(least + 200, most)), lambda: choose.randint(least, most))
        self.sizes = [choose.choice(draws)() for _ in range(9973)]
        self.bytes = choose.randbytes(1 << 18)

    def size(self, number):
        return self.sizes[number % len(self.sizes)]

    def __getitem__(self, number):
        size = self.size(number)
        if size < NUMBERED:
            return self.bytes[number % 1000:][:size]
        start = number % 100000
        return struct.pack("<II", number, size) + self.bytes[start:start + size - NUMBERED]

    def number_of(self, data):
        """Of one that is large enough to say it; None where it is cut, or not what it was."""
        number = struct.unpack_from("<I", data)[0] if len(data) >= NUMBERED else None
        return number if number is not None and self[number] == data else None


class Receiver(threading.Thread):
    """Takes messages from what open_wire() returns, up to a number of them, until something is wrong with one, or its end.
    answers: says each of them again. `position` is the next that is expected; `ending` tells how it ended."""

    def __init__(self, open_wire, messages, count=None, answers=False):
        super().__init__(daemon=True)
        self.open_wire, self.messages, self.count, self.answers = open_wire, messages, count, answers
        self.wire = None
        self.position = self.repeats = self.missing = self.refused = 0
        self.wrong = self.ending = None
        self.over = threading.Event()
        self.moved = threading.Event()

    def take(self, data):
        raise NotImplementedError

    def _next(self):
        """Whether there was a message."""
        if self.is_datagram() and not select.select([self.wire.sock], [], [], GLANCE)[0]:
            return not self.over.is_set()
        try:
            data = self.wire.hear()
        except ConnectionRefusedError:
            if not self.is_datagram():
                raise
            self.refused += 1
            return True
        if data is None:
            self.ending = "end"
            return False
        self.take(data)
        self.moved.set()
        if self.answers:
            self.wire.say(data)
        return True

    def run(self):
        try:
            self.wire = self.open_wire()
            while not self.wrong and self.position != self.count and self._next():
                pass
        except (TimeoutError, socket.timeout):
            self.ending = "timeout"
        except OSError as error:
            self.ending = errno.errorcode.get(error.errno, str(error))
        except AssertionError as error:  # the end within a frame
            self.ending = str(error)

    def is_datagram(self):
        return self.wire.sock.type in (socket.SOCK_DGRAM, socket.SOCK_RAW)

    def stop(self):
        self.over.set()
        if self.wire and not self.is_datagram():
            try:
                self.wire.sock.shutdown(socket.SHUT_RDWR)  # wakes it
            except OSError:
                pass
        self.join()
        if self.wire:
            self.wire.close()


class InOrder(Receiver):
    """Takes the next, or the last once more."""

    def take(self, data):
        if data == self.messages[self.position]:
            self.position += 1
        elif self.position and data == self.messages[self.position - 1]:
            self.repeats += 1
        else:
            self.wrong = f"message {self.position} of {self.messages.size(self.position)} bytes: got {len(data)} bytes, {data[:NUMBERED]!r}"


class AsTheyCome(Receiver):
    """Takes what says its number: none may be cut, changed, or overtaken; some may be missing, or come twice."""

    def take(self, data):
        number = self.messages.number_of(data)
        if number is None:
            self.wrong = f"behind message {self.position - 1}: {len(data)} bytes that nobody sent, {data[:NUMBERED]!r}"
        elif number < self.position:
            self.repeats += 1
        else:
            self.missing += number - self.position
            self.position = number + 1
