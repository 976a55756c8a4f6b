"""The node's images, as containerd lists them."""

from __future__ import annotations

from local_cluster.containers import nameless

LISTED = """REF TYPE DIGEST SIZE PLATFORMS LABELS
docker.io/library/a:1 application/vnd.docker.distribution.manifest.v2+json sha256:new 1.5 GiB linux/amd64 io.cri=managed
sha256:c1 application/vnd.docker.distribution.manifest.v2+json sha256:old 1.5 GiB linux/amd64 io.cri=managed
sha256:c2 application/vnd.docker.distribution.manifest.v2+json sha256:new 1.5 GiB linux/amd64 io.cri=managed
"""


def test_an_image_whose_name_was_taken_has_none() -> None:
    """It goes; what has a name keeps both references."""
    assert nameless(LISTED) == ["sha256:c1"]
    assert nameless("REF TYPE DIGEST SIZE PLATFORMS LABELS\n") == []
