"""Every command of docs/servedmodel.md and of the examples' comments, run as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube.api_server import ApiServer
from kube.served_models import DIGEST, STATUS, create, model, patch, place, soon

from local_cluster.programs import api_server_here

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "servedmodel.md").read_text()
EXAMPLES = ROOT / "manifests" / "servedmodels"
SHELL = [line for block in re.findall(r"(?s)```bash\n(.*?)```", DOCUMENT) for line in block.splitlines() if line]
COMMENTS = {
    file.name: [
        re.split(r"\s{3,}", line.removeprefix("#").strip())[0]
        for line in file.read_text().splitlines()
        if re.match(r"#\s+(kubectl|DIGEST=)", line)
    ]
    for file in sorted(EXAMPLES.glob("*.yaml"))
}
READY = {**STATUS, "candidate": {"version": "4", "digest": DIGEST}, "conditions": [
    {**STATUS["conditions"][0], "status": "True"}
]}  # fmt: skip


def run(server: ApiServer, namespace: str, folder: Path, lines: list[str]) -> str:
    """By a shell in the folder, which stops at the first that fails; what all of them wrote."""
    config = yaml.safe_load(server.kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = namespace
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))
    path = f"{api_server_here()}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(lines)],
        cwd=folder,
        env={**os.environ, "PATH": path, "KUBECONFIG": str(folder / "kubeconfig"), "HOME": str(server.folder)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def stand(server: ApiServer, namespace: str, *documents: dict[str, Any]) -> None:
    """ServedModels with a status, as the operator would have written it."""
    for document in documents:
        create(server, namespace, document)
        patch(server, f"{place(namespace, document['metadata']['name'])}/status", {"status": READY})


def test_the_documents_commands(served_models: ApiServer, namespace: str, tmp_path: Path) -> None:
    """On the document's own YAML."""
    text = re.findall(r"(?s)```yaml\n(.*?)```", DOCUMENT)[0]
    (tmp_path / "churn.yaml").write_text(text)
    stand(served_models, namespace, yaml.safe_load(text), model("credit"))
    soon(lambda: served_models.kubectl("explain", "sm.spec.settings"), "max_batch_size")
    assert len([line for line in SHELL if "kubectl" in line]) > 5
    said = run(served_models, namespace, tmp_path, SHELL)
    assert "servedmodel.fairlead.dev/churn condition met" in said
    annotations = served_models.get("servedmodel", "churn", namespace)["metadata"]["annotations"]
    assert annotations["fairlead.dev/rollback"] == DIGEST
    assert "fairlead.dev/pause" not in annotations


@pytest.mark.parametrize("name", [name for name, lines in COMMENTS.items() if lines])
def test_an_examples_commands(served_models: ApiServer, namespace: str, tmp_path: Path, name: str) -> None:
    """In the folder of the example; its object stands already, with a status."""
    [document] = yaml.safe_load_all((EXAMPLES / name).read_text())
    stand(served_models, namespace, document)
    (tmp_path / name).write_text((EXAMPLES / name).read_text())
    run(served_models, namespace, tmp_path, COMMENTS[name])
