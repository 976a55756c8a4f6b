"""How far a run is, told line by line."""

from __future__ import annotations

import time
from collections.abc import Callable


class Progress:
    """After the first round the time that is left is told, too."""

    def __init__(self, rounds: int, out: Callable[[str], None], now: Callable[[], float] = time.monotonic) -> None:
        self.failures: list[str] = []
        self._rounds = rounds
        self._out = out
        self._now = now
        self._began = self._round_began = now()
        self._round = 0
        self._left_s = 0.0

    def next_round(self, left_s: float) -> None:
        """`left_s` is what this round and those after it are expected to take, 0 for unknown."""
        self._round_began = self._now()
        self._left_s = left_s
        self._round += 1

    def say(self, text: str) -> None:
        self._out(f"{_clock(self._now() - self._began)} {self._where()}{text}")

    def fail(self, text: str) -> None:
        """Told whole, and kept once by its first line, however many rounds it fails in; what follows it (the end of a
        log) is kept by its last line."""
        first, *more = text.strip().splitlines() or [""]
        if not any(failure.startswith(first) for failure in self.failures):
            self.failures.append(f"{first} {more[-1].strip()}" if more else first)
        self.say(f"NOT MEASURED: {text}")

    def _where(self) -> str:
        if not self._round:
            return ""
        left = self._left_s - (self._now() - self._round_began)
        told = f", {_clock(max(0.0, left))} left" if self._left_s else ""
        return f"[round {self._round} of {self._rounds}{told}] "


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
