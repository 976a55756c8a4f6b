"""Where Kubernetes' programs come from: what the machine has, else the official archive, else the Go modules.

    KUBEBUILDER_ASSETS -> PATH -> the cache -> envtest's archive -> a build of modules/etcd and modules/kubernetes

A place counts when it has all that is asked for, so that the programs of one set are of one version.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from local_cluster import cache, envtest, modules
from local_cluster.cache import Say
from local_cluster.errors import Unavailable

API_SERVER = ("etcd", "kube-apiserver", "kubectl")
NODE = ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")

ASSETS = "KUBEBUILDER_ASSETS"
COMMANDS = "k8s.io/kubernetes/cmd/"
VERSIONS = "k8s.io/component-base/version."


def api_server(say: Say) -> Path:
    """A folder with etcd, kube-apiserver and kubectl; makes it when this machine has none. Raises Unavailable."""
    return _here() or kept_api_server(say)


def kept_api_server(say: Say) -> Path:
    """The same, and never what the machine brings along: of the pinned minor version. Raises Unavailable."""
    return cache.made(kept_name("apiserver"), lambda into: _make_api_server(into, say), say)


def api_server_here() -> Path:
    """The same where it is already, in no time; raises Unavailable where it would have to be made."""
    found = _here() or cache.home() / kept_name("apiserver")
    if not found.is_dir():
        raise Unavailable("there is no API server here yet: run hack/apiserver once (it builds for some minutes)")
    return found


def node(say: Say) -> Path:
    """A folder with what a node has beside the API server, always built from the Go modules. Raises Unavailable."""
    return cache.made(kept_name("node"), lambda into: _build_kubernetes(NODE, into, say), say)


def kubernetes_version() -> str:
    """The version that modules/kubernetes pins, as v1.34.4."""
    found = re.search(r"k8s\.io/kubernetes (v\S+)", (modules.MODULES / "kubernetes" / "go.mod").read_text())
    assert found, "modules/kubernetes/go.mod requires no k8s.io/kubernetes"
    return found[1]


def kept_name(what: str) -> str:
    """The name of the cached folder of the `apiserver`'s or the `node`'s programs."""
    return f"{what}-{kubernetes_version()}-{cache.key(modules.pinned('etcd'), modules.pinned('kubernetes'))}"


def _here() -> Path | None:
    named = os.environ.get(ASSETS)
    if named:
        lacking = [name for name in API_SERVER if not os.access(Path(named) / name, os.X_OK)]
        if lacking:
            raise Unavailable(
                f"{ASSETS} is {named}, and there is no {' and no '.join(lacking)}: correct it or unset it"
            )
        return Path(named)
    places = [Path(found).parent for name in API_SERVER if (found := shutil.which(name))]
    whole = [place for place in places if all(os.access(place / name, os.X_OK) for name in API_SERVER)]
    return whole[0] if whole else None


def _make_api_server(into: Path, say: Say) -> None:
    try:
        say(f"asking for envtest's archive {envtest.VERSION}")
        envtest.download(into, API_SERVER)
    except Unavailable as why:
        say(f"{why}; building from the Go modules instead, once: about 4 minutes on 2 cores, 1.5 GB of Go's cache")
        modules.build("etcd", ["."], into, say)
        _build_kubernetes(("kube-apiserver", "kubectl"), into, say)


def _build_kubernetes(names: tuple[str, ...], into: Path, say: Say) -> None:
    version = kubernetes_version()
    major, minor, _ = version.removeprefix("v").split(".")
    link = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    packages = [COMMANDS + name for name in names]
    modules.build("kubernetes", packages, into, say, link={VERSIONS + name: value for name, value in link.items()})
