"""store.listing: which files a folder's content is, and which names and links are refused."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from fairlead_server.store.failure import FetchFailure
from fairlead_server.store.limits import Limits
from fairlead_server.store.listing import check_name, list_folder


def names(folder: Path, limits: Limits | None = None) -> list[str]:
    return [file.path for file in list_folder(folder, limits or Limits())]


def refused(folder: Path, limits: Limits | None = None) -> str:
    with pytest.raises(FetchFailure) as caught:
        names(folder, limits)
    assert not caught.value.retry
    return caught.value.reason


def test_all_regular_files_are_listed_by_name(tmp_path: Path) -> None:
    """Files at every depth, hidden ones too, sorted; the file that MLflow's clients add is not."""
    for path in ("b", "a/c/d", ".hidden", "registered_model_meta", "a/registered_model_meta"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    assert names(tmp_path) == [".hidden", "a/c/d", "a/registered_model_meta", "b"]


def test_a_link_to_a_file_inside_counts_as_that_file(tmp_path: Path) -> None:
    """It has the size of what it points to."""
    (tmp_path / "a").write_text("123")
    (tmp_path / "b").symlink_to("a")
    assert [(file.path, file.size) for file in list_folder(tmp_path, Limits())] == [("a", 3), ("b", 3)]


def test_links_that_leave_or_lead_nowhere_are_refused(tmp_path: Path) -> None:
    """Absolute, by `..`, in a ring, to nothing, to a folder: each with its reason."""
    (tmp_path / "outside").write_text("secret")
    cases = {
        "absolute": (str(tmp_path / "outside"), "'l' is a link that leaves the folder"),
        "relative": ("../outside", "'l' is a link that leaves the folder"),
        "ring": ("l", "'l' is a link that leads nowhere"),
        "nothing": ("nothing", "'l' is a link that leads nowhere"),
        "folder": (".", "'l' is a link to a folder"),
    }
    for name, (target, told) in cases.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "l").symlink_to(target)
        assert refused(tmp_path / name).startswith(told), name


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """Pipes and sockets are refused, not read."""
    (tmp_path / "p").mkdir()
    os.mkfifo(tmp_path / "p" / "pipe")
    assert refused(tmp_path / "p").startswith("'pipe' is neither a file nor a folder")
    (tmp_path / "s").mkdir()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(os.path.relpath(tmp_path / "s" / "sock"))
        assert refused(tmp_path / "s").startswith("'sock' is neither a file nor a folder")


def test_empty_crowded_and_deep_folders_are_refused(tmp_path: Path) -> None:
    """No files, more than the limit, deeper than the limit."""
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    assert refused(tmp_path / "empty") == "holds no files"
    (tmp_path / "many").mkdir()
    for i in range(4):
        (tmp_path / "many" / str(i)).write_text("")
    assert refused(tmp_path / "many", Limits(files=3)).startswith("holds more than 3 files")
    (tmp_path / "deep" / "a" / "b" / "c").mkdir(parents=True)
    assert refused(tmp_path / "deep", Limits(depth=2)) == "holds folders deeper than 2 levels"


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", ".", "./a", "a\nb", "a\0b", "a\\b"]
)
def test_names_that_could_reach_elsewhere_are_refused(name: str) -> None:
    """Only plain relative names pass."""
    with pytest.raises(FetchFailure, match="the file name"):
        check_name(name)


@pytest.mark.parametrize("name", ["model.onnx", "a/b c/ä.bin", "...", "..a", "a..", "%2e%2e"])
def test_odd_names_that_stay_inside_are_fine(name: str) -> None:
    """Spaces, dots and other scripts are ordinary."""
    check_name(name)
