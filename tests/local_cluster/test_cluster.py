from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from local_cluster import addons, built_images, cluster
from local_cluster.cache import Say
from local_cluster.errors import Unavailable


class Fake:
    """A backend that remembers what was asked of it."""

    name = "fake"
    brings_dns = True

    def __init__(self, fault: str = "") -> None:
        self.asked: list[str] = []
        self._fault = fault

    def is_up(self) -> bool:
        return "finished" in self.asked

    def prepare(self, say: Say) -> None:
        self.asked.append("prepare")

    def up(self, say: Say) -> None:
        self.asked.append("up")
        if self._fault:
            raise Unavailable(self._fault)

    def finished(self) -> None:
        self.asked.append("finished")

    def down(self, say: Say) -> None:
        self.asked.append("down")

    def kubectl(self) -> Sequence[str]:
        return ["true"]

    def load(self, archive: Path, *names: str) -> None:
        self.asked.append(f"load {' '.join(names)}")

    def inside(self, command: Sequence[str]) -> Sequence[str]:
        return command


@pytest.fixture(autouse=True)
def _no_builds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(built_images, "archive", lambda built, say: Path("image.tar"))
    monkeypatch.setattr(addons, "kuberay", lambda backend, say: backend.load(Path("image.tar"), "kuberay"))


def use(monkeypatch: pytest.MonkeyPatch, backend: Fake) -> Fake:
    monkeypatch.setattr(cluster, "_backend", lambda: backend)
    return backend


def test_up_checks_the_cluster_before_it_says_ready(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """First the check of Services and DNS, then KubeRay; a second `up` changes nothing."""
    fake = use(monkeypatch, Fake())
    assert [cluster.main(["up"]), cluster.main(["up"])] == [0, 0]
    assert fake.asked == ["prepare", "up", f"load {built_images.POD.name}", "load kuberay", "finished"]
    assert "is up already" in capsys.readouterr().err


def test_an_up_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What was started is taken down; the last line says what was wrong."""
    fake = use(monkeypatch, Fake(fault="no root"))
    assert cluster.main(["up"]) == 1
    assert fake.asked == ["prepare", "up", "down"]
    assert capsys.readouterr().err.splitlines()[-1] == "cluster: no root"


def test_a_folder_becomes_an_image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An archive is loaded as it is; what is neither is refused."""
    fake = use(monkeypatch, Fake())
    (tmp_path / "root").mkdir()
    (tmp_path / "archive.tar").touch()
    assert cluster.main(["image", str(tmp_path / "root"), "localhost/a:1"]) == 0
    assert cluster.main(["image", str(tmp_path / "archive.tar"), "localhost/b:1"]) == 0
    assert cluster.main(["image", str(tmp_path / "nothing"), "localhost/c:1"]) == 1
    assert fake.asked == ["load localhost/a:1", "load localhost/b:1"]


@pytest.mark.parametrize("words", [[], ["update"], ["image", "only-one"], ["exec"], ["up", "more"]])
def test_wrong_arguments_say_how(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is done, and the usage comes."""
    assert cluster.main(words) == cluster.WRONG_ARGUMENTS
    assert "hack/cluster up" in capsys.readouterr().err


def test_a_node_without_root_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is installed, built or started."""
    monkeypatch.setenv(cluster.ALWAYS, "node")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(built_images, "archive", lambda built, say: pytest.fail("it builds"))
    assert cluster.main(["up"]) == 1
    assert "needs root" in capsys.readouterr().err


def test_what_was_interrupted_on_its_way_up_is_not_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is begun anew, and nothing runs in it before."""
    fake = use(monkeypatch, Fake())
    fake.asked.append("up")
    assert cluster.main(["exec", "true"]) == 1
    assert "the cluster is not up" in capsys.readouterr().err
    assert cluster.main(["up"]) == 0
    assert fake.asked[:3] == ["up", "prepare", "up"]
