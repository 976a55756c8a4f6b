"""A promotion in a cluster: nothing is lost, and nothing of Kubernetes' is touched for it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pods.site import BARE, KINDS, Site
from pods.terminal import Object

STEADY_S = 3.0


def untouched(site: Site) -> Object:
    """What must be the same before and after: the RayService's generation, the pods and their containers."""
    pods = [*site.pods(), *site.heads()]
    return {
        "generation": site.rayservice()["metadata"]["generation"],
        "pods": sorted((pod["metadata"]["uid"], pod["metadata"]["generation"]) for pod in pods),
        "restarts": [status["restartCount"] for pod in pods for status in pod["status"]["containerStatuses"]],
    }


def test_a_promotion_loses_nothing_and_touches_no_pod(site: Site, tmp_path: Path, record_property: Any) -> None:
    """An alias is moved under load on both protocols: no request is lost or wrong, the RayService stays as it is.

    Nobody has asked for the model but its tag in MLflow, so its ServedModel is the operator's own work.
    """
    versions = site.registry.register("steady", "linear-3", "linear-4")
    site.promote("steady", "1")
    assert site.served("steady")["metadata"]["labels"]["fairlead.dev/from-registry"]
    before = untouched(site)
    with site.load("steady", versions, tmp_path, rate=20.0) as load:
        time.sleep(STEADY_S)
        record_property("promotion_s", round(site.promote("steady", "2"), 1))
        time.sleep(STEADY_S)
        report = load.finish()
    assert (report.lost(), report.wrong()) == ([], [])
    assert set(report.versions()) == {"1", "2"}
    assert {record["kind"] for record in report.records} == set(KINDS)
    assert untouched(site) == before
    record_property("promotion_requests", len(report.records))
    record_property("promotion_bare_new_grpc_channels", len(report.of(BARE)))
