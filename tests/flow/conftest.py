# SPDX-License-Identifier: LGPL-2.1-or-later
"""Puts the harness within reach, and turns its Skip into pytest's."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import harness  # noqa: E402


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    outcome = yield
    if outcome.excinfo and issubclass(outcome.excinfo[0], harness.Skip):
        outcome.force_exception(pytest.skip.Exception(str(outcome.excinfo[1])))


@pytest.hookimpl(hookwrapper=True)
def pytest_fixture_setup(fixturedef, request):
    outcome = yield
    if outcome.excinfo and issubclass(outcome.excinfo[0], harness.Skip):
        outcome.force_exception(pytest.skip.Exception(str(outcome.excinfo[1])))


@pytest.fixture
def place(tmp_path_factory):
    """A short directory for UNIX sockets: their paths end at 107 bytes."""
    import shutil
    import tempfile
    directory = tempfile.mkdtemp(prefix="flow-")
    os.chmod(directory, 0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)
