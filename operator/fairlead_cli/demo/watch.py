"""The eyes of the demo: the answers as they come, since when each version is ready, a row every two seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from fairlead_cli.demo import report
from fairlead_cli.demo.answers import AnswerFile
from fairlead_cli.demo.figures import Answer, Truth
from fairlead_cli.errors import CommandError
from fairlead_cli.up import Up

_T = TypeVar("_T")
_ROW_S = 2.0
_LOOK_S = 0.2


class Watch:
    """Sees one model of a running `up`. `truth.ready` is filled in from the pool's status."""

    def __init__(self, up: Up, model: str, truth: Truth) -> None:
        self.truth = truth
        self.answers = AnswerFile(up.folder.root / "answers.jsonl")
        self._up = up
        self._model = model
        self._began = time.monotonic()
        self._row_at: float | None = None  # when the last row was shown; None while there is no traffic
        self._since_row: list[Answer] = []
        self._lost = 0
        self._client = httpx.Client(timeout=2.0, trust_env=False)

    def say(self, text: str) -> None:
        """One line of the story, with the seconds since it began."""
        self._up.voice.say(f"{time.monotonic() - self._began:4.0f} s  {text}")

    def traffic(self) -> None:
        """From now on there are rows."""
        self._row_at = time.monotonic()
        self._up.voice.say(report.HEAD)

    def for_a_while(self, seconds: float) -> None:
        """Lets the traffic run."""
        end = time.monotonic() + seconds
        self.until("", lambda: time.monotonic() >= end or None, seconds + 5)

    def until(self, what: str, probe: Callable[[], _T | None], limit_s: float) -> _T:
        """Watches until `probe` gives something. The rows are the progress; without traffic `up` tells it."""

        def look() -> _T | None:
            self.look()
            return probe()

        if self._row_at is None:
            return self._up.wait(what, look, limit_s)
        deadline = time.monotonic() + limit_s
        while (found := look()) is None:
            self._up.check()
            if time.monotonic() > deadline:
                raise CommandError(f"waited {limit_s:.0f} s for {what}; the logs are in {self._up.folder.logs}")
            time.sleep(_LOOK_S)
        return found

    def look(self) -> None:
        """Takes in what has happened."""
        self._note_ready()
        new = self.answers.read()
        self._since_row += new
        self._lost += sum(bool(answer.error) for answer in new)
        if self._row_at is not None and (span := time.monotonic() - self._row_at) >= _ROW_S:
            at_s = time.monotonic() - self._began
            self._up.voice.say(report.row(at_s, self._since_row, span, self.truth.digits, self._lost))
            self._row_at, self._since_row = time.monotonic(), []

    def _note_ready(self) -> None:
        for version, told in self.versions().items():
            if told.get("state") == "ready":
                self.truth.ready.setdefault(version, told["since"])

    def versions(self) -> dict[str, Any]:
        """The model's versions as the pool's status tells them; {} while it does not."""
        try:
            status = self._client.get(f"{self._up.at.control}/control/status").json()
            return dict(status["models"][self._model]["versions"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return {}
