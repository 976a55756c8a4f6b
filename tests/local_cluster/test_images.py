from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest

from local_cluster import images
from local_cluster.errors import Unavailable


def test_a_folder_becomes_one_image(tmp_path: Path) -> None:
    """The archive has the form of `docker save`: a manifest, a config that names the layer by its sum, the layer."""
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "it").write_text("it")
    images.write(root, "localhost/it:1", tmp_path / "it.tar", entrypoint=["/bin/it"], user="1000")
    with tarfile.open(tmp_path / "it.tar") as tar:

        def content(name: str) -> bytes:
            file = tar.extractfile(name)
            assert file is not None
            return file.read()

        (manifest,) = json.loads(content("manifest.json"))
        config = json.loads(content(manifest["Config"]))
        layer = content(manifest["Layers"][0])
        names = tar.getnames()
    assert manifest["RepoTags"] == ["localhost/it:1"] == [images.called(tmp_path / "it.tar")]
    assert manifest["Config"] in names
    assert config["config"]["Entrypoint"] == ["/bin/it"]
    assert config["config"]["User"] == "1000"
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]


def test_the_same_folder_is_the_same_image(tmp_path: Path) -> None:
    """When it was written does not matter: what is loaded again is known already."""
    root = tmp_path / "root"
    root.mkdir()
    sums = []
    for second in (0, 1_000_000_000):
        (root / "it").write_text("it")
        for path in (root / "it", root):
            os.utime(path, (second, second))
        archive = tmp_path / f"{second}.tar"
        images.write(root, "localhost/it:1", archive)
        sums.append(hashlib.sha256(archive.read_bytes()).hexdigest())
    assert sums[0] == sums[1]


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    """A file that is no archive, and an archive without a manifest."""
    (tmp_path / "text").write_text("text")
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    for name in ("text", "empty.tar"):
        with pytest.raises(Unavailable, match="is no archive of `docker save`"):
            images.called(tmp_path / name)
