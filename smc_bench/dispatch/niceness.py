"""A worker of a polite run is polite: Linux weighs sessions against each other before processes.

Workers have sessions of their own, so that a terminal's Ctrl-C does not reach them. With
``sched_autogroup`` each session shares the processor as one, whatever the niceness inside it
(sched(7), "The autogroup feature"), and ``nice -n 19 smc-bench run`` would yield to nobody.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

AUTOGROUP = Path("/proc/self/autogroup")


def share_niceness(path: Path = AUTOGROUP) -> None:
    """Give this process's session the process's own niceness, where the system has such groups.

    Only a session that is the process's own: one that it shares is a terminal's, or a job's.
    """
    value, own = os.nice(0), os.getsid(0) == os.getpid()
    if value > 0 and own and path.exists():
        with suppress(OSError):  # a container may forbid it: then nothing is worse than before
            path.write_text(str(value), encoding="ascii")
