# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every option with every wrong type of value, as the program lists its options itself: each is an error that names file, line, option, what
was found and what would be right. And what is told of families that are not installed."""

import json
import os
import re
import shutil
import subprocess

import pytest

import harness

BATCH = 150  # routes in a file: what is told at once has an end
CONFIGURATION = 78


def run(*words):
    return subprocess.run([harness.spliced(), *words], capture_output=True, text=True, errors="surrogateescape", check=False,
                          timeout=harness.PATIENCE * 6)


def describe(*name):
    done = run("--plugin-dir", harness.plugin_dir(), "--describe", *name, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(directory, text, plugins=None):
    """The errors of a file: {line: [text]}."""
    path = os.path.join(directory, "x.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    done = run("--plugin-dir", plugins or harness.plugin_dir(), "-t", "-c", path)
    assert done.returncode == CONFIGURATION, (done.returncode, done.stdout, done.stderr[-2000:])
    errors = {}
    for line in done.stderr.splitlines():
        match = re.fullmatch(re.escape(path) + r":(\d+): (.*)", line)
        assert match, line
        errors.setdefault(int(match[1]), []).append(match[2])
    assert list(errors) == sorted(errors), "errors come in the order of the lines"
    return errors


# What stands in the file, and how an error shows it.
OTHERS = {"true": "true", "5": "5", '[ "a" ]': "a list", "{ a = 1; }": "a group", "( )": "a list", '"\\xff"': '"\\xff"'}
FITTING = {  # of OTHERS, those that are right for a type
    "bool": {"true"}, "number": {"5"}, "string": set(), "word": set(), "size": {"5"}, "duration": {"5"}, "rate": {"5"}, "mode": set(),
    "path": set(), "interface": set(), "list": {'[ "a" ]', "( )"}, "host": set(), "word or number": {"5"},
}
WRONG = {  # strings that no option of the type takes
    "bool": ["yes", ""], "number": ["x", "", "5s", "0x", "1e3"], "string": [], "word": ["nosuchword", ""],
    "size": ["x", "", "5 parsecs", "-1"], "duration": ["x", "", "5 parsecs", "-1", "1.5s"], "rate": ["x", "", "5/min"], "mode": ["999", "rw", ""],
    "path": ["relative", ""], "interface": ["a/b", "0123456789abcdef", "", "a b"], "list": ["x"], "host": ["a b", "1.2.3", "[::1]", "*"],
    "word or number": ["nosuchword", ""],
}


def wrong_values(option):
    """(as it is written, as it is shown)."""
    kind = option["type"]
    yield from ((text, shown) for text, shown in OTHERS.items() if text not in FITTING[kind])
    yield from ((f'"{text}"', f'"{text}"') for text in WRONG[kind])
    for bound in ([option["min"] - 1, option["max"] + 1] if option.get("max") and kind in ("number", "word or number") else []):
        text = f"{bound}" if abs(bound) < 1 << 31 else f'"{bound}"'
        yield text, text


def nested(name, value):
    for part in reversed(name.split(".")):
        value = f"{{ {part} = {value}; }}"
    return value[2:-2]  # the outermost is the route, or the endpoint


def judge(errors, expected):
    for line, (key, shown) in expected.items():
        told = [error for error in errors.get(line, ()) if key in error and shown in error]
        assert told, f"line {line}: nothing tells of {key} = {shown}: {errors.get(line)}"
        assert any(re.search(r"; |\?$", error.split(shown, 1)[1]) for error in told), f"what would be right? {told}"


def try_all(directory, cases, head="routes: {\n", tail="};\n"):
    """cases: [(line of the file, key, shown)]."""
    for at in range(0, len(cases), BATCH):
        part = cases[at:at + BATCH]
        lines = [f"r{i}: {line}\n" for i, (line, _, _) in enumerate(part)]
        judge(check(directory, head + "".join(lines) + tail), {i + 2: case[1:] for i, case in enumerate(part)})


def endpoint(family, row, inner):
    return f'{{ family = "{family}"; type = "{row["type"]}"; ' + (f'protocol = "{row["protocol"]}"; ' if row["protocol"] else "") + inner + "}"


@pytest.mark.parametrize("family", [one["name"] for one in describe()])
def test_options_of_families(place, family):
    table, cases = describe(family), []
    for option in table["options"]:
        row = table["rows"][option["rows"][0]]
        role = option["roles"][0]
        if not {"listen": "listen", "target": "connect"}[role] in row["capabilities"]:
            role = "target" if role == "listen" else "listen"
        for text, shown in wrong_values(option):
            one = endpoint(family, row, f'{option["name"]} = {text}; ')
            other = "tcp4://127.0.0.1:1"
            line = f'{{ listen = {one}; target = "{other}"; }};' if role == "listen" else f'{{ listen = "{other}"; target = {one}; }};'
            cases.append((line, f'{role}.{option["name"]}', shown))
    assert cases
    try_all(place, cases)


def test_options_of_endpoints(place):
    cases = [(f'{{ listen = {{ family = "inet"; host = ""; port = 80; {nested(option["name"], text)} }}; target = "tcp4://127.0.0.1:1"; }};',
              f'listen.{option["name"]}', shown) for option in describe("endpoint")["options"] for text, shown in wrong_values(option)]
    try_all(place, cases)


def test_options_of_routes(place):
    cases = [(f'{{ listen = "tcp4://:{1000 + i}"; target = "tcp4://127.0.0.1:1"; {nested(option["name"], text)} }};', option["name"], shown)
             for i, option in enumerate(describe("route")["options"]) for text, shown in wrong_values(option)]
    try_all(place, cases)


def test_options_of_the_daemon(place):
    for option in describe("daemon")["options"]:
        for text, shown in wrong_values(option):
            if option["name"] == "plugin_dir" and text == '"relative"':
                continue  # --plugin-dir stands before it
            judge(check(place, f"\ndaemon: {{ {nested(option['name'], text)} }};\n"), {2: (option["name"], shown)})


def test_endpoint_strings(place):
    """The same behind the '?'."""
    cases = []
    for family in describe():
        table = describe(family["name"])
        for option in table["options"] + describe("endpoint")["options"]:
            row = table["rows"][option.get("rows", [0])[0]]
            if "listen" in option.get("roles", ["listen"]) and "listen" in row["capabilities"] and f'{option["name"].upper()}' not in row["pattern"]:
                scheme = f'{family["name"]}-{row["type"]}'
                cases += [(f'{{ listen = "{scheme}://{"x" if row["pattern"] else ""}?{option["name"]}={text}"; target = "tcp4://127.0.0.1:1"; }};',
                           option["name"], "") for text in WRONG[option["type"]] if text and "%" not in text and option["type"] not in ("list", "bool")]
    for at in range(0, len(cases), BATCH):
        part = cases[at:at + BATCH]
        errors = check(place, "routes: {\n" + "".join(f"r{i}: {line}\n" for i, (line, _, _) in enumerate(part)) + "};\n")
        for i, (line, key, _) in enumerate(part):
            assert errors.get(i + 2), line


# ---- families that are not there ----


@pytest.fixture(name="some")
def some_families(place):
    directory = os.path.join(place, "some")
    os.mkdir(directory)
    for name in ("inet", "inet6", "unix"):
        shutil.copy(os.path.join(harness.plugin_dir(), name + ".so"), directory)
        os.chmod(os.path.join(directory, name + ".so"), 0o755)
    return directory


def test_a_family_that_is_not_installed(place, some):
    routes = ('routes: {\na: { listen = "rfcomm://any/1"; target = "tcp://a:1"; };\n'
              'b: { listen = { family = "bluetooth"; channel = 1; }; target = "tcp://a:1"; };\n'
              'c: { listen = "vsock://any:1"; target = "tcp://a:1"; };\nd: { listen = "bluetooth://any/1"; target = "tcp://a:1"; };\n};\n')
    errors = check(place, routes, some)
    for line in (2, 5):
        assert f'family "bluetooth" is not installed in {some}; install the package spliced-bluetooth' in errors[line][0]
    assert f'no family "bluetooth" in {some}' in errors[3][0]
    assert f'family "vsock" is not installed in {some}' in errors[4][0]
    assert all(len(told) == 1 for told in errors.values()) and len(errors) == 4, errors


def test_no_family_at_all(place):
    empty = os.path.join(place, "empty")
    os.mkdir(empty)
    for plugins in (empty, os.path.join(place, "missing")):
        errors = check(place, 'routes: {\na: { listen = "rfcomm://any/1"; target = "unix:///x"; };\n};\n', plugins)
        assert [error for error in errors[2] if f"no families are installed in {plugins}, the daemon's plugin_dir" in error] == errors[2], errors
