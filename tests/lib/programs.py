# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs under test, and what is compiled for them."""

import atexit
import os
import shutil
import subprocess
import tempfile

import waiting

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("SPLICED_BUILD", os.path.join(HERE, "..", "..", "build"))


def _find(variable, *names):
    """A program's path: from the environment, else in the build directory, else None."""
    if os.environ.get(variable):
        return os.path.abspath(os.environ[variable])
    for name in names:
        path = os.path.abspath(os.path.join(BUILD, name))
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    return None


def spliced():
    path = _find("SPLICED", "spliced", "daemon/spliced")
    if not path:
        raise waiting.Skip("no spliced: build it, or name it in SPLICED")
    return path


def splicectl():
    path = _find("SPLICECTL", "splicectl", "ctl/splicectl")
    if not path:
        raise waiting.Skip("no splicectl: build it, or name it in SPLICECTL")
    return path


def plugin_dir():
    """Where the plugins are."""
    found = os.environ.get("SPLICED_PLUGIN_DIR") or os.path.join(BUILD, "plugins")
    return os.path.abspath(found if os.path.isdir(found) else BUILD)


def compile_family(directory, name):
    """A family of tests/plugins, into a directory of plugins."""
    top = os.path.join(HERE, "..", "..")
    try:
        subprocess.run([os.environ.get("CC", "cc").split()[0], "-std=gnu11", "-D_GNU_SOURCE", "-I", os.path.join(top, "include"), "-fPIC",
                        "-shared", "-fvisibility=default", os.path.join(top, "tests", "plugins", name + ".c"),
                        "-o", os.path.join(directory, name + ".so")], check=True)
    except OSError as error:
        raise waiting.Skip(f"no compiler here: {error}") from error


def compile_example(directory, name):
    """A family of doc/examples, with the compiler's warnings as errors."""
    top = os.path.join(HERE, "..", "..")
    path = os.path.join(directory, name + ".so")
    try:
        subprocess.run([os.environ.get("CC", "cc").split()[0], "-O2", "-Wall", "-Wextra", "-Werror", "-I", os.path.join(top, "include"), "-fPIC",
                        "-fvisibility=hidden", "-shared", "-Wl,-z,defs", "-o", path, os.path.join(top, "doc", "examples", name, name + ".c")],
                       check=True)
    except OSError as error:
        raise waiting.Skip(f"no compiler here: {error}") from error
    os.chmod(path, 0o755)


def copy_families(directory, *more):
    """The families into a directory of plugins, with those of tests/plugins that are named; returns it."""
    for name in os.listdir(plugin_dir()):
        if name.endswith(".so"):
            shutil.copy(os.path.join(plugin_dir(), name), directory)
    for name in more:
        compile_family(directory, name)
    for name in os.listdir(directory):
        if name.endswith(".so"):
            os.chmod(os.path.join(directory, name), 0o755)
    return directory


def compile_crashy(directory):
    """The family that crashes where it is told to."""
    compile_family(directory, "crashy")


_peers = None


def peers():
    """The peers tool: from SPLICED_PEERS, the build directory, or compiled for this run."""
    global _peers
    _peers = _peers or _find("SPLICED_PEERS", "peers", "tests/lib/peers", "tests/peers")
    if not _peers:
        directory = tempfile.mkdtemp(prefix="peers-")
        atexit.register(shutil.rmtree, directory, True)
        sources = [os.path.join(HERE, name) for name in sorted(os.listdir(HERE)) if name.endswith(".c")]
        path = os.path.join(directory, "peers")
        try:
            subprocess.run([os.environ.get("CC", "cc"), "-O2", "-std=gnu11", "-o", path, *sources, "-lpthread"],
                           check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise waiting.Skip(f"no peers tool, and it cannot be compiled here: {error}") from error
        _peers = path
    return _peers
