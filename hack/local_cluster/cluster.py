"""`hack/cluster`: a whole cluster with KubeRay on this machine, up and down.

hack/cluster up                  kind where Docker works (unless FAIRLEAD_CLUSTER=node), else a node of its own (needs
                                 root); ready when it ends
hack/cluster down                takes it down; images and built programs are kept
hack/cluster image SOURCE NAME...  an archive of one image, or the folder of a root file system, gets these names
hack/cluster exec COMMAND...     runs COMMAND where Services can be reached, with kubectl and KUBECONFIG
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from local_cluster import addons, built_images, cache, images, kind
from local_cluster.backend import Backend
from local_cluster.errors import Unavailable
from local_cluster.kind import Kind
from local_cluster.node import Node

WRONG_ARGUMENTS = 2
ALWAYS = "FAIRLEAD_CLUSTER"


def main(arguments: Sequence[str]) -> int:
    """0: done; 1: it cannot be done, and one line says why; 2: wrong arguments."""
    try:
        match arguments:
            case ["up"]:
                with _alone():
                    _up(_backend())
            case ["down"]:
                with _alone():
                    _backend().down(_say)
            case ["image", source, name, *more]:
                _image(_backend(), Path(source), [name, *more])
            case ["exec", program, *rest]:
                cluster = _backend()
                if not cluster.is_up():
                    raise Unavailable("the cluster is not up: hack/cluster up")
                words = list(cluster.inside([program, *rest]))
                os.execvp(words[0], words)  # noqa: S606 - no shell is wanted
            case _:
                print(__doc__, file=sys.stderr)
                return WRONG_ARGUMENTS
    except Unavailable as why:
        _say(str(why))
        return 1
    return 0


def _up(cluster: Backend) -> None:
    if cluster.is_up():
        _say("is up already (hack/cluster down ends it)")
        return
    started = time.monotonic()
    cluster.prepare(_say)
    try:
        for image in addons.images(cluster):
            built_images.archive(image, _say)  # now, and not while a cluster stands there half ready
        cluster.up(_say)
        if not cluster.brings_dns:
            addons.dns(cluster, _say)
        addons.check(cluster, _say)
        addons.kuberay(cluster, _say)
        cluster.finished()
    except BaseException:
        _say("taking down what was started")
        cluster.down(_say)
        raise
    _say(f"ready after {time.monotonic() - started:.0f} s ({cluster.name}): hack/cluster exec kubectl get pods -A")


def _image(cluster: Backend, source: Path, names: Sequence[str]) -> None:
    if source.is_file():
        cluster.load(source.resolve(), *names)
    elif source.is_dir():
        with tempfile.TemporaryDirectory(prefix="fairlead-image-") as scratch:
            archive = Path(scratch) / "image.tar"
            images.write(source, names[0], archive)
            cluster.load(archive, *names)
    else:
        raise Unavailable(f"{source} is neither an archive nor a folder")


def _alone() -> AbstractContextManager[None]:
    """Two at once would take down what the other one starts."""
    return cache.turn(cache.home() / "cluster.lock", _say)


def _backend() -> Backend:
    """The one that is up already goes on being it. FAIRLEAD_CLUSTER=node: no kind, whatever works."""
    node = Node()
    return node if node.is_up() or os.environ.get(ALWAYS) == "node" or not kind.works() else Kind()


def _say(line: str) -> None:
    print(f"cluster: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    for ended in (signal.SIGTERM, signal.SIGHUP):  # what is half up is taken down then, too
        signal.signal(ended, lambda number, _: sys.exit(128 + number))
    sys.exit(main(sys.argv[1:]))
