"""What a disturbance of the cluster cost clients who called the pool's Service meanwhile."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.loads import Report
from pods.site import BARE, KINDS, Site

BEFORE_S, AFTER_S = 2.0, 3.0
SAFE = tuple(kind for kind in KINDS if kind != BARE)


@dataclasses.dataclass
class Seen:
    """Filled when the disturbance is over. `outage_s` is from the first lost request to the last."""

    report: Report = dataclasses.field(default_factory=lambda: Report([]))

    def lost(self) -> list[dict[str, Any]]:
        """Without new gRPC channels that do not retry: what lay in a leaving listener's kernel queue is theirs."""
        return self.report.lost(*SAFE)

    def outage_s(self) -> float:
        due = [record["due"] for record in self.report.lost(*SAFE)]
        return max(due) - min(due) if due else 0.0

    def record(self, record_property: Any, name: str) -> None:
        bare = self.report.of(BARE)
        record_property(f"{name}_lost", f"{len(self.lost())} of {len(self.report.of(*SAFE))}")
        record_property(f"{name}_bare_new_grpc_lost", f"{len(self.report.lost(BARE))} of {len(bare)}")
        record_property(f"{name}_longest_s", round(self.report.longest_s(), 2))


@contextlib.contextmanager
def under_load(site: Site, model: str, versions: dict[str, Any], folder: Path, **more: Any) -> Iterator[Seen]:
    """Load from before the disturbance inside until after it."""
    seen = Seen()
    with site.load(model, versions, folder, **more) as load:
        time.sleep(BEFORE_S)
        yield seen
        time.sleep(AFTER_S)
        seen.report = load.finish()
    assert seen.report.wrong() == []
    assert len(seen.report.records) > len(KINDS)
