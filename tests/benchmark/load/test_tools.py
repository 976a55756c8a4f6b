"""Generators are found, or one line says how to get them. Nothing is installed here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmark.load import tools
from benchmark.load.tools import GO_TOOLS, ToolMissing, cache_folder, tool


@pytest.fixture(name="cache", autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, nothing in PATH, and no right to install."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    return tmp_path / "fairlead-bench" / "bin"


def put(cache: Path, name: str) -> str:
    cache.mkdir(parents=True, exist_ok=True)
    (cache / name).touch()
    return str(cache / name)


@pytest.mark.parametrize("name", GO_TOOLS)
def test_what_was_built_once_in_this_version_is_used(cache: Path, name: str) -> None:
    path = put(cache, f"{name}-{GO_TOOLS[name].version}")
    assert tool(name) == path


def test_another_version_is_another_file(cache: Path) -> None:
    put(cache, "ghz-v0.1.0")
    with pytest.raises(ToolMissing, match="built by Go, which is not in PATH"):
        tool("ghz")


@pytest.mark.parametrize(("name", "package"), [("wrk", "wrk"), ("h2load", "nghttp2-client")])
def test_a_missing_package_is_named(name: str, package: str) -> None:
    with pytest.raises(ToolMissing, match=f"apt install {package}"):
        tool(name)


def test_a_build_that_fails_says_its_last_line_and_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = cache.parent.parent / "nothing" / "go"
    go.parent.mkdir()
    go.write_text(f"#!{sys.executable}\nimport sys\nprint('first', file=sys.stderr)\nsys.exit('no such module')\n")
    go.chmod(0o755)
    with pytest.raises(ToolMissing, match="vegeta/v12 could not be installed: no such module"):
        tool("vegeta")
    assert list(cache.iterdir()) == []


def test_the_cache_is_the_users_where_nothing_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_folder() == Path("/home/somebody/.cache/fairlead-bench")


def test_every_generator_has_a_version_that_never_moves() -> None:
    assert all(wanted.version.startswith("v") for wanted in GO_TOOLS.values())
    assert set(tools.NAMES) == {"wrk", "h2load", "vegeta", "ghz", "perf_analyzer"}
