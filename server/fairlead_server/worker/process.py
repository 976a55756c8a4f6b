"""What the kernel is told about a child of the supervisor: when to die, what to ignore, who goes first.

Linux only. Imports nothing heavy: it runs before anything else in the process.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
from pathlib import Path

_PR_SET_PDEATHSIG = 1
OOM_SCORE_ADJ = 500  # of the replica's processes the supervisor is the last that the kernel should take
LOADING_NICE = 10


def become_child() -> None:
    """Die with the supervisor, ignore what a terminal or Ray sends to all processes, and go first when memory
    runs out. The supervisor ends a child by its link (or SIGKILL), so that answers are never cut off."""
    parent = os.getppid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os._exit(0)  # the supervisor died before the kernel knew
    with contextlib.suppress(OSError):  # another may have fixed it for the whole container
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE_ADJ))


def lower_thread_priority() -> None:
    """This thread alone: on Linux the nice value belongs to the thread. There is no way back for it, or for the
    threads it starts."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOADING_NICE)


def resident_bytes() -> int:
    """What this process holds in memory now."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
