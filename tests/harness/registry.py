"""What a data scientist does with a real MLflow, from a test."""

from __future__ import annotations

import dataclasses
import json
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
from harness.parts import HERE
from mlflow_server import MlflowServer

REGISTER_S = 120.0


@dataclasses.dataclass
class Registry:
    """A real MLflow, and what a data scientist does with it."""

    server: MlflowServer
    scientist: subprocess.Popen[str] | None = None

    @property
    def uri(self) -> str:
        return self.server.uri

    def register(self, model: str, *kinds: str) -> dict[str, dict[str, Any]]:
        """Logs and registers one version for each kind (see harness/register.py)."""
        if self.scientist is None:
            command = [sys.executable, str(HERE / "register.py"), self.uri]
            with self._log.open("w") as log:
                pipe = subprocess.PIPE
                self.scientist = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True)
        stdin, stdout = self.scientist.stdin, self.scientist.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(" ".join([model, *kinds]) + "\n")
        stdin.flush()
        answered = select.select([stdout], [], [], REGISTER_S)[0]
        line = stdout.readline() if answered else ""
        assert line, f"{model} was not registered:\n{self._log.read_text()[-3000:]}"
        versions: dict[str, dict[str, Any]] = json.loads(line)
        return versions

    def close(self) -> None:
        if self.scientist is not None:
            self.scientist.kill()
            self.scientist.communicate()

    @property
    def _log(self) -> Path:
        return self.server.artifacts.parent / "register.log"

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
