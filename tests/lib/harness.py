# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon under test, and what stands at its two sides.

    with Daemon({"web": {"listen": tcp(port), "target": "unix:///…"}}) as daemon:
        …
        daemon.ctl("status")

Leaving the block waits for the daemon to be at rest (rest.py), stops it and asserts that it ended well and left no
process behind; an exception inside it prints the daemon's log. Nothing here sleeps to be safe: until() waits for a
condition, and fails with its name. Needs only the standard library, so that it runs in a bare virtual machine too.

This is what tests import. Its parts are files of their own: waiting, addresses, programs, processes, daemon, injected (calls that fail),
players (the peers tool), sockets.
"""

# What is imported here is used by whoever imports this.
# pylint: disable=unused-import
from addresses import Endpoint, free_port, has_ipv6, has_mptcp, listening  # noqa: F401
from daemon import Daemon, config_text  # noqa: F401
from injected import Injected  # noqa: F401
from players import Running, Serve, peers_run  # noqa: F401
from processes import (children, command_name, cpu_seconds, descriptors, memory_kib, process_state,  # noqa: F401
                       session_members, shares_descriptors)
from programs import (BUILD, compile_crashy, compile_example, compile_family, copy_families, peers, plugin_dir, splicectl,  # noqa: F401
                      spliced)
from sockets import TCP_CLOSE, TCP_CLOSE_WAIT, TCP_ESTABLISHED, ask, read_all, reset, tcp_state  # noqa: F401
from waiting import PATIENCE, SKIPPED, Skip, holds, script, until  # noqa: F401
