"""What a data scientist does with a real MLflow, from a test."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
from harness.parts import HERE
from mlflow_server import MlflowServer


@dataclasses.dataclass
class Registry:
    """A real MLflow, and what a data scientist does with it."""

    server: MlflowServer

    @property
    def uri(self) -> str:
        return self.server.uri

    def register(self, model: str, *kinds: str) -> dict[str, dict[str, Any]]:
        """Logs and registers one version for each kind (see harness/register.py)."""
        command = [sys.executable, str(HERE / "register.py"), self.uri, model, *kinds]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        versions: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
        return versions

    def call(self, method: str, path: str, **fields: Any) -> dict[str, Any]:
        where = {"params": fields} if method == "GET" else {"json": fields}
        answer = httpx.request(method, f"{self.uri}/api/2.0/mlflow/{path}", timeout=10, **where)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def promote(self, model: str, version: str, alias: str = "champion") -> None:
        self.call("POST", "registered-models/alias", name=model, alias=alias, version=version)

    def tags(self, model: str, version: str) -> dict[str, str]:
        found = self.call("GET", "model-versions/get", name=model, version=version)
        return {tag["key"]: tag["value"] for tag in found["model_version"].get("tags", [])}

    def folder(self, version: dict[str, Any]) -> Path:
        """Where the artifacts of a registered version lie on this disk."""
        path = version["uri"].removeprefix("mlflow-artifacts:/")
        return self.server.artifacts / path
