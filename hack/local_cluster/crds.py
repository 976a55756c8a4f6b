"""The resource definitions of KubeRay, the Gateway API and KServe, out of their own Go modules: nothing is copied."""

from __future__ import annotations

import shutil
from pathlib import Path

from local_cluster import cache, modules
from local_cluster.cache import Say

PLACES = {
    "kuberay": ("github.com/ray-project/kuberay/ray-operator", "config/crd/bases"),
    "gateway-api": ("sigs.k8s.io/gateway-api", "config/crd/standard"),
    "kserve": ("github.com/kserve/kserve", "config/crd/full"),
}


def crds(name: str, say: Say) -> Path:
    """A folder of CustomResourceDefinitions in YAML, one a file; `name` is one of PLACES. Raises Unavailable."""
    module, place = PLACES[name]

    def copy(into: Path) -> None:
        say(f"fetching the Go module {module}")
        for source in sorted((modules.folder(name, module) / place).glob("*_*.yaml")):
            shutil.copyfile(source, into / source.name)

    return cache.made(f"crds-{name}-{modules.pinned(name)}", copy, say)
