"""Running a generator: one process, a time limit, and its fault in one line. Knows none of them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

_GRACE_S = 30.0  # beyond the load itself: connecting, the last answers, writing the report


class GeneratorFailed(Exception):
    """A generator that could not say anything about the server."""


def run(command: Sequence[str], seconds: float, *, stdin: bytes = b"") -> bytes:
    """What it printed. `seconds` is how long it should take."""
    name = os.path.basename(command[0])
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=seconds + _GRACE_S)
    except subprocess.TimeoutExpired:
        raise GeneratorFailed(f"{name} did not end within {seconds + _GRACE_S:.0f} s") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).decode(errors="replace").splitlines()
        raise GeneratorFailed(f"{name} ended with status {done.returncode}: {' '.join(said[-2:])}")
    return done.stdout


def cores() -> int:
    return len(os.sched_getaffinity(0))
