# SPDX-License-Identifier: LGPL-2.1-or-later
"""The worker dies at each moment of a turn that moves messages. `crash` counts each message that it took and nobody got, and no other."""

import os
import select
import struct

import pytest

import harness
from harness import Daemon, until
from messages import End, Wire, route
from stepping import Stepper

SETTINGS = {"workers": 1, "log": {"to": "stderr", "level": "warning"}}
MOMENTS = 400  # in one turn, at most
SIZE = 2000    # bytes in a message that fills a socket
FRAMED = {"tcp4", "unix"}
PATIENT = {"attempts": 100000, "backoff": "50ms", "max_backoff": "50ms", "total": "1h"}


def url(end):
    return f"{end}?framing=length16&sndbuf=4608" if end.kind in FRAMED else str(end)


class Course:
    """A route, numbered messages by one direction of it, and how many of them came."""

    def __init__(self, place, front, back, to_client=False, **options):
        self.front, self.back = End(front, place), End(back, place)
        self.listener = None
        self.daemon = Daemon({"r": {"listen": url(self.front), "target": url(self.back), **options}}, SETTINGS)
        self.to_client, self.said, self.heard, self.bytes = to_client, 0, set(), b""
        self.client = self.server = None
        self.met = False

    def __enter__(self):
        self.daemon.__enter__()
        return self

    def __exit__(self, *exception):
        for one in (self.client, self.server, self.listener):
            if one:
                one.close()
        self.daemon.__exit__(*exception)

    def serve(self):
        self.listener = self.back.server()
        self.listener.settimeout(harness.PATIENCE)

    def accept(self):
        self.server = Wire(self.back.kind, self.listener if self.back.is_datagram else self.listener.accept()[0])

    def meet(self):
        """Both ends have a session, by a message from the client."""
        self.met = True
        self.serve()
        self.client = self.front.client()
        self.client.say(b"hello")
        self.accept()
        if self.back.is_datagram:
            hello, peer = self.listener.recvfrom(100)
            self.listener.connect(peer)
        else:
            hello = self.server.hear()
        assert hello == b"hello"
        until("it is counted", lambda: not self.counts()["waiting"] and self.received() == sum(self.counts()["messages"].values()) == 1)

    @property
    def source(self):
        return self.server if self.to_client else self.client

    @property
    def sink(self):
        return self.client if self.to_client else self.server

    def say(self, count=1, size=0):
        for _ in range(count):
            self.source.say((b"%d" % self.said).ljust(size))
            self.said += 1

    def hear(self):
        """What there is."""
        while select.select([self.sink.sock], [], [], 0)[0] and (data := self.sink.sock.recv(1 << 16)):
            if self.sink.kind not in FRAMED:
                self.heard.add(int(data))
                continue
            self.bytes += data
            while len(self.bytes) >= 2 and len(self.bytes) >= (end := 2 + struct.unpack_from(">H", self.bytes)[0]):
                self.heard.add(int(self.bytes[2:end]))
                self.bytes = self.bytes[end:]

    def hear_all(self):
        """Until the newest, which nothing befell, has come."""
        self.say()
        until("the newest comes", lambda: self.hear() or self.said - 1 in self.heard)

    def counts(self):
        return route(self.daemon, "r")

    def moved(self):
        counts = self.counts()
        return [counts[one] for one in ("received", "messages", "waiting", "dropped")]

    def received(self):
        return sum(self.counts()["received"].values())

    def check(self, known):
        def settled():
            counts = self.counts()
            received = sum(counts["received"].values())
            self.hear()
            return counts if not counts["waiting"] and received >= len(self.heard) and \
                sum(counts["messages"].values()) + sum(counts["dropped"].values()) == received else None

        counts = until("it adds up", settled)
        lost = self.said - len(self.heard)
        other = "from_client" if self.to_client else "from_target"
        assert counts["received"][other] == (self.met and self.to_client), f"{counts}, dead behind {known}"
        assert counts["dropped"].get("crash", 0) == lost and counts["dropped"].keys() <= {"crash"}, \
            f"{lost} lost, {counts}, dead behind {known}"


def each_moment(course, prepare, happen, settle):
    """The worker dies at each moment until what happens has moved a message."""
    known = []
    while len(known) < MOMENTS:
        prepare()
        worker, before = course.daemon.worker, course.moved()
        with Stepper(course.daemon) as stepper:
            happen()
            now = stepper.run(known, lambda before=before: course.moved() != before)
            if now is None:
                break
            stepper.kill()
            known = now
        course.daemon.worker_after(worker)
        settle()
        course.check(known)
    assert 3 < len(known) < MOMENTS, known
    print(f"{len(known)} moments")


def ends(text):
    """front-back, and the direction that messages take."""
    front, way, back = text.split(" ")
    return front, back, way == "<"


@pytest.mark.parametrize("way", (
    "unix-seqpacket > unix-seqpacket", "unix-dgram < unix-dgram", "unix-seqpacket > unix", "unix < unix-seqpacket",
    "unix > unix-seqpacket", "unix-dgram < unix", "unix-seqpacket > udp4", "udp4 < unix-seqpacket"))
def test_messages_in_hand(place, way):
    """They are peeked at, sent and consumed."""
    with Course(place, *ends(way)) as course:
        course.meet()
        each_moment(course, lambda: None, course.say, course.hear_all)


@pytest.mark.parametrize("way", ("unix-seqpacket > unix", "unix < unix-seqpacket", "unix-dgram > unix", "udp4 > unix", "unix < udp4"))
def test_frames_behind_a_full_socket(place, way):
    """They wait in a pipe, out of their queue, and go on."""
    def fill():
        while not course.counts()["waiting"]:
            before = course.received()
            course.say(1, SIZE)
            until("they have come, as far as there is room", lambda: course.counts()["waiting"] or course.received() == before + 1)
        until("nothing moves", lambda: harness.process_state(course.daemon.thread(0)) == "S")

    with Course(place, *ends(way)) as course:
        course.meet()
        each_moment(course, fill, course.hear, course.hear_all)


@pytest.mark.parametrize("way", ("udp4 > udp4", "udp4 < udp4", "udp4 > unix-seqpacket", "udp4 > unix"))
def test_a_batch_in_hand(place, way):
    """It is out of the socket's queue, and nowhere else."""
    with Course(place, *ends(way)) as course:
        course.meet()
        each_moment(course, lambda: None, lambda: course.say(3), course.hear_all)


def test_a_batch_in_hand_of_those_that_are_not_answered(place):
    with Course(place, "udp4", "udp4", replies=0) as course:
        course.meet()
        each_moment(course, lambda: None, lambda: course.say(3), course.hear_all)


class TestWaitingForATarget:
    def each(self, course, happen):
        """Of a new session, whose target is not there yet."""
        def begin():
            for one in (course.client, course.server, course.listener):
                if one:
                    one.close()
            course.bytes = b""
            if os.path.exists(course.back.path):
                os.unlink(course.back.path)
            until("the last has ended", lambda: not course.daemon.sessions())
            course.client = course.front.client()
            if happen == course.serve:
                with course.daemon.worker_held():
                    course.say(3)
                until("they wait", lambda: course.counts()["waiting"] == 3)

        def settle():
            if happen != course.serve:
                course.serve()
            if not course.daemon.sessions():
                course.say()
            course.accept()
            until("they have it", lambda: not course.counts()["waiting"])
            course.hear_all()

        with course:
            each_moment(course, begin, happen, settle)

    def test_they_begin_to(self, place):
        course = Course(place, "udp4", "unix-seqpacket", retry=PATIENT)
        self.each(course, lambda: course.say(3))

    @pytest.mark.parametrize("back", ("unix-seqpacket", "unix"))
    def test_they_have_it(self, place, back):
        course = Course(place, "udp4", back, retry=PATIENT)
        self.each(course, course.serve)
