"""What is put on a bare cluster before it counts as up: DNS, the proof that Services and DNS work, KubeRay."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from local_cluster import built_images, modules
from local_cluster.backend import Backend
from local_cluster.built_images import Built
from local_cluster.cache import Say
from local_cluster.errors import Unavailable
from local_cluster.layout import filled
from local_cluster.shell import call

READY_S = 300.0
KUBERAY_MODULE = "github.com/ray-project/kuberay/ray-operator"
CHECK = "cluster-check"


def images(cluster: Backend) -> list[Built]:
    """What the functions below will load."""
    return [built_images.POD, built_images.KUBERAY, *([] if cluster.brings_dns else [built_images.COREDNS])]


def dns(cluster: Backend, say: Say) -> None:
    """For a cluster that comes without."""
    cluster.load(built_images.archive(built_images.COREDNS, say), built_images.COREDNS.name)
    say("starting DNS")
    _kubectl(cluster, "apply", "-f", "-", stdin=filled("dns.yaml"))
    _kubectl(cluster, "rollout", "status", "deployment/coredns", "--namespace=kube-system", *_limit())


def check(cluster: Backend, say: Say) -> None:
    """A pod reaches another by the name of its Service. Raises Unavailable when it does not."""
    cluster.load(built_images.archive(built_images.POD, say), built_images.POD.name)
    say("asking one pod from another through a Service and DNS")
    _kubectl(cluster, "apply", "-f", "-", stdin=filled("check.yaml"))
    try:
        done = "--for=jsonpath={.status.phase}=Succeeded"
        _kubectl(cluster, "wait", done, "pod/asking", f"--namespace={CHECK}", *_limit())
    except Unavailable as why:
        raise Unavailable(f"no pod reaches another by the name of its Service ({why})") from None
    finally:
        _kubectl(cluster, "delete", "namespace", CHECK, "--wait=false")


def kuberay(cluster: Backend, say: Say) -> None:
    """Its operator is available, its definitions are served."""
    cluster.load(built_images.archive(built_images.KUBERAY, say), built_images.KUBERAY.name)
    say("starting KubeRay's operator")
    with tempfile.TemporaryDirectory(prefix="fairlead-kuberay-") as scratch:
        folder = Path(scratch)
        shutil.copytree(modules.folder("kuberay", KUBERAY_MODULE) / "config", folder / "config")
        shutil.copyfile(Path(__file__).parent / "templates" / "kuberay-namespace.yaml", folder / "namespace.yaml")
        (folder / "kustomization.yaml").write_text(filled("kuberay.yaml"))
        _kubectl(cluster, "apply", "--server-side", "--kustomize", str(folder))
    where = "--namespace=kuberay-system"
    _kubectl(cluster, "wait", "--for=condition=Established", "crd", "--all", *_limit())
    _kubectl(cluster, "rollout", "status", "deployment/kuberay-operator", where, *_limit())


def _kubectl(cluster: Backend, *words: str, stdin: str | None = None) -> None:
    call([*cluster.kubectl(), *words], stdin=stdin, limit_s=READY_S + 30)


def _limit() -> tuple[str]:
    return (f"--timeout={READY_S:g}s",)
