"""Versions that must not be served: the old one serves on under load, and the reason is told.

One edge replica with two workers, one operator; each test promotes a model of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from harness.loads import Load, plan
from harness.parts import Part, Replica, edge, operator, until
from harness.registry import Registry

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180), pytest.mark.xdist_group("one machine")]

MEMORY_LIMIT = 1000 * 2**20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def serving(folder: Path) -> Iterator[tuple[Part, Replica]]:
    limit = ("--memory-limit", str(MEMORY_LIMIT))
    with edge(folder, folder / "catalog.json", workers=2, extra=limit) as (part, replica):
        until("the control API", lambda: part.alive() and replica.status(), 30)
        yield part, replica


@pytest.fixture(scope="module")
def replica(serving: tuple[Part, Replica]) -> Replica:
    return serving[1]


@pytest.fixture(scope="module")
def operating(folder: Path, registry: Registry, replica: Replica) -> Iterator[Part]:
    with operator(folder, registry.uri, folder / "catalog.json", [replica]) as part:
        yield part


def route(replica: Replica, model: str) -> dict[str, float]:
    """The versions that requests are sent to; a weight of 0 is loaded, and gets none."""
    weights: dict[str, float] = replica.status()["models"].get(model, {}).get("route", {})
    return {version: weight for version, weight in weights.items() if weight > 0}


def serve_first(registry: Registry, replica: Replica, model: str, *kinds: str) -> dict[str, dict[str, Any]]:
    """Registers all versions and promotes the first."""
    versions = registry.register(model, *kinds)
    registry.promote(model, "1")
    until(f"{model} 1 to serve", lambda: set(route(replica, model)) == {"1"}, 60)
    return versions


def refused(registry: Registry, replica: Replica, tmp_path: Path, model: str, versions: dict[str, Any]) -> str:
    """Promotes version 2 under load, sees it refused and nothing lost; the reason."""
    with Load(tmp_path, plan([replica], model, versions, ["http", "grpc"])) as load:
        registry.promote(model, "2")
        status = until(
            f"{model} 2 to be refused",
            lambda: (tag := registry.tags(model, "2").get("fairlead.status", "")).startswith("refused") and tag,
            90,
        )
        time.sleep(1)
        report = load.finish()
    assert report.lost() == []
    assert report.wrong() == []
    assert set(report.versions()) == {"1"}
    assert set(route(replica, model)) == {"1"}
    return str(status)


def test_a_damaged_artifact_is_refused(registry: Registry, replica: Replica, operating: Part, tmp_path: Path) -> None:
    """A model file that was cut short after it was registered never gets a request."""
    versions = serve_first(registry, replica, "damaged", "linear-1", "linear-2")
    file = registry.folder(versions["2"]) / "model.onnx"
    file.write_bytes(file.read_bytes()[:100])
    assert "damaged" in refused(registry, replica, tmp_path, "damaged", versions)


def test_a_missing_file_is_refused(registry: Registry, replica: Replica, operating: Part, tmp_path: Path) -> None:
    """A version whose folder lacks the model file is refused, and the reason names the file."""
    versions = serve_first(registry, replica, "missing", "linear-1", "linear-2")
    (registry.folder(versions["2"]) / "model.onnx").unlink()
    assert "model.onnx" in refused(registry, replica, tmp_path, "missing", versions)


def test_another_signature_is_refused(registry: Registry, replica: Replica, operating: Part, tmp_path: Path) -> None:
    """A version that does not take what the old one took is refused, and the reason names the difference."""
    versions = serve_first(registry, replica, "resigned", "linear-1", "other")
    assert "input" in refused(registry, replica, tmp_path, "resigned", versions)


def test_another_signature_is_served_when_it_is_intended(registry: Registry, replica: Replica, operating: Part) -> None:
    """The tag fairlead.allow_signature_change lets an intended change through."""
    serve_first(registry, replica, "intended", "linear-1", "other")
    tag = {"key": "fairlead.allow_signature_change", "value": "true"}
    registry.call("POST", "model-versions/set-tag", name="intended", version="2", **tag)
    registry.promote("intended", "2")
    until("version 2 to serve", lambda: set(route(replica, "intended")) == {"2"}, 60)


def test_a_model_that_kills_its_process_while_loading_is_refused(
    registry: Registry, replica: Replica, operating: Part, tmp_path: Path
) -> None:
    """It dies in a trial worker, twice; no other request notices, and no worker was lost."""
    versions = serve_first(registry, replica, "explosive", "linear-1", "kills-loading")
    before = {worker["pid"] for worker in replica.workers()}
    reason = refused(registry, replica, tmp_path, "explosive", versions)
    assert "signal" in reason.lower() or "SIGFPE" in reason
    assert {worker["pid"] for worker in replica.workers()} == before


def test_a_model_that_kills_its_process_while_running_is_condemned(
    registry: Registry, replica: Replica, operating: Part
) -> None:
    """Three deaths in the same version condemn it; the other models answer on."""
    versions = registry.register("landmine", "kills-running")
    serve_first(registry, replica, "bystander", "linear-1")
    registry.promote("landmine", "1")
    until("the landmine to serve", lambda: set(route(replica, "landmine")) == {"1"}, 60)
    client = triton.InferenceServerClient(replica.http, network_timeout=20, connection_timeout=20)
    harmless = infer(client, "landmine", versions["1"]["inputs"][:1])
    assert np.allclose(harmless, versions["1"]["outputs"][0])

    def condemned() -> bool:
        if replica.version("landmine", "1").get("state") == "failed":
            return True
        try:
            infer(client, "landmine", [[-1.0] * 4])
        except Exception:  # what a client sees of a killed worker is its own affair; the count is ours
            time.sleep(0.5)
        return False

    until("the version to be condemned", condemned, 90)
    version = replica.version("landmine", "1")
    assert version["final"]
    assert "died 3 times of it" in version["reason"]
    until("the workers to be back", lambda: [w["state"] for w in replica.workers()] == ["accepting"] * 2, 30)
    answer = httpx.get(f"http://{replica.http}/v2/models/bystander/ready", timeout=5)
    assert answer.status_code == 200
    until("the reason in MLflow", lambda: "killed" in registry.tags("landmine", "1").get("fairlead.status", ""), 30)


def infer(client: Any, model: str, rows: list[list[float]]) -> Any:
    values = np.array(rows, dtype=np.float32)
    tensor = triton.InferInput("input", list(values.shape), "FP32")
    tensor.set_data_from_numpy(values)
    return client.infer(model, [tensor]).as_numpy("output")


def test_a_model_that_does_not_fit_is_refused(
    registry: Registry, replica: Replica, operating: Part, tmp_path: Path
) -> None:
    """A version beyond the replica's memory limit is refused before it is loaded, and the reason says the sizes."""
    versions = serve_first(registry, replica, "heavy", "linear-1", "big-250")
    reason = refused(registry, replica, tmp_path, "heavy", versions)
    assert "memory" in reason
    assert "MiB" in reason or "GiB" in reason


def test_an_alias_on_a_version_that_does_not_exist_changes_nothing(
    registry: Registry, replica: Replica, operating: Part
) -> None:
    """The version behind the alias is deleted in MLflow before the operator sees it: the old one serves on, and the
    rollout says why."""
    serve_first(registry, replica, "ghost", "linear-1", "linear-2")
    before = len(operating.text())
    os.kill(operating.pid, signal.SIGSTOP)
    try:
        registry.promote("ghost", "2")
        registry.call("DELETE", "model-versions/delete", name="ghost", version="2")
    finally:
        os.kill(operating.pid, signal.SIGCONT)

    def reason() -> bool:
        lines = operating.text()[before:].splitlines()
        return any('"ghost"' in line and ("AliasGone" in line or "VersionGone" in line) for line in lines)

    until("the operator's reason", reason, 60)
    assert set(route(replica, "ghost")) == {"1"}
    assert httpx.get(f"http://{replica.http}/v2/models/ghost/ready", timeout=5).status_code == 200


def test_an_artifact_that_changes_after_it_was_pinned_is_refused(
    registry: Registry, folder: Path, tmp_path: Path, replica: Replica, operating: Part
) -> None:
    """A replica that comes later and finds other bytes under the pinned version refuses them and says so."""
    versions = serve_first(registry, replica, "swapped", "linear-1")
    until("the pin", lambda: registry.tags("swapped", "1").get("fairlead.digest"), 30)
    other = registry.register("swapped-source", "linear-2")
    shutil.copy(registry.folder(other["1"]) / "model.onnx", registry.folder(versions["1"]) / "model.onnx")
    (tmp_path / "catalog.json").write_bytes((folder / "catalog.json").read_bytes())
    with edge(tmp_path, tmp_path / "catalog.json") as (_, late):

        def failed() -> dict[str, Any] | None:
            version = late.version("swapped", "1")
            return version if version.get("state") == "failed" else None

        version = until("the late replica to refuse", failed, 60)
    assert "changed" in version["reason"]
    assert version["final"]
    # The running replica goes on with what it verified.
    assert set(route(replica, "swapped")) == {"1"}
