"""The images of the node's own pods, each one program from a Go module: archives, kept from one cluster to the next."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from local_cluster import modules
from local_cluster.cache import Say, made
from local_cluster.images import write
from local_cluster.layout import COREDNS_IMAGE, KUBERAY_IMAGE, POD_IMAGE

ARCHIVE = "image.tar"


class Built(NamedTuple):
    """`program` of the Go `package` in modules/`module` becomes /`called` in the image `name`."""

    name: str
    module: str
    package: str
    program: str
    called: str
    user: str = ""


POD = Built(POD_IMAGE, "pod", ".", "pod", "pod")
COREDNS = Built(COREDNS_IMAGE, "coredns", ".", "coredns", "coredns")
KUBERAY = Built(
    KUBERAY_IMAGE, "kuberay", "github.com/ray-project/kuberay/ray-operator", "ray-operator", "manager", "65532:65532"
)


def archive(built: Built, say: Say) -> Path:
    """As `docker save` would write it. Raises Unavailable."""

    def make(into: Path) -> None:
        say(f"building the image {built.name}")
        root = into / "root"
        root.mkdir()
        modules.build(built.module, [built.package], root, say)
        (root / built.program).rename(root / built.called)
        write(root, built.name, into / ARCHIVE, entrypoint=[f"/{built.called}"], user=built.user)
        (root / built.called).unlink()
        root.rmdir()

    return made(f"image-{built.module}-{modules.pinned(built.module)}", make, say) / ARCHIVE
