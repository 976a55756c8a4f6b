"""The node's containerd: its client, inside the node's namespaces, in the namespace of images that the kubelet uses."""

from __future__ import annotations

import re
from pathlib import Path

from local_cluster.errors import Unavailable
from local_cluster.layout import RUN
from local_cluster.network import enter
from local_cluster.shell import call, succeeds

IMPORT_S = 600.0
UNPACKED = re.compile(r"^unpacking (\S+) \((\S+)\)", re.MULTILINE)  # a name and its image's digest


def answers() -> bool:
    return succeeds(_client("version"))


def load(archive: Path, *names: str) -> None:
    """The one image of an archive (of `docker save` or OCI), under `names` whatever the archive calls it."""
    digests = dict(UNPACKED.findall(_ctr("images", "import", str(archive))))
    if len(set(digests.values())) != 1:
        raise Unavailable(f"{archive} holds {len(digests)} images, and one is wanted: {' '.join(digests)}")
    for name in names:
        if name not in digests:
            _ctr("images", "tag", "--force", next(iter(digests)), name)
    unnamed = nameless(_ctr("images", "list"))
    if unnamed:
        _ctr("images", "remove", *unnamed)  # what its name was taken from would fill the disk, a build at a time


def nameless(listed: str) -> list[str]:
    """The references of images that have no other name than the kubelet's for every image, `sha256:...`."""
    rows = [line.split()[:3] for line in listed.splitlines()[1:]]
    named = {digest for name, _, digest in rows if not name.startswith("sha256:")}
    return [name for name, _, digest in rows if digest not in named]


def clear() -> None:
    """Ends and forgets every container; images stay. Raises Unavailable when one is left."""
    for what, words in (("tasks", ("rm", "--force")), ("containers", ("rm",))):
        names = _ctr(what, "list", "--quiet").split()
        # The end of a pod's sandbox ends others of the list, and the complaint about those means nothing.
        if names and not succeeds(_client(what, *words, *names)) and (left := _ctr(what, "list", "--quiet").split()):
            raise Unavailable(f"containerd still has {len(left)} {what} after their removal")


def _ctr(*words: str) -> str:
    return call(_client(*words), limit_s=IMPORT_S)


def _client(*words: str) -> list[str]:
    return [*enter(), "ctr", f"--address={RUN / 'containerd.sock'}", "--namespace=k8s.io", *words]
