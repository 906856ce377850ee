# SPDX-License-Identifier: LGPL-2.1-or-later
"""The tests of packages drive the service as its own tests do."""

import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "systemd"))
