# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is promised, as a table: what happens to the service, and what traffic of each kind notices of it. All kinds flow at once, while
it happens some times over; then each cell is judged. Reliable datagrams of TIPC take a kernel that has it: tests/vm/test_meeting.py."""

import collections
import os
import signal
import socket
import time

import pytest

import harness
import service
import traffic
from harness import until
from messages import End
from service import Service

BY_HAND = (("hold", "aside"), ("drain", "aside/one"), ("weight", "aside/two", "5"))
SET = {"aside": ("held", None), "aside/one": ("drained", None), "aside/two": (None, 5)}
STORED = "2"  # a lifeboat, and what was set by hand
BATCH = 64  # messages that a thread has in hand of what may be lost


# ---- what is promised ----


def nothing(flow, _course):
    """Nothing is lost, nothing comes twice, and all is in order."""
    flow.nothing_lost()


def one_twice(flow, course):
    """None is lost; the one in hand may come twice."""
    flow.at_most(missing=0, repeats=course.deaths)


def batch_lost(flow, course):
    """What was taken out of the socket and not yet sent may be lost; none comes twice."""
    flow.at_most(missing=BATCH * course.deaths, repeats=0)


def batch_twice(flow, course):
    """What is in a ring stays there until it has been sent: none is lost."""
    flow.at_most(missing=0, repeats=BATCH * course.deaths)


def said(flow, course):
    """Each change is told; or that some are lost, and then all that there is."""
    flow.lost_is_said_and_healed(course.deaths)


def anew(flow, course):
    """The session ends; the listener is back at once for whoever comes next."""
    flow.ended()
    assert course.back < harness.PATIENCE
    course.again[flow.name].nothing_lost()


def goes_on(flow, _course):
    """What was sent meanwhile is lost; nobody needs to come again."""
    flow.goes_on()


KINDS = "stream", "seqpacket", "unix-dgram", "udp", "packet", "netlink"
TABLE = {
    "reload":         (nothing, nothing, nothing, nothing, nothing, nothing),
    "upgrade":        (nothing, nothing, nothing, nothing, nothing, nothing),
    "restart":        (nothing, nothing, nothing, nothing, nothing, nothing),
    "worker-killed":  (nothing, one_twice, one_twice, batch_lost, batch_twice, said),
    "worker-crashed": (nothing, one_twice, one_twice, batch_lost, batch_twice, said),
    "worker-hung":    (nothing, one_twice, one_twice, batch_lost, batch_twice, said),
    "keeper-killed":  (anew, anew, anew, goes_on, goes_on, anew),
    "group-killed":   (anew, anew, anew, goes_on, goes_on, anew),
}

# How often; what that makes the keeper start workers for; whether it is the same keeper then; how often systemd started it again.
Event = collections.namedtuple("Event", "times starts same_keeper restarts")
EVENTS = {
    "reload": Event(5, {"reload": 5}, True, 0),
    "upgrade": Event(3, {"upgrade": 3}, True, 0),
    "restart": Event(3, {"upgrade": 3}, False, 0),
    "worker-killed": Event(25, {"crash": 25}, True, 0),
    "worker-crashed": Event(1, {"crash": 2}, True, 0),
    "worker-hung": Event(1, {"hang": 1}, True, 0),
    "keeper-killed": Event(1, {}, False, 1),
    "group-killed": Event(1, {}, False, 1),
}


# ---- what happens ----


class Course:
    """The service with traffic of all kinds, and what happens to it."""

    def __init__(self, name):
        self.name, self.event = name, EVENTS[name]
        self.flows, self.again = traffic.flows(), {}
        self.poison, other = End("tcp4"), End("tcp4")
        deadly = {"family": "crashy", "host": "127.0.0.66", "port": 66, "crash": "connect"}
        self.routes = {"poison": {"listen": str(self.poison), "target": deadly}}
        for flow in self.flows.values():
            self.routes.update(flow.routes())
        ends = ({"family": "inet", "host": "127.0.0.66", "port": 66, "name": name} for name in ("one", "two"))
        self.routes["aside"] = {"listen": str(End("tcp4")), "target": tuple(ends)}
        self.more = {**self.routes, "other": {"listen": str(other), "target": str(End("tcp4"))}}
        self.service = Service(self.routes)
        self.turn, self.keepers, self.starts, self.status, self.restarts = 0, [], {}, None, None
        self.struck = self.back = None

    @property
    def deaths(self):
        return self.starts.get("crash", 0) + self.starts.get("hang", 0)

    def run(self):
        with self.service:
            for words in BY_HAND:
                self.service.ctl(*words)
            before = self._look()
            for flow in self.flows.values():
                flow.start()
            for self.turn in range(self.event.times):
                self._traffic_flows()
                getattr(self, self.name.replace("-", "_"))()
            self._traffic_flows()
            if self.event.restarts:
                self._come_again()
            for kind, flow in self.flows.items():
                if kind not in self.again:
                    flow.finish()
            after = self._look()
            self.starts = {reason: count - before[reason] for reason, count in after.items() if count != before[reason]}
            self.restarts = int(self.service.show("NRestarts"))
            until("nothing is left with systemd", lambda: self.service.show("NFileDescriptorStore") == STORED)
        return self

    def _look(self):
        self.keepers.append(self.service.keeper)
        self.status = self.service.status()
        return self.status["worker"]["starts"]

    def _traffic_flows(self):
        counts = {kind: flow.count for kind, flow in self.flows.items()}
        until("traffic of all kinds flows, where it has not ended",
              lambda: all(flow.broken or flow.count >= counts[kind] + 20 for kind, flow in self.flows.items()), traffic.PATIENCE)

    def _come_again(self):
        ended = {kind: flow for kind, flow in self.flows.items() if TABLE[self.name][KINDS.index(kind)] is anew}
        until("what ends has ended", lambda: all(flow.broken for flow in ended.values()), traffic.PATIENCE)
        for flow in ended.values():
            flow.finish()
        self.again = {kind: flow.again().start() for kind, flow in ended.items()}
        until("traffic flows again", lambda: all(flow.broken or flow.count > 20 for flow in self.again.values()), traffic.PATIENCE)
        self.back = time.monotonic() - self.struck
        for flow in self.again.values():
            flow.finish()

    # -- each of them --

    def reload(self):
        """To another configuration each time."""
        self.service.write(self.routes if self.turn % 2 else self.more)
        self.service.systemctl("reload")

    def upgrade(self):
        done = self.service.ctl("upgrade")
        assert done.returncode == 0, done

    def restart(self):
        self.service.systemctl("restart")

    def _strike(self, number):
        worker = self.service.worker
        os.kill(worker, number)
        until("another worker is there", lambda: self.service.worker != worker, traffic.PATIENCE)

    def worker_killed(self):
        self._strike(signal.SIGKILL)

    def worker_hung(self):
        self._strike(signal.SIGSTOP)

    def worker_crashed(self):
        """By its own making, twice over: then the session that makes it is given up."""
        with socket.create_connection(self.poison.address, timeout=traffic.PATIENCE) as client:
            with pytest.raises(ConnectionResetError):
                client.recv(1)

    def _end(self, strike):
        keeper = self.service.keeper
        strike(keeper)
        self.struck = time.monotonic()
        until("another keeper serves", lambda: self.service.show("ActiveState") == "active" and self.service.keeper not in (0, keeper))

    def keeper_killed(self):
        self._end(lambda keeper: os.kill(keeper, signal.SIGKILL))

    def group_killed(self):
        self._end(lambda keeper: self.service.systemctl("kill", "--kill-whom=all", "--signal=KILL"))


@pytest.fixture(scope="module", autouse=True)
def installed():
    service.install()
    harness.compile_crashy(service.PLUGINS)
    yield
    os.unlink(os.path.join(service.PLUGINS, "crashy.so"))


@pytest.fixture(scope="module", params=TABLE)
def course(request):
    with traffic.furnished():
        yield Course(request.param).run()


@pytest.mark.parametrize("kind", KINDS)
def test_promise(course, kind):
    TABLE[course.name][KINDS.index(kind)](course.flows[kind], course)


def test_it_happened(course):
    """As often as it was made to, and no worker died besides. A new program reads its file once more."""
    expected = {"crash": 0, "hang": 0, **course.event.starts}
    assert {reason: course.starts.get(reason, 0) for reason in expected} == expected, course.status
    assert (course.keepers[0] == course.keepers[-1]) == course.event.same_keeper
    assert course.restarts == course.event.restarts
    assert course.status["audit_failures"] == 0 and not course.status["degraded"], course.status


def test_by_hand(course):
    """What an operator has set is valid, whatever happened."""
    assert {one["name"]: (one["state"], one["weight"]) for one in course.status["hand"]} == SET
