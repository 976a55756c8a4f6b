"""Running a generator: one process, a time limit, and its fault in one line. Knows none of them."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import IO, NamedTuple

GRACE_S = 30.0  # beyond the load itself: connecting, the last answers, writing the report


class GeneratorFailed(Exception):
    """A generator that could not say anything about the server."""


class Printed(NamedTuple):
    """`cpu_s` is the generator's own processor time."""

    out: bytes
    cpu_s: float


def run(command: Sequence[str], seconds: float, *, environment: Mapping[str, str] | None = None) -> Printed:
    """`seconds` is how long it should take; `environment` is added to this process's own."""
    name = os.path.basename(command[0])
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env={**os.environ, **(environment or {})}
        )
        usage = _wait(process, name, seconds + GRACE_S)
        printed, said = _read(out), _read(err)
    if process.returncode:
        last = (said.strip() or printed.strip()).decode(errors="replace").splitlines()[-2:]
        raise GeneratorFailed(f"{name} ended with status {process.returncode}: {' '.join(last)}")
    return Printed(printed, usage.ru_utime + usage.ru_stime)


def _wait(process: subprocess.Popen[bytes], name: str, limit_s: float) -> resource.struct_rusage:
    """Collects the process itself: only so is its processor time told apart from that of others."""
    timer = threading.Timer(limit_s, process.kill)
    timer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        raise
    finally:
        timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode == -signal.SIGKILL:
        raise GeneratorFailed(f"{name} did not end within {limit_s:.0f} s")
    return usage


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def cores() -> int:
    return len(os.sched_getaffinity(0))
