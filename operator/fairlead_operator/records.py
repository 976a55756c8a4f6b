"""The memories of rollouts on disk, one file each, and the report that people and tools read.

<state-dir>/rollouts/NAME.json    a Rollout; lost or broken ones are rebuilt from the stored catalog
<state-dir>/rollouts.json         the report: what `fairlead rollouts` shows
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import quote

import msgspec

from fairlead_operator import files, log
from fairlead_operator.report import Report
from fairlead_operator.state import Rollout

_LONGEST = 150  # characters of a file's name; longer ones are named by their hash


class FileRecords:
    """The memories of all rollouts of one operator."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "rollouts"
        self._report = folder / "rollouts.json"
        self._folder.mkdir(parents=True, exist_ok=True)

    def load(self) -> dict[str, Rollout]:
        found = {}
        for path in sorted(self._folder.glob("*.json")):
            try:
                rollout = msgspec.json.decode(path.read_bytes(), type=Rollout)
            except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
                log.warning("memory lost", why=f"{path.name}: {error}; it is rebuilt from the catalog")
                continue
            found[rollout.served] = rollout
        return found

    def save(self, rollout: Rollout) -> None:
        files.write_atomic(self._path(rollout.served), msgspec.json.encode(rollout))

    def delete(self, served: str) -> None:
        self._path(served).unlink(missing_ok=True)

    def publish(self, report: Report) -> None:
        files.write_atomic(self._report, msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")

    def _path(self, served: str) -> Path:
        name = quote(served, safe="")
        if len(name) > _LONGEST:
            name = f"sha256-{hashlib.sha256(served.encode()).hexdigest()}"
        return self._folder / f"{name}.json"
