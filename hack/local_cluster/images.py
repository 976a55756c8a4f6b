"""Images without a builder and without a registry: a folder becomes an archive with one layer, for a cluster to load.

The archive has the form of `docker save`. Times and owners inside are fixed, so the same folder is the same image.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from local_cluster.errors import Unavailable

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def write(root: Path, name: str, archive: Path, entrypoint: Sequence[str] = (), user: str = "") -> None:
    """`archive` (a new file) holds one image, `name`, whose one layer is everything below `root`."""
    with tempfile.TemporaryDirectory(dir=archive.parent) as scratch:
        layer = Path(scratch) / "layer.tar"
        with tarfile.open(layer, "w", format=tarfile.PAX_FORMAT) as tar:
            tar.add(root, ".", filter=_timeless)
        digest = _sha256(layer)
        config = _config(digest, entrypoint, user)
        file = f"{hashlib.sha256(config).hexdigest()}.json"
        manifest = json.dumps([{"Config": file, "RepoTags": [name], "Layers": [f"{digest}/layer.tar"]}]).encode()
        with tarfile.open(archive, "w") as tar:
            for path, content in ((file, config), ("manifest.json", manifest)):
                entry = tarfile.TarInfo(path)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
            tar.add(layer, f"{digest}/layer.tar", filter=_timeless)


def called(archive: Path) -> str:
    """The name that an archive of `docker save` gives its one image. Raises Unavailable."""
    try:
        with tarfile.open(archive) as tar:
            manifest = tar.extractfile("manifest.json")
            names: list[str] = [
                name for image in json.load(manifest or io.BytesIO(b"[]")) for name in image["RepoTags"] or ()
            ]
    except (KeyError, ValueError, tarfile.TarError):
        raise Unavailable(f"{archive} is no archive of `docker save`") from None
    if len(names) != 1:
        raise Unavailable(f"{archive} holds {len(names)} images, and one is wanted: {' '.join(names)}")
    return names[0]


def _config(layer: str, entrypoint: Sequence[str], user: str) -> bytes:
    machine = ARCHITECTURES.get(platform.machine())
    if machine is None:
        raise Unavailable(f"there are no images for {platform.machine()}")
    runs = {"Env": [PATH], "WorkingDir": "/", "User": user, **({"Entrypoint": list(entrypoint)} if entrypoint else {})}
    layers = {"type": "layers", "diff_ids": [f"sha256:{layer}"]}
    return json.dumps({"architecture": machine, "os": "linux", "config": runs, "rootfs": layers}).encode()


def _timeless(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime = 0
    return entry


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
