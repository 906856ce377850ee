# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whoever follows a feed of netlink route as JSON, and what ip(8) says of the same."""

import json
import subprocess
import threading


def from_ip(*words):
    done = subprocess.run(["ip", "-json", *words], check=True, capture_output=True, text=True)
    return json.loads(done.stdout or "[]")


def addresses():
    return [dict(address, ifindex=link["ifindex"], ifname=link["ifname"])
            for link in from_ip("addr") for address in link["addr_info"]]


def key_of(kind, event):
    if kind == "link":
        return event["ifindex"]
    if kind == "address":
        return event["ifindex"], event["local"], event["prefixlen"], event.get("address")
    if kind == "neighbour":
        return event.get("dst"), event.get("dev"), "proxy" in event
    return tuple(str(event.get(key)) for key in ("family", "table", "dst", "type", "metric", "dev", "gateway", "tos",
                                                 "nexthops"))


class Follower(threading.Thread):
    """Keeps the state that the events tell of, and counts them. watch(name, kind, event) sees each."""

    def __init__(self, sock, watch=None):
        super().__init__(daemon=True)
        self.file = sock.makefile("rb")
        self.sock = sock
        self.watch = watch
        self.state = {}
        self.counts = {}
        self.reasons = []
        self.ends = 0
        self.ended = False
        self.wrong = None
        self.start()

    def run(self):
        try:
            for line in self.file:
                if line.endswith(b"\n"):  # else the end cut it
                    self.take(json.loads(line))
        except OSError:
            pass
        except (ValueError, KeyError, AssertionError) as error:
            self.wrong = repr(error)
        self.ended = True

    def take(self, event):
        name, kind = event.pop("event"), event.pop("kind")
        assert event.pop("time").endswith("Z")
        if name == "lost":
            self.reasons.append(event["reason"])
            self.state = {}
        elif name in ("snapshot", "new"):
            self.state[kind, key_of(kind, event)] = event
        elif name == "del":
            self.state.pop((kind, key_of(kind, event)), None)
        if self.watch:
            self.watch(name, kind, event)
        if name == "snapshot-end":
            self.ends += 1
        self.counts[name] = self.counts.get(name, 0) + 1

    def known(self, kind):
        return {key[1]: event for key, event in list(self.state.items()) if key[0] == kind}


def same(ours, theirs, kind, extra=()):
    """Every key that ip has, with its value; of ours, the extra ones may be more."""
    theirs = {key_of(kind, one): one for one in theirs}
    assert set(ours) == set(theirs), set(ours) ^ set(theirs)
    for key, one in theirs.items():
        known = {name: value for name, value in ours[key].items() if name not in extra}
        # A life time goes by between two looks.
        one = {name: value for name, value in one.items() if name not in extra}
        assert known == one, (known, one)
