# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon under test: its configuration, its start and its end, and what it says of itself."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import programs
import rest
import waiting
from addresses import SEEN_LISTENING, Endpoint, as_list, has_clients, listening
from processes import children, command_name, process_state, session_members, shares_descriptors, thread_states
from waiting import PATIENCE, until

LEAVING = 2  # s, at most, until the daemon has closed a control connection that its client has left


def config_text(value, depth=0):
    """libconfig's notation. A list of strings is a [ list ], one of dicts or of both is a ( list )."""
    pad = "\t" * depth
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (str, Endpoint)):
        return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, (list, tuple)):
        inner = ", ".join(config_text(item, depth + 1) for item in value)
        return f"[ {inner} ]" if isinstance(value, list) else f"( {inner} )"
    body = "".join(f"{pad}\t{key} = {config_text(item, depth + 1)};\n" for key, item in value.items())
    return "{\n" + body + pad + "}"


class Daemon:
    """`spliced -c FILE` and its control socket. routes: {name: {"listen": …, "target": …, …}}; Endpoint objects and
    their text both serve; a list is a tuple for ( … ), a Python list for [ … ]. unrest: why this daemon does not come to rest."""

    def __init__(self, routes, settings=None, single=False, wrap=(), top=None, limit_nofile=None, wait=True,
                 unrest=None):
        self.directory = tempfile.mkdtemp(prefix="spliced-")
        os.chmod(self.directory, 0o755)
        self.file = os.path.join(self.directory, "spliced.conf")
        self.control = os.path.join(self.directory, "control.sock")
        self.log_file = os.path.join(self.directory, "log")
        self.settings = {"workers": 2, "plugin_dir": programs.plugin_dir(), "control": {"path": self.control},
                         "log": {"to": "stderr", "level": "info"}}
        self.settings.update(settings or {})
        self.top = top or {}
        self.single = single
        self.wrap = list(wrap)
        self.limit_nofile = limit_nofile
        self.wait = wait
        self.unrest = unrest
        self.process = None
        self.routes = routes
        self.write(routes)

    # -- its file --

    def write(self, routes=None, text=None):
        """Puts a new configuration in place atomically."""
        if text is None:
            self.routes = self.routes if routes is None else routes
            text = config_text({"daemon": self.settings, **self.top, "routes": self.routes})[2:-1]
        with open(self.file + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(self.file + ".new", self.file)

    # -- start and stop --

    def _limit(self):
        if self.limit_nofile:
            import resource
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.limit_nofile, self.limit_nofile))

    def start(self):
        command = [*self.wrap, programs.spliced(), "-c", self.file]
        if self.single:
            command.append("--single")
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, preexec_fn=self._limit)
        if self.wait:
            until("the daemon listens", self.ready)
        return self

    def ready(self):
        assert self.process.poll() is None, f"the daemon ended with status {self.process.returncode}\n{self.log()}"
        return listening("unix://" + self.control) and all(listening(text) for text in self._listens()) and self.runs()

    def runs(self):
        """Whether the worker has taken over all that there is: before, the keeper begins nothing, and waits longer for it."""
        told = self.ctl_run("status")
        return told.returncode in (0, 1) and json.loads(told.stdout)["worker"].get("state", "running") == "running"

    def hold_worker(self):
        """Stops the worker, which runs, by SIGSTOP, with all its threads; its pid."""
        until("the worker runs", self.runs)
        worker = self.worker
        os.kill(worker, signal.SIGSTOP)
        until("it stands still", lambda: set(thread_states(worker)) == {"T"})
        return worker

    @contextlib.contextmanager
    def worker_held(self):
        """... for a moment: a worker that stands still for seconds is taken for hung."""
        worker = self.hold_worker()
        try:
            yield
        finally:
            os.kill(worker, signal.SIGCONT)

    def _listens(self):
        for route in self.routes.values():
            for listen in as_list(route.get("listen", ())):
                text = str(listen)
                if route.get("enabled", True) and text.split("://")[0] in SEEN_LISTENING:
                    yield text

    @property
    def keeper(self):
        """The keeper's process; under a tracer or with --single, the daemon's."""
        if self.wrap:
            return until("the wrapper starts the daemon", lambda: children(self.process.pid))[0]
        return self.process.pid

    @property
    def worker(self):
        """The worker's process now: of the keeper's children, the one that shares its descriptors."""
        return self.keeper if self.single else self.worker_after(None)

    def worker_after(self, pid):
        """Waits for a worker other than `pid`."""
        keeper = self.keeper

        def find():
            living = [child for child in children(keeper) if child != pid and process_state(child) not in ("Z", None)]
            return next((child for child in reversed(living) if shares_descriptors(keeper, child) is not False
                         and command_name(child) == "spliced-worker"), None)

        return until("there is a worker" if pid is None else f"a worker other than {pid}", find)

    def thread(self, index):
        """The id of the worker's thread with this number, as status and sessions count them."""
        def find():
            worker = self.worker
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                for task in os.listdir(f"/proc/{worker}/task"):
                    if command_name(f"{worker}/task/{task}") == f"spliced-{index}":
                        return int(task)
            return None

        return until(f"the worker has thread {index}", find)

    def signal(self, number):
        os.kill(self.keeper, number)

    def at_rest(self, patience=PATIENCE, parts=rest.ALL):
        """Waits until nothing runs but for timers that are due, and nothing is left behind of what ended."""
        rest.wait(self.control, patience, lambda: self.process.poll() is not None, parts)

    def stop(self):
        """It comes to rest; SIGTERM; asserts status 0, and that no process is left of it."""
        sid = self.process.pid
        if self.process.poll() is None and not self.unrest:
            self.at_rest()
        # It may have been told before, and have ended meanwhile.
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise AssertionError("the daemon did not stop on SIGTERM") from error
        left = session_members(sid)
        assert status == 0, f"the daemon ended with status {status}"
        assert not left, f"processes were left behind: {left}"

    def kill(self):
        """Ends whatever is left of it, and what that may start meanwhile; and waits until all is gone: the descriptors close with the
        last of its processes."""
        if not self.process:
            return

        def gone():
            members = session_members(self.process.pid)
            for pid in members:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not members

        until("its last process is gone", gone)
        self.process.wait()

    def log(self):
        try:
            with open(self.log_file, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self.stop()
        except BaseException:
            kind = kind or AssertionError
            raise
        finally:
            self.kill()
            if kind is not None and not issubclass(kind, (waiting.Skip, KeyboardInterrupt)):
                log = self.log().splitlines()
                print("---- the daemon's log, last lines ----", *log[-60:], "----", sep="\n", file=sys.stderr)
            if os.environ.get("SPLICED_KEEP"):
                print("kept:", self.directory, file=sys.stderr)
            else:
                shutil.rmtree(self.directory, ignore_errors=True)

    # -- asking it --

    def ctl_run(self, *words, timeout=PATIENCE * 3):
        """splicectl's finished process: returncode, stdout, stderr. It has left no descriptor in the daemon, which is a moment later than its
        answer; where others hold connections, nobody waits for that."""
        alone = not has_clients(self.control)
        done = subprocess.run([programs.splicectl(), "-s", self.control, "--json", *words], capture_output=True, text=True,
                              timeout=timeout, check=False)
        limit = time.monotonic() + LEAVING
        while alone and has_clients(self.control) and time.monotonic() < limit:
            time.sleep(0.001)
        return done

    def ctl(self, *words, status=0):
        """What the daemon says, as an object (None when it says nothing); asserts splicectl's exit status, unless that is
        None."""
        done = self.ctl_run(*words)
        assert status is None or done.returncode == status, \
            f"splicectl {' '.join(words)}: status {done.returncode}\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() and done.returncode in (0, 1) else None

    def status(self):
        return self.ctl("status", status=None)

    def sessions(self):
        """The open sessions, as a list of objects."""
        answer = self.ctl("sessions")
        return answer.get("sessions", []) if isinstance(answer, dict) else answer or []

    def relays(self):
        """Whether a session is past connecting: what its target says is heard from then on."""
        return any(one["state"] == "relaying" for one in self.sessions())

    def reload(self, routes=None):
        """Writes the routes and reloads; returns when the heir has adopted."""
        if routes is not None:
            self.write(routes)
        return self.ctl("reload")
