from __future__ import annotations

from pathlib import Path

import pytest

from local_cluster import cache, envtest, modules, programs
from local_cluster.errors import Unavailable


@pytest.fixture(autouse=True)
def _bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No programs, no Go, an empty cache, and nobody who answers at the archive's address."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(programs.ASSETS, raising=False)
    monkeypatch.setattr(envtest, "ADDRESS", "http://127.0.0.1:9/{version}/{name}")


def place(folder: Path, names: tuple[str, ...] = programs.API_SERVER) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return folder


def test_what_the_caller_names_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KUBEBUILDER_ASSETS wins over PATH; PATH over all that would have to be fetched."""
    named, on_path = place(tmp_path / "named"), place(tmp_path / "on-path")
    monkeypatch.setenv("PATH", str(on_path))
    assert programs.api_server(print) == on_path
    monkeypatch.setenv(programs.ASSETS, str(named))
    assert programs.api_server(print) == named


def test_assets_that_lack_a_program_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the caller names is never passed over in silence."""
    monkeypatch.setenv(programs.ASSETS, str(place(tmp_path / "named", ("etcd", "kubectl"))))
    with pytest.raises(Unavailable, match="there is no kube-apiserver: correct it or unset it"):
        programs.api_server(print)


def test_a_lone_program_on_the_path_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kubectl of another version is on many machines: the set is taken whole or not at all."""
    monkeypatch.setenv("PATH", str(place(tmp_path / "on-path", ("kubectl",))))
    with pytest.raises(Unavailable, match="run hack/apiserver once"):
        programs.api_server_here()


def test_where_nothing_can_be_had_one_line_says_so() -> None:
    """The archive's failure is said on the way; the error is what to do about Go."""
    said: list[str] = []
    with pytest.raises(Unavailable, match=r"^there is no Go in PATH .*$"):
        programs.api_server(said.append)
    assert any("archive cannot be had" in line for line in said)
    assert not list(cache.home().glob("apiserver*/"))


def test_what_was_made_is_found_again() -> None:
    """A test finds at once what `hack/apiserver` made before."""
    kept = place(cache.home() / programs.kept_name("apiserver"))
    assert programs.api_server_here() == kept == programs.api_server(print)


def test_the_archive_is_of_the_pinned_minor_version() -> None:
    """Two ways to the same API server must not be two minor versions."""
    assert programs.kubernetes_version().rpartition(".")[0] == f"v{envtest.VERSION}".rpartition(".")[0]


def test_every_module_is_pinned() -> None:
    """Each module has its sums, but the one that needs no other."""
    for folder in modules.MODULES.iterdir():
        assert (folder / "go.mod").is_file()
        assert (folder / "go.sum").is_file() or "require" not in (folder / "go.mod").read_text()
