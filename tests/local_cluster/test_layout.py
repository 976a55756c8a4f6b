from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import yaml

from local_cluster import layout

READERS = {".yaml": lambda text: list(yaml.safe_load_all(text)), ".toml": tomllib.loads, ".conflist": json.loads}


@pytest.mark.parametrize("template", sorted(path.name for path in layout.TEMPLATES.iterdir()))
def test_every_template_is_filled_and_well_formed(template: str) -> None:
    """Each name that it uses has a value, and what comes out can be read."""
    assert READERS[Path(template).suffix](layout.filled(template))


def test_sockets_have_short_paths() -> None:
    """A Unix socket's path has 107 characters at most, and containerd appends to it."""
    assert len(str(layout.RUN)) < 40
