"""The README's path: from `helm install` to a first answer, by the commands that a platform team types."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from harness.parts import until
from pods import readme
from pods.conftest import Installed
from pods.losses import under_load
from pods.site import NAMESPACE
from pods.terminal import Object, kubectl, run

OUTAGE_S, BACK_S = 300.0, 10.0
KUBERAY_MODULE = "github.com/ray-project/kuberay/ray-operator"


def of(installed: Installed, words: str) -> str:
    """The line of the README that has these words."""
    (line,) = (line for line in installed.printed if words in line)
    return line


def test_the_readmes_commands_lead_to_an_answer(installed: Installed, record_property: Any) -> None:
    """Each command succeeds; the model that was promoted answers through the Service."""
    told = json.loads(installed.printed[of(installed, "curl ")])
    assert (told["name"], told["platform"]) == ("churn", "onnxruntime_onnx")
    assert "1" in told["versions"]
    record_property("install_to_pool_ready_s", round(installed.seconds[of(installed, "wait rayservice/")], 1))
    record_property("promotion_to_ready_s", round(installed.seconds[of(installed, "wait servedmodel/")], 1))
    record_property("helm_test_s", round(installed.seconds[of(installed, "helm --namespace fairlead test")], 1))


def test_kubectl_get_servedmodels_tells_the_truth(installed: Installed) -> None:
    """What serves stands in the columns."""
    header, row = installed.printed[of(installed, "get servedmodels")].splitlines()
    columns = dict(zip(header.split(), row.split(), strict=False))
    assert (columns["NAME"], columns["MODEL"], columns["POOL"], columns["STABLE"]) == ("churn", "Churn", "default", "1")
    assert "True" in row.split()


def test_the_commands_that_were_not_run_here_are_the_ones_that_prepared_it() -> None:
    """The image and KubeRay: of the names and the version that this cluster was given."""
    build, kuberay = (line for line in readme.written() if line not in readme.commands())
    assert build == "hack/image/build fairlead:0.1.0"
    version = kuberay.rpartition("--version ")[2]
    pinned = run(["grep", KUBERAY_MODULE, "hack/local_cluster/modules/kuberay/go.mod"]).split()
    assert f"v{version}" in pinned


def test_the_death_of_the_head_is_an_outage_without_fault_tolerance(
    installed: Installed, tmp_path: Path, record_property: Any
) -> None:
    """As the chart's notes say of a pool like this one: Ray's worker ends with it, KubeRay makes both anew, and what is
    asked for serves again by nobody's help."""
    site = installed.site
    before = {pod["metadata"]["uid"]: restarts(pod) for pod in site.pods()}
    with under_load(site, "churn", installed.churn, tmp_path, timeout_s=5.0) as seen:
        started = time.monotonic()
        kubectl("delete", "pod", site.heads()[0]["metadata"]["name"], f"--namespace={NAMESPACE}")

        def ended() -> bool:
            return all(before.get(pod["metadata"]["uid"]) != restarts(pod) for pod in site.pods())

        until("the worker to end", ended, OUTAGE_S, every_s=1.0)
        site.settle()
        record_property("head_deleted_whole_again_s", round(time.monotonic() - started, 1))
        time.sleep(BACK_S)  # what clients' own back-off adds
    seen.record(record_property, "head_deleted")
    record_property("head_deleted_outage_s", round(seen.outage_s(), 1))
    assert seen.outage_s() > 0


def restarts(pod: Object) -> int:
    return sum(status["restartCount"] for status in pod["status"].get("containerStatuses", ()))
