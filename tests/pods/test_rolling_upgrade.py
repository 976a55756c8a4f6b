"""A rolling upgrade: `helm upgrade` to another image, through a second Ray cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pods.losses import under_load
from pods.site import NEXT_TAG, Site


def test_a_rolling_upgrade_costs_nothing(site: Site, tmp_path: Path, record_property: Any) -> None:
    """The new pods serve before the old ones leave, and the operator is replaced, too."""
    versions = site.registry.register("upgraded", "linear-8")
    site.promote("upgraded", "1")
    with under_load(site, "upgraded", versions, tmp_path) as seen:
        site.tag = NEXT_TAG
        took_s = site.change()
    seen.record(record_property, "rolling_upgrade")
    record_property("rolling_upgrade_s", round(took_s, 1))
    images = {pod["spec"]["containers"][0]["image"] for pod in [*site.pods(), *site.operators()]}
    assert images == {f"fairlead:{NEXT_TAG}"}
    assert seen.lost() == []
