"""A pool of another size: by its values, and by what its replicas measure."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pods.losses import under_load
from pods.site import Site

BUSY_RATE, QUIET_RATE = 40.0, 1.0  # of each kind of client, a second
# One replica is enough for the quiet, and two are wanted for the busy: a twentieth of a core is the border.
CHOOSES = {
    "poolDefaults": {
        "replicas": 1,
        "autoscaling": {
            "enabled": True, "least": 1, "most": 2,
            "targets": {
                "busy": 0.05, "queue": 1000, "refused": 1, "aheadSeconds": 0, "trendSeconds": 0, "downSeconds": 20,
            },
        },
    }
}  # fmt: skip


def test_a_pool_is_scaled_in_place_without_a_loss(site: Site, tmp_path: Path, record_property: Any) -> None:
    """Up by a pod, and down again: pods that stay are not touched, and the one that leaves drains."""
    versions = site.registry.register("scaled", "linear-9")
    site.promote("scaled", "1")
    two = site.lives()
    with under_load(site, "scaled", versions, tmp_path) as seen:
        record_property("scaled_up_s", round(site.change({"poolDefaults": {"replicas": 3}}), 1))
        three = site.lives()
        record_property("scaled_down_s", round(site.change(), 1))
    seen.record(record_property, "scaled")
    assert two < three
    assert site.lives() < three
    assert seen.lost() == []


def test_a_pool_chooses_its_size_by_its_load(site: Site, tmp_path: Path, record_property: Any) -> None:
    """Serve asks for a replica, Ray's autoscaler for a pod, KubeRay makes it; and all the way back when it is quiet."""
    site.change(CHOOSES)
    versions = site.registry.register("busy", "linear-10")
    site.promote("busy", "1")
    with under_load(site, "busy", versions, tmp_path, rate=BUSY_RATE) as busy:
        started = time.monotonic()
        site.settle(replicas=2)
        record_property("chosen_up_s", round(time.monotonic() - started, 1))
    busy.record(record_property, "chosen_up")
    with under_load(site, "busy", versions, tmp_path, rate=QUIET_RATE) as quiet:
        started = time.monotonic()
        site.settle(replicas=1)
        record_property("chosen_down_s", round(time.monotonic() - started, 1))
    quiet.record(record_property, "chosen_down")
    assert busy.lost() == []
    assert quiet.lost() == []
