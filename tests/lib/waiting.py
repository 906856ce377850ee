# SPDX-License-Identifier: LGPL-2.1-or-later
"""Waiting for a condition, for so long and no longer; and skipping what cannot be tested here."""

import os
import sys
import time

# Under a slow emulator everything takes longer, but nothing may take for ever.
PATIENCE = float(os.environ.get("SPLICED_PATIENCE", "10"))

SKIPPED = 77


class Skip(Exception):
    """What the test needs is not here; scripts exit 77 with the reason."""


def until(what, condition, patience=None):
    """Waits until condition() is true and returns its value."""
    patience = PATIENCE if patience is None else patience
    limit = time.monotonic() + patience
    pause = 0.0005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > limit:
            raise AssertionError(f"waited {patience:g} s in vain: {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


def holds(what, condition, seconds):
    """Fails as soon as condition() is false within so many seconds: for what must not happen."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        assert condition(), f"did not stay so for {seconds:g} s: {what}"
        time.sleep(0.005)


def script(main):
    """Runs a script's main(): exit 77 with the reason for a Skip, 1 for a failed assertion."""
    try:
        main()
    except Skip as reason:
        print(f"skipped: {reason}")
        sys.exit(SKIPPED)
    except AssertionError as error:
        print(f"FAILED: {error}")
        sys.exit(1)
