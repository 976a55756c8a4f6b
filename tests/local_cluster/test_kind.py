"""What kind's cluster is told that can be judged without a Docker."""

from __future__ import annotations

import pytest

from local_cluster import kind


@pytest.mark.parametrize(
    ("docker", "containerd"),
    [
        ("fairlead:0.1.0", "docker.io/library/fairlead:0.1.0"),
        ("rayproject/ray:2", "docker.io/rayproject/ray:2"),
        ("localhost/fairlead/pod:1", "localhost/fairlead/pod:1"),
        ("registry.example.com/fairlead:1", "registry.example.com/fairlead:1"),
        ("registry:5000/fairlead:1", "registry:5000/fairlead:1"),
    ],
)
def test_an_images_name_in_the_node(docker: str, containerd: str) -> None:
    """Docker's short names have a host and a library there."""
    assert kind._canonical(docker) == containerd
