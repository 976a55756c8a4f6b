"""The load of `load.py` seen from a test: what to send, and what came back."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from harness.parts import HERE, Part, Replica, until


def plan(
    replicas: list[Replica], model: str, versions: dict[str, Any], kinds: list[str], **more: Any
) -> dict[str, Any]:
    """A plan for harness/load.py over the versions that `Registry.register` told of."""
    answered = {number: version["outputs"] for number, version in versions.items() if version["outputs"]}
    return {
        "replicas": [replica.addresses() for replica in replicas],
        "model": model,
        "input": "input",
        "output": "output",
        "inputs": next(iter(versions.values()))["inputs"],
        "expected": answered,
        "kinds": kinds,
        **more,
    }


@dataclasses.dataclass
class Report:
    """What the load saw."""

    records: list[dict[str, Any]]

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["kind"] in kinds]

    def lost(self, *kinds: str) -> list[dict[str, Any]]:
        return [record for record in (self.of(*kinds) if kinds else self.records) if "error" in record]

    def wrong(self) -> list[dict[str, Any]]:
        return [record for record in self.records if record.get("wrong")]

    def versions(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for record in self.records:
            if "version" in record:
                counts[record["version"]] = counts.get(record["version"], 0) + 1
        return counts

    def longest_s(self) -> float:
        return max(record["done"] - record["due"] for record in self.records)


class Load:
    """The load generator of `load.py`, running until `finish`."""

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        number = len(list(folder.glob("plan-*.json")))
        self.out = folder / f"records-{number}.json"
        plan_file = folder / f"plan-{number}.json"
        plan_file.write_text(json.dumps(plan))
        command = [sys.executable, str(HERE / "load.py"), str(plan_file), str(self.out)]
        self.part = Part("load", command, folder / f"load-{number}.log", stdin=True)
        until("the load to start", self._started, 60)

    def _started(self) -> bool:
        assert self.part.alive(), self.part.text()[-2000:]
        return "started" in self.part.text().splitlines()

    def finish(self) -> Report:
        status = self.part.stop()
        assert status == 0, self.part.text()[-3000:]
        return Report(json.loads(self.out.read_text()))

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        if self.part.alive():
            self.part.kill()
