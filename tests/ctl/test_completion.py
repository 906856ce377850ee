# SPDX-License-Identifier: LGPL-2.1-or-later
"""Completion knows the verbs and options that there are; bash's is asked for real."""

import os
import re
import subprocess

import pytest

import harness

PLACE = os.path.join(os.environ.get("TOP_SRCDIR", os.path.join(os.path.dirname(__file__), "..", "..")), "doc", "completion")


def verbs():
    text = subprocess.run([harness.splicectl(), "--help"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^  ([a-z-]+)(?: |$)", text, re.M)


def ask(function, line, script):
    """What bash would offer at the end of a line."""
    # The build's families are in no place that the program knows.
    program = f"""source "$1"; plugins=$2; spliced() {{ command spliced --plugin-dir "$plugins" "$@"; }}
        COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); {function}; printf "%s\\n" "${{COMPREPLY[@]}}\""""
    done = subprocess.run(["bash", "-c", program, "bash", os.path.join(PLACE, script), harness.plugin_dir()],
                          capture_output=True, text=True, check=True,
                          env={**os.environ, "PATH": os.path.dirname(harness.splicectl()) + ":" + os.environ["PATH"]})
    assert not done.stderr, done.stderr
    return done.stdout.split()


def test_bash_offers_every_verb():
    assert set(verbs()) <= set(ask("_splicectl", 'splicectl ""', "splicectl.bash"))
    assert ask("_splicectl", "splicectl rel", "splicectl.bash") == ["release", "reload"]
    assert ask("_splicectl", 'splicectl log-level w', "splicectl.bash") == ["warning"]
    assert set(ask("_splicectl", 'splicectl sessions ""', "splicectl.bash")) == {"--route", "--peer", "-H", "-n"}


def test_bash_offers_the_daemon_s_options():
    text = subprocess.run([harness.spliced(), "--help"], capture_output=True, text=True, check=True).stdout
    offered = set(ask("_spliced", 'spliced ""', "spliced.bash"))
    assert set(re.findall(r"(?<![\w-])--?[a-zA-Z][a-z-]*", text)) <= offered
    assert {"inet", "unix", "ip", "route"} <= set(ask("_spliced", 'spliced --describe ""', "spliced.bash"))


@pytest.mark.parametrize("script, pattern", (("_splicectl", r"^\t\t'([a-z-]+):"), ("splicectl.fish", r"-a ([a-z-]+) -d")))
def test_the_others_do_too(script, pattern):
    with open(os.path.join(PLACE, script), encoding="utf-8") as file:
        assert sorted(re.findall(pattern, file.read(), re.M)) == sorted(verbs())
