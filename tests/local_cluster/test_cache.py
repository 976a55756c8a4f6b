from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from local_cluster import cache


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache.home()


def test_a_folder_is_made_once(home: Path) -> None:
    """The second caller gets the folder that the first one made."""
    makers: list[Path] = []

    def make(into: Path) -> None:
        makers.append(into)
        (into / "it").write_text("it")

    for _ in range(2):
        assert (cache.made("it-1", make, print) / "it").read_text() == "it"
    assert len(makers) == 1
    assert cache.made("it-1", make, print) == home / "it-1"


def test_a_failure_leaves_nothing_behind(home: Path) -> None:
    """Neither a folder that looks made, nor what was half done."""

    def fail(into: Path) -> None:
        (into / "half").touch()
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        cache.made("it-1", fail, print)
    assert [path.name for path in home.iterdir()] == ["it-1.lock"]
    assert cache.made("it-1", lambda into: (into / "whole").touch(), print).is_dir()


def test_two_at_once_take_turns() -> None:
    """One makes it, the other waits, says so once, and finds it made."""
    running = threading.Event()
    made: list[str] = []
    said: list[str] = []

    def make(_: Path) -> None:
        running.set()
        made.append("first")
        time.sleep(0.5)

    first = threading.Thread(target=cache.made, args=("it-1", make, said.append))
    first.start()
    assert running.wait(10)
    cache.made("it-1", lambda _: made.append("second"), said.append)
    first.join()
    assert (made, said) == (["first"], ["another run is at work: waiting"])


def test_a_key_tells_contents_apart(tmp_path: Path) -> None:
    """The order and the border of the parts count, and a file counts as what is in it."""
    file = tmp_path / "file"
    file.write_text("ab")
    assert cache.key("ab", "c") != cache.key("a", "bc")
    assert cache.key("ab", "c") != cache.key("c", "ab")
    assert cache.key(file) == cache.key("ab") == cache.key(b"ab")
