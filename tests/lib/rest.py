# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon at rest: nothing runs but for timers that are due, everything open has an owner, and records are as many as what
they stand for.

    rest.wait(control, patience)

asks the daemon itself (what it owns stands in the `status` answer) and the kernel (how often each of its threads ran). What a test
left connected may be open; the daemon lists it. Judged is never how long anything takes, only how often something runs: a busy
machine makes it wait longer, and a daemon that spins fails on an idle one too. Needs only the standard library.
"""

import json
import os
import socket
import time

WINDOW = 0.025      # s: in most of them nothing of a daemon at rest runs at all
LONG_WINDOW = 0.5   # s: else it is looked at for longer, and each thread may have been woken
SETTLING = 5        # ... such windows: on a busy machine a thread that was woken waits for its turn before it sleeps
WAKES = 2           # ... so often: by its heartbeat, and one timer more
ATTEMPTS = 25       # ... and so often for each session that is not connected: by its timer, and by what the kernel answers
CHECK = 6           # ... and so often for each health check: its timer, and what connects, is asked and answers
ALL = ("cpu", "descriptors", "records", "generations")


class NotAtRest(AssertionError):
    """What still runs, or was left behind."""


def ask(control, verb, timeout):
    """The daemon's answer to a verb; None when there is none: it is between two workers."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(timeout)
            client.connect(control)
            client.sendall(json.dumps({"verb": verb}).encode() + b"\n")
            answer = bytearray()
            while part := client.recv(1 << 16):
                answer += part
        return json.loads(answer)
    except (OSError, ValueError):
        return None


# ---- what runs ----


def runs(pids):
    """{thread: (its state, how often it went to sleep)}; None when a process is gone. Whoever is robbed of the CPU by others has not slept."""
    found = {}
    try:
        for pid in pids:
            for tid in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{tid}/status", encoding="utf-8", errors="replace") as file:
                    times = next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))
                with open(f"/proc/{pid}/task/{tid}/stat", encoding="utf-8", errors="replace") as file:
                    name, words = file.read().split("(", 1)[1].rsplit(")", 1)
                found[int(tid)] = (words.split()[0], times, name)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return found


def awake(before, after, allowed):
    """What ran more often than it may, or runs now."""
    if not before or not after or before.keys() != after.keys():
        return ["its processes change"]
    found = []
    for tid, (state, times, name) in after.items():
        times -= before[tid][1]
        if state != "S" or times > allowed:
            found.append(f"thread {tid} ({name}) is in state {state} and ran {times} times")
    return found


def timers(control, timeout):
    """How often timers may wake a thread besides: a session that is on its way to its target tries again, at first each 100 ms; targets
    are checked."""
    answer = ask(control, "sessions", timeout) or {"sessions": []}
    routes = ask(control, "routes", timeout) or {"routes": []}
    checks = [target["check"] for route in routes["routes"] for target in route["targets"] if target["check"]]
    return (ATTEMPTS * sum(one["state"] == "connecting" for one in answer["sessions"])
            + sum(CHECK * (1 + int(LONG_WINDOW / one["interval"])) for one in checks))


def busy(pids, control, timeout):
    """What does not sleep; an empty list when all does."""
    first = runs(pids)
    time.sleep(WINDOW)
    found = awake(first, runs(pids), 0)
    if not found or not first:
        return found
    allowed = WAKES + timers(control, timeout)
    first = last = runs(pids)
    windows = 0
    while windows < SETTLING and (not windows or (last and any(state != "S" for state, _, _ in last.values()))):
        time.sleep(LONG_WINDOW)
        last = runs(pids)
        windows += 1
    return [f"{one} within {windows * LONG_WINDOW:g} s" for one in awake(first, last, windows * allowed)]


# ---- what is open ----


def differences(**pairs):
    return [f"{name.replace('_', ' ')}: {found}, not {wanted}" for name, (found, wanted) in pairs.items() if found != wanted]


def owned(status):
    """Everything open has one owner, and everything owned is open. Two descriptors are the asking's own."""
    descriptors = status["descriptors"]
    return differences(descriptors_without_an_owner=(descriptors["unowned"], 0), owned_but_closed=(descriptors["closed"], 0),
                       owned_twice=(descriptors["doubled"], 0), of_the_control_socket=(descriptors["control"], 2),
                       of_generations=(descriptors["generations"], status["records"]["generations"]))


def recorded(status, sessions, listeners):
    """Records and all counts of them are those of what is listed."""
    records = status["records"]
    return differences(session_records=(records["sessions"], len(sessions)), sessions_active=(status["sessions"]["active"], len(sessions)),
                       places_taken_of_routes=(records["places"], len(sessions)), sessions_of_threads=(records["of_threads"], len(sessions)),
                       listener_records=(records["listeners"], len(listeners)), control_records=(records["controls"], 1))


def lived_in(status, sessions, listeners):
    """Generations are the newest, and those that sessions and leaving listeners were opened with."""
    wanted = {status["reload"]["generation"]} | {one["generation"] for one in sessions + listeners}
    return differences(generations=(status["records"]["generations"], len(wanted)))


def named(status, routes):
    """Where one generation is lived in, routes and targets have a record each; what is dialled is a target too, and so is a place of a name
    without an address."""
    if status["records"]["generations"] != 1:
        return []
    return differences(route_records=(status["records"]["routes"], len(routes)),
                       target_records=(status["records"]["targets"], sum(len(one["targets"]) + one["spare"] + len(one["dial"]) for one in routes)))


def unrest(control, timeout, parts=ALL):
    """What is not as it is at rest; an empty list when all is."""
    status = ask(control, "status", timeout)
    if not status:
        return ["it does not answer"]
    if "cpu" in parts:
        found = busy({status["keeper"]["pid"], status["worker"]["pid"]}, control, timeout)
        if found:
            return found
    answers = [ask(control, verb, timeout) for verb in ("sessions", "listeners", "routes", "status")]
    if not all(answers):
        return ["it does not answer"]
    sessions, listeners, routes = (answer[verb] for answer, verb in zip(answers, ("sessions", "listeners", "routes")))
    status = answers[3]
    found = owned(status) if "descriptors" in parts else []
    if "records" in parts:
        found += recorded(status, sessions, listeners) + named(status, routes)
    if "generations" in parts:
        found += lived_in(status, sessions, listeners)
    return found


def wait(control, patience, ended=lambda: False, parts=ALL):
    """Waits until the daemon is at rest, or has ended; NotAtRest tells what is not."""
    limit = time.monotonic() + patience
    while (found := unrest(control, patience, parts)) and not ended():
        if time.monotonic() > limit:
            raise NotAtRest(f"not at rest after {patience:g} s: " + "; ".join(found))
        time.sleep(0.005)
