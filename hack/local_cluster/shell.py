"""Runs a program to its end, with a time limit; a failure is one line with the end of what the program said."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

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
        raise Unavailable(f"{_shown(command)}: not done within {limit_s:g} s") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
        raise Unavailable(f"{_shown(command)}: {'; '.join(said) or f'exit status {done.returncode}'}")
    return done.stdout


def succeeds(command: Sequence[str], limit_s: float = LIMIT_S) -> bool:
    """Whether it ends with status 0."""
    try:
        call(command, limit_s=limit_s)
    except Unavailable:
        return False
    return True


def _shown(command: Sequence[str]) -> str:
    """The program and its first arguments, without the words that only put it into a namespace."""
    words = list(command[command.index("--") + 1 :] if command[0] == "nsenter" else command)
    arguments = [word for word in words[1:] if not word.startswith("--")]
    return " ".join([Path(words[0]).name, *arguments[:3]])
