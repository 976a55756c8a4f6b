"""The README's commands for platform teams, as they stand there."""

from __future__ import annotations

import re

from pods.terminal import ROOT

SECTION = "## On Kubernetes"
BROUGHT = ("hack/image/build ", "helm install kuberay-operator ")  # hack/e2e and hack/cluster have done these


def written() -> list[str]:
    """All lines of the section's shell blocks, without comments; a line may go on after a backslash."""
    section = (ROOT / "README.md").read_text().partition(SECTION)[2].partition("\n## ")[0]
    blocks = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [" ".join(line.split("  #")[0].split()) for line in lines if line.strip() and not line.startswith("#")]


def commands() -> list[str]:
    return [line for line in written() if not line.startswith(BROUGHT)]


def here(line: str, registry: str) -> str:
    """As it is run here: MLflow is reached by its address, since names of Services are known in pods alone."""
    return line.replace("http://localhost:5000", registry)
