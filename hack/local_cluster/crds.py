"""The resource definitions of KubeRay and of the Gateway API, out of their own Go modules: nothing is copied."""

from __future__ import annotations

import shutil
from pathlib import Path

from local_cluster import cache, modules
from local_cluster.cache import Say

PLACES = {
    "kuberay": ("github.com/ray-project/kuberay/ray-operator", "config/crd/bases"),
    "gateway-api": ("sigs.k8s.io/gateway-api", "config/crd/standard"),
}


def crds(name: str, say: Say) -> Path:
    """A folder of CustomResourceDefinitions in YAML, one a file: `kuberay` or `gateway-api`. Raises Unavailable."""
    module, place = PLACES[name]

    def copy(into: Path) -> None:
        say(f"fetching the Go module {module}")
        for source in sorted((modules.folder(name, module) / place).glob("*.yaml")):
            shutil.copyfile(source, into / source.name)

    return cache.made(f"crds-{name}-{modules.pinned(name)}", copy, say)
