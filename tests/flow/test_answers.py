# SPDX-License-Identifier: LGPL-2.1-or-later
"""What splicectl tells is whole: no row is missing because of a byte in it, and a route that there is not is no empty list."""

import os
import socket

from harness import Daemon, Endpoint, free_port, until


def test_rows_and_routes(place):
    """A client's address and a target's path are any bytes."""
    front = Endpoint("unix", place)
    routes = {"web": {"listen": front, "target": "unix://" + os.path.join(place, "back-%e9"), "title": "café"}}
    client = os.path.join(place, "client-\udcff\udcfe")
    with Daemon(routes) as daemon, socket.socket(socket.AF_UNIX) as target, socket.socket(socket.AF_UNIX) as peer:
        target.bind(os.path.join(place, "back-\udce9"))
        target.listen()
        peer.bind(client)
        peer.connect(front.address)
        until("the session is listed", daemon.sessions)
        session, = daemon.sessions()
        assert session["peer"] == os.path.join(place, "client-%FF%FE")
        until("it waits for nothing", lambda: daemon.sessions()[0]["waits_for"] is None)
        assert [one["title"] for one in daemon.ctl("routes")["routes"]] == ["café"]

        for name, told in (("wbe", 'there is no route "wbe"; did you mean "web"?'),
                           ("nosuch", 'there is no route "nosuch"; the routes are web')):
            answer = daemon.ctl("--route", name, "sessions", status=1)
            assert (answer["ok"], answer["error"]) == (False, told)

        # A route that is gone is one while a session of it lives.
        daemon.reload({"other": {"listen": Endpoint("unix", place), "target": Endpoint("unix", place)}})
        assert [one["id"] for one in daemon.ctl("sessions", "--route", "web")["sessions"]] == [session["id"]]
        assert daemon.ctl("routes")["routes"][0]["title"] is None
        peer.close()
        accepted = target.accept()[0]
        accepted.close()
        until("the session has ended", lambda: not daemon.sessions())


def test_a_target_that_answers_where_no_answer_is_expected():
    """The log tells it once."""
    port = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as target, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        target.bind(("127.0.0.1", 0))
        routes = {"logs": {"listen": f"udp4://127.0.0.1:{port}", "target": f"udp4://127.0.0.1:{target.getsockname()[1]}", "replies": 0}}
        with Daemon(routes, {"workers": 1}) as daemon:
            for number in range(3):
                client.sendto(b"x", ("127.0.0.1", port))
                target.sendto(b"thanks", target.recvfrom(100)[1])
                until("it is dropped", lambda: daemon.ctl("routes")["routes"][0]["dropped"].get("unexpected") == number + 1)  # noqa: B023
            assert daemon.log().count(" sends replies, but replies = 0: they are dropped") == 1
