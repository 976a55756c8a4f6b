"""Runs a program to its end, with a time limit; a failure is one line with the end of what the program said."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from local_cluster.errors import Unavailable

LIMIT_S = 120.0


def call(
    command: Sequence[str],
    *,
    stdin: str | None = None,
    limit_s: float = LIMIT_S,
    environment: Mapping[str, str] | None = None,
) -> str:
    """What it wrote. Raises Unavailable."""
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=limit_s, env=environment, errors="replace"
        )
    except FileNotFoundError:
        raise Unavailable(f"there is no {command[0]} here") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{' '.join(command[:6])}: not done within {limit_s:g} s") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
        raise Unavailable(f"{' '.join(command[:6])}: {'; '.join(said) or f'exit status {done.returncode}'}")
    return done.stdout


def succeeds(command: Sequence[str], limit_s: float = LIMIT_S) -> bool:
    """Whether it ends with status 0."""
    try:
        call(command, limit_s=limit_s)
    except Unavailable:
        return False
    return True
