"""The peers' environments: what makes them, where they lie, and what is said where one cannot be had."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from benchmark.environments import LOCKS, Environment, InstallFailed
from benchmark.subjects.every import every
from benchmark.subjects.peer import Peer
from benchmark.subjects.triton import Triton, fitting_python

NAMES = sorted(path.stem for path in LOCKS.glob("*.txt"))


def test_it_is_made_outside_the_repository_from_hashes(tmp_path: Path) -> None:
    """uv makes the environment and fills it from the lock, with no file that the lock does not know."""
    found = Environment("kserve", cache=tmp_path)
    make, fill = found.commands()
    assert make[1:] == ["venv", "--quiet", "--clear", "--python", sys.executable, str(found.folder)]
    assert fill[1:5] == ["pip", "sync", "--quiet", "--require-hashes"]
    assert fill[5:] == ["--python", str(found.folder / "bin" / "python"), str(LOCKS / "kserve.txt")]
    assert Path(make[0]).name == "uv"


def test_another_lock_is_another_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder's name holds the lock's hash and the interpreter's path."""
    monkeypatch.setattr("benchmark.environments.LOCKS", tmp_path)
    lock = tmp_path / "peer.txt"
    lock.write_text("a==1")
    first = Environment("peer", cache=tmp_path).folder
    assert Environment("peer", cache=tmp_path).folder == first
    assert Environment("peer", cache=tmp_path, interpreter=Path("/usr/bin/python3")).folder != first
    lock.write_text("a==2")
    assert Environment("peer", cache=tmp_path).folder != first
    assert re.fullmatch(r"peer-[0-9a-f]{12}", first.name)


def test_what_the_installer_said_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed installation leaves an environment that is not ready."""
    monkeypatch.setattr("benchmark.environments.LOCKS", tmp_path)
    (tmp_path / "peer.txt").write_text("a==1")
    found = Environment("peer", cache=tmp_path, interpreter=tmp_path / "no-python")
    with pytest.raises(InstallFailed, match="no-python"):
        found.make()
    assert not found.ready()


@pytest.mark.parametrize("name", NAMES)
def test_locks_pin_everything_and_name_no_address(name: str) -> None:
    """Every package has a version and hashes, and ONNX Runtime has the version that Fairlead runs."""
    text = (LOCKS / f"{name}.txt").read_text()
    assert "://" not in text
    pinned = re.findall(r"^([a-zA-Z0-9._-]+)(?:\[[^]]*\])?==([^ ]+).*\\$", text, re.MULTILINE)
    assert len(pinned) == len(re.findall(r"^[a-zA-Z0-9]", text, re.MULTILINE))
    runtime = re.search(r"^onnxruntime==(\S+)", (LOCKS.parent / "dev.txt").read_text(), re.MULTILINE)
    assert runtime
    assert ("onnxruntime", runtime[1]) in pinned


def test_a_peer_says_that_its_environment_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    peers = [subject for subject in every(tmp_path).values() if isinstance(subject, Peer)]
    assert {peer.environment.name for peer in peers} == set(NAMES)
    for peer in peers:
        name = peer.environment.name
        assert re.fullmatch(rf"its environment \({name}-[0-9a-f]{{12}}\) is not installed|it needs .*", peer.missing())


def test_triton_needs_a_python_with_a_library(tmp_path: Path) -> None:
    """What is no Python, or not there, does not fit; and the sentence says what to install."""
    absent = str(tmp_path / "python")
    assert fitting_python((absent, "/bin/false")) is None
    triton = Triton(tmp_path, [absent])
    assert "shared libpython" in triton.missing()
    assert "apt install" in triton.missing()
    with pytest.raises(InstallFailed, match="shared libpython"):
        triton.prepare()
