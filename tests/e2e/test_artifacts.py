"""The store against a real MLflow: what we fetch by HTTP is what MLflow's own client downloads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness.registry import Registry

from fairlead_server.store.cache import Cache, Stored
from fairlead_server.store.digest import digest_folder
from fairlead_server.store.failure import FetchFailure
from fairlead_server.store.fetch import fetch
from fairlead_server.store.limits import Limits

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180), pytest.mark.xdist_group("one machine")]

DOWNLOAD = "import mlflow, sys; mlflow.artifacts.download_artifacts('models:/proxied/1', dst_path=sys.argv[1])"


def downloaded(registry: Registry, folder: Path) -> Path:
    environ = {**os.environ, "MLFLOW_TRACKING_URI": registry.uri}
    command = [sys.executable, "-c", DOWNLOAD, str(folder)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_a_proxied_artifact_is_what_mlflows_client_downloads(registry: Registry, tmp_path: Path) -> None:
    """The same files and so the same digest, but for `registered_model_meta`, which only the client's download has.
    What changes in the registry's store under its name is noticed by the pin; a wrong path is final."""
    version = registry.register("proxied", "linear-1")["1"]
    path = version["uri"].removeprefix("mlflow-artifacts:/")
    cache = Cache(tmp_path / "cache", Limits())

    def got(path: str, pinned: str | None = None) -> Stored:
        return fetch(cache, f"mlflow-artifacts+{registry.uri}/{path}", pinned, Limits(), lambda: False)

    client = downloaded(registry, tmp_path / "client")
    pinned = digest_folder(client)
    model = registry.folder(version) / "model.onnx"
    whole = model.read_bytes()
    try:
        model.write_bytes(whole[:-1])
        with pytest.raises(FetchFailure, match="changed after it was pinned") as changed:
            got(path, pinned)
    finally:
        model.write_bytes(whole)
    with pytest.raises(FetchFailure, match="holds no files") as missing:
        got("0/models/none")
    assert [changed.value.retry, missing.value.retry] == [False, False]

    stored = got(path, pinned)
    ours = {file.name for file in stored.path.iterdir()}
    assert {"MLmodel", "model.onnx", "input_example.json"} <= ours
    assert {file.name for file in client.iterdir()} - ours == {"registered_model_meta"}
    assert stored.digest == pinned == digest_folder(registry.folder(version))
