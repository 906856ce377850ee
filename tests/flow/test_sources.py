# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where the configuration comes from and where the daemon is asked: standard input and pipes, files of X.conf.d, --control, SPLICED_CONTROL."""

import os
import signal
import subprocess

import pytest

import harness
from harness import Daemon, Endpoint, until

CONFIGURATION = 78


def spliced(*words, **options):
    return subprocess.run([harness.spliced(), "--plugin-dir", harness.plugin_dir(), *words], capture_output=True, text=True, check=False,
                          timeout=harness.PATIENCE * 3, **options)


class Fed(Daemon):
    """One whose configuration comes through a pipe, after it has started to read."""

    def __init__(self, routes, name, blocks):
        super().__init__(routes)
        self.name, self.blocks = name, blocks

    def start(self):
        reader, writer = os.pipe()
        os.set_blocking(reader, self.blocks)
        name = self.name.replace("N", str(reader))
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([harness.spliced(), "-c", name], stdin=reader if name in ("-", "/dev/stdin") else subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True, pass_fds=[reader])
        os.close(reader)
        with open(self.file, "rb") as file:
            text = file.read()
        half = len(text) // 2
        os.write(writer, text[:half])
        assert self.process.poll() is None
        os.write(writer, text[half:])
        os.close(writer)
        until("the daemon listens", self.ready)
        return self


@pytest.mark.parametrize("name, blocks", (("-", True), ("-", False), ("/dev/stdin", False), ("/dev/fd/N", True)))
def test_through_a_pipe(place, name, blocks):
    front, back = Endpoint("inet", place), Endpoint("inet", place)
    with Fed({"r": {"listen": front, "target": back}}, name, blocks) as daemon, back.listen() as target:
        client = front.connect()
        accepted = target.accept()[0]
        for verb in ("reload", "upgrade"):
            answer = daemon.ctl(verb, status=1)
            assert "there is no file to reload" in answer["error"], answer
        if name == "-":
            os.kill(daemon.worker, signal.SIGKILL)
            until("the heir works", lambda: daemon.ctl_run("status").returncode in (0, 1))
        client.sendall(b"still here")
        assert accepted.recv(100) == b"still here"
        assert daemon.status()["reload"]["ok"] is False
        client.close()
        accepted.close()


def test_a_check_reads_a_pipe(place):
    text = 'routes: {\n  a: { listen = "tcp4://:80"; target = "tcp://a:1"; };\n};\n'
    assert "1 route, no errors" in spliced("-t", "-c", "-", input=text).stdout
    told = spliced("-t", "-c", "/dev/stdin", input=text.replace("tcp4", "tpc4"))
    assert (told.returncode, told.stderr.split(": ")[0]) == (CONFIGURATION, "standard input:2")
    assert "port = 80;" in spliced("-T", "-c", "-", input=text).stdout


def test_a_fifo_holds_nothing_up(place):
    path = os.path.join(place, "fifo")
    os.mkfifo(path)
    done = spliced("-c", path)
    assert done.returncode == CONFIGURATION and "it is a FIFO" in done.stderr, done.stderr


class Asked(Daemon):
    """One with more words on its command line, and SPLICED_CONTROL."""

    def start(self, more=(), control=None):
        self.control = more[-1] if more else control
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([harness.spliced(), "-c", self.file, *more], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, env={**os.environ, "SPLICED_CONTROL": control})
        until("the daemon listens", self.ready)


@pytest.mark.parametrize("words, told", ((["-t", "FILE"], "name the configuration file with -c FILE"), (["nonsense"], 'unexpected argument "nonsense"'),
                                         (["--as", "x.conf"], "--as requires -t or -T"), (["-t", "--json"], "--json requires --describe")))
def test_words_without_effect(place, words, told):
    file = os.path.join(place, "x.conf")
    with open(file, "w", encoding="utf-8") as empty:
        empty.write("")
    done = spliced(*[word.replace("FILE", file) for word in words])
    assert (done.returncode, done.stdout) == (64, "") and told.replace("FILE", file) in done.stderr, done.stderr


def test_where_it_is_asked(place):
    """--control before SPLICED_CONTROL before the file, also of the program that comes after an upgrade."""
    first, second = os.path.join(place, "1.sock"), os.path.join(place, "2.sock")
    for more in ((), ("--control", second)):
        daemon = Asked({"r": {"listen": Endpoint("inet", place), "target": Endpoint("inet", place)}})
        daemon.start(more, first)
        try:
            assert daemon.status()["control"]["path"] == daemon.control
            daemon.ctl("upgrade")
            assert daemon.status()["control"]["path"] == daemon.control
            daemon.stop()
        finally:
            daemon.kill()


def test_a_file_of_a_directory(place):
    """It is checked with all others, by path or as one that is to be put there."""
    main, confd = os.path.join(place, "x.conf"), os.path.join(place, "x.conf.d")
    os.mkdir(confd)

    def write(path, text):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def route(name, port, rule="@office"):
        return f'routes: {{ {name}: {{ listen = "tcp4://:{port}"; target = "tcp://a:1"; allow = [ "{rule}" ]; }}; }};\n'
    write(main, f'daemon: {{ plugin_dir = "{harness.plugin_dir()}"; }};\nlists: {{ office = [ "10.0.0.0/8" ]; }};\n' + route("a", 80))
    there, new = write(os.path.join(confd, "m.conf"), route("m", 81)), os.path.join(place, "new")

    def check(*words, cwd=None):
        done = subprocess.run([harness.spliced(), "-t", "-c", *words], capture_output=True, text=True, check=False, cwd=cwd,
                              timeout=harness.PATIENCE * 3)
        return done.returncode, done.stdout + done.stderr
    assert check(there) == (0, f"{there}: 2 routes, no errors\n")
    assert check("m.conf", cwd=confd)[0] == 0
    for name in ("a.conf", "z.conf"):  # before and behind the one that is there
        write(new, route("m", 82))
        told = check(new, "--as", os.path.join(confd, name))
        assert told[0] == CONFIGURATION and "route m: the name is already used at " in told[1], told
        write(new, route("n", 81))
        assert "is already used by the listener of route" in check(new, "--as", os.path.join(confd, name))[1]
        write(new, route("n", 82, "@ofice"))
        assert check(new, "--as", os.path.join(confd, name)) == \
            (CONFIGURATION, f'{new}:1: route n: allow: there is no list "@ofice"; did you mean "@office"?\n')
        write(new, route("n", 82))
        assert check(new, "--as", os.path.join(confd, name)) == (0, f"{new}: 3 routes, no errors\n")
    write(new, route("m", 82) + 'daemon: { workers = 1; };\n')  # in place of the one that is there
    assert check(new, "--as", there) == (CONFIGURATION, f'{new}:2: "daemon" belongs in the main file; this file may contain only routes\n')
    write(main, "routes: {\n")
    assert check(there)[1].startswith(f"{main}:1: this '{{' is never closed")
    os.unlink(main)
    assert check(there)[0] == CONFIGURATION  # on its own it knows no list
