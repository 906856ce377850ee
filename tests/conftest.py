# SPDX-License-Identifier: LGPL-2.1-or-later
"""Puts the harness within reach, and makes its Skip pytest's."""

import os
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import harness  # noqa: E402
import waiting  # noqa: E402

waiting.Skip = harness.Skip = pytest.skip.Exception


@pytest.fixture
def place():
    """A short directory for UNIX sockets: their paths end at 107 bytes."""
    directory = tempfile.mkdtemp(prefix="spliced-test-")
    os.chmod(directory, 0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)
