"""The clients' lines, read while they are written: the one file between the load and the story."""

from __future__ import annotations

import json
from pathlib import Path

from fairlead_cli.demo.figures import Answer


class AnswerFile:
    """All answers so far, in the order in which they came."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.all: list[Answer] = []
        self._at = 0
        path.unlink(missing_ok=True)

    def read(self) -> list[Answer]:
        """What has come since the last call; a line that is still being written waits for the next one."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._at)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        new = [Answer(**json.loads(line)) for line in whole.splitlines()]
        self.all += new
        return new
