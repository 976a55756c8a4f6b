"""store.digest: the published vectors, and what a digest depends on."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fairlead_server.store.digest import digest_folder

VECTORS = json.loads((Path(__file__).parent / "vectors" / "digest.json").read_text())
PAGE = (Path(__file__).parents[3] / "docs" / "digest.md").read_text()


def lay(folder: Path, files: dict[str, str]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    return folder


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_published_vectors_hold(vector: dict[str, Any], tmp_path: Path) -> None:
    """Each published folder has the published digest."""
    assert digest_folder(lay(tmp_path, vector["files"])) == vector["digest"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_shell_command_of_the_documentation_agrees(vector: dict[str, Any], tmp_path: Path) -> None:
    """The command shown in docs/digest.md gives the same, with no code of ours."""
    command = re.search(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    assert command is not None
    folder = lay(tmp_path, vector["files"])
    done = subprocess.run(
        ["bash", "-c", command[1]], cwd=folder, capture_output=True, text=True, check=True, timeout=20
    )
    assert f"sha256:{done.stdout.split()[0]}" == vector["digest"]


def test_the_documentation_shows_the_first_vector() -> None:
    """The digest printed in docs/digest.md is the first vector's."""
    assert VECTORS[0]["digest"] in PAGE


def test_only_names_and_bytes_count(tmp_path: Path) -> None:
    """Times, modes, empty folders and a link inside the folder's place of storage change nothing."""
    plain = lay(tmp_path / "plain", {"a": "1", "b": "1"})
    other = lay(tmp_path / "other", {"a": "1"})
    (other / "b").symlink_to("a")
    (other / "empty").mkdir()
    os.utime(other / "a", (1, 1))
    (other / "a").chmod(0o600)
    assert digest_folder(other) == digest_folder(plain)


def test_a_renamed_file_is_another_content(tmp_path: Path) -> None:
    """The same bytes under another name have another digest."""
    assert digest_folder(lay(tmp_path / "x", {"a": "1"})) != digest_folder(lay(tmp_path / "y", {"b": "1"}))
