"""supervisor.folder: what lies in a watched folder becomes the models of a catalog, and oddities hurt nobody."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fairlead_server.models.catalog import ModelEntry
from fairlead_server.store.digest import digest_folder
from fairlead_server.store.listing import LocalFile
from fairlead_server.supervisor.folder import Look, Memory, Scan, Sighting, remember, scan, settle, to_hash


def put(path: Path, content: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def settled(path: Path, memory: Memory | None = None) -> Scan:
    """Two scans: what is unchanged is taken by the second."""
    return scan(path, scan(path, memory).memory)


def versions(entry: ModelEntry) -> dict[str, str]:
    return {version: one.source for version, one in entry.versions.items()}


def test_tritons_layout_gives_every_version_and_the_route_to_the_highest(tmp_path: Path) -> None:
    """NAME/VERSION/model.onnx: all are there, 10 is higher than 9."""
    for version in ("2", "9", "10"):
        put(tmp_path / "churn" / version / "model.onnx", version)
    put(tmp_path / "churn" / "config.pbtxt")
    models = settled(tmp_path).models
    assert versions(models["churn"]) == {v: str(tmp_path / "churn" / v) for v in ("2", "9", "10")}
    assert models["churn"].route.weights == {"10": 1.0}
    assert models["churn"].versions["9"].digest == digest_folder(tmp_path / "churn" / "9")


def test_a_model_file_in_the_models_folder_is_version_1(tmp_path: Path) -> None:
    """NAME/model.onnx, with what lies beside it."""
    put(tmp_path / "a name, with 100 % oddities" / "model.onnx")
    put(tmp_path / "a name, with 100 % oddities" / "model.onnx.data")
    models = settled(tmp_path).models
    assert versions(models["a name, with 100 % oddities"]) == {"1": str(tmp_path / "a name, with 100 % oddities")}


def test_mlflow_folders_are_versions(tmp_path: Path) -> None:
    """NAME/MLmodel is version 1, NAME/VERSION/MLmodel that version; folders of the model's own are part of it."""
    put(tmp_path / "whole" / "MLmodel")
    put(tmp_path / "whole" / "model.onnx")
    put(tmp_path / "whole" / "3" / "notes.txt")
    put(tmp_path / "numbered" / "7" / "MLmodel")
    models = settled(tmp_path).models
    assert versions(models["whole"]) == {"1": str(tmp_path / "whole")}
    assert versions(models["numbered"]) == {"7": str(tmp_path / "numbered" / "7")}


def test_one_file_is_one_model(tmp_path: Path) -> None:
    """The name is the file's stem, and the digest is that of a folder with only this file."""
    file = put(tmp_path / "churn.onnx")
    put(tmp_path / "other.txt")
    put(tmp_path / "alone" / "churn.onnx")
    models = settled(file).models
    assert versions(models["churn"]) == {"1": str(file)}
    assert models["churn"].versions["1"].digest == digest_folder(tmp_path / "alone")


def test_nothing_is_taken_before_two_scans_saw_it_unchanged(tmp_path: Path) -> None:
    """A file that still grows is not taken; once it rests it is."""
    put(tmp_path / "m" / "1" / "model.onnx", "half")
    first = scan(tmp_path)
    assert first.models == {}
    put(tmp_path / "m" / "1" / "model.onnx", "half and more")
    second = scan(tmp_path, first.memory)
    assert second.models == {}
    assert list(scan(tmp_path, second.memory).models) == ["m"]


def test_a_change_in_place_keeps_the_old_entry_until_it_rests(tmp_path: Path) -> None:
    """While a version is overwritten its old entry stands, then the new digest takes over."""
    put(tmp_path / "m" / "1" / "model.onnx", "old")
    old = settled(tmp_path)
    put(tmp_path / "m" / "1" / "model.onnx", "new one")
    meanwhile = scan(tmp_path, old.memory)
    assert meanwhile.models == old.models
    new = scan(tmp_path, meanwhile.memory)
    assert new.models["m"].versions["1"].digest == digest_folder(tmp_path / "m" / "1")
    assert new.models != old.models


def test_what_is_removed_disappears(tmp_path: Path) -> None:
    """A version's folder that is gone in two scans is gone; the next lower one takes the route."""
    for version in ("1", "2"):
        put(tmp_path / "m" / version / "model.onnx", version)
    before = settled(tmp_path)
    (tmp_path / "m" / "2" / "model.onnx").unlink()
    (tmp_path / "m" / "2").rmdir()
    assert scan(tmp_path, before.memory).models == before.models
    after = settled(tmp_path, before.memory)
    assert list(after.models["m"].versions) == ["1"]
    assert after.models["m"].route.weights == {"1": 1.0}


def test_a_broken_folder_keeps_what_was_taken_and_is_told(tmp_path: Path) -> None:
    """A version whose file is missing stays as it was; the reason is told; the neighbours live."""
    put(tmp_path / "m" / "1" / "model.onnx")
    put(tmp_path / "neighbour" / "1" / "model.onnx")
    before = settled(tmp_path)
    (tmp_path / "m" / "1" / "model.onnx").unlink()
    after = settled(tmp_path, before.memory)
    assert after.models == before.models
    assert after.problems == {"m/1": "holds no model.onnx and no MLmodel"}


def test_the_watched_folder_gone_is_no_absence(tmp_path: Path) -> None:
    """When the folder itself cannot be read everything stays, and that is told."""
    put(tmp_path / "models" / "m" / "1" / "model.onnx")
    before = settled(tmp_path / "models")
    (tmp_path / "models").rename(tmp_path / "elsewhere")
    after = settled(tmp_path / "models", before.memory)
    assert after.models == before.models
    assert after.problems[""].endswith("models cannot be read: No such file or directory")


def test_a_restart_begins_with_what_was_served(tmp_path: Path) -> None:
    """With the stored catalog remembered, a folder that cannot be read at the start unloads nothing, what is as it
    was is no change, and what was removed meanwhile goes."""
    for version in ("1", "2"):
        put(tmp_path / "models" / "m" / version / "model.onnx", version)
    before = settled(tmp_path / "models").models
    (tmp_path / "models").rename(tmp_path / "elsewhere")
    assert settled(tmp_path / "models", remember(before)).models == before
    (tmp_path / "elsewhere").rename(tmp_path / "models")
    assert scan(tmp_path / "models", remember(before)).models == before
    (tmp_path / "models" / "m" / "2" / "model.onnx").unlink()
    (tmp_path / "models" / "m" / "2").rmdir()
    after = settled(tmp_path / "models", remember(before)).models
    assert after["m"].versions == {"1": before["m"].versions["1"]}


def test_files_are_hashed_only_when_they_changed(tmp_path: Path) -> None:
    """What is taken as it lies there is not read again: a file that cannot be read any more does not matter."""
    put(tmp_path / "m" / "1" / "model.onnx")
    before = settled(tmp_path)
    assert to_hash(before.memory.last, before.memory) == []


@pytest.mark.parametrize(
    ("files", "name", "told"),
    [
        (["m/readme.txt"], "m", "holds no model.onnx, no MLmodel, and no folder that is named by a version's number"),
        (["m/01/model.onnx"], "m", "holds no model.onnx, no MLmodel, and no folder that is named"),
        (["m/1/model.plan"], "m/1", "holds no model.onnx and no MLmodel"),
        (["m/model.onnx", "m/1/model.onnx"], "m", "holds model.onnx and also the version 1"),
        (["m.onnx"], "m.onnx", "a model has a folder of its own"),
        (["MLmodel"], "MLmodel", "a model has a folder of its own"),
        (["a\nb/1/model.onnx"], "'a\\nb'", "the name holds characters that cannot be shown"),
        (["m/1/model.onnx", "m/1/a\nb"], "m/1", "the file name 'a\\nb' holds a backslash or what"),
    ],
)
def test_odd_folders_are_told_and_hurt_nobody(tmp_path: Path, files: list[str], name: str, told: str) -> None:
    """Each oddity has its reason under its name, and the model beside it is served."""
    put(tmp_path / "good" / "1" / "model.onnx")
    for file in files:
        put(tmp_path / file)
    found = settled(tmp_path)
    assert list(found.models) == ["good"]
    assert list(found.problems) == [name]
    assert found.problems[name].startswith(told)


def test_links_and_special_files_in_a_version_are_told(tmp_path: Path) -> None:
    """A link that leaves the folder and a pipe are refused by name."""
    outside = put(tmp_path / "outside")
    (put(tmp_path / "d" / "link" / "1" / "model.onnx").parent / "w.bin").symlink_to(outside)
    os.mkfifo(put(tmp_path / "d" / "pipe" / "1" / "model.onnx").parent / "fifo")
    assert settled(tmp_path / "d").problems == {
        "link/1": "'w.bin' is a link that leaves the folder: put the file itself there",
        "pipe/1": "'fifo' is neither a file nor a folder: put the files themselves there",
    }


def test_a_version_that_is_swapped_by_a_link_is_noticed(tmp_path: Path) -> None:
    """NAME may be a link; pointing it elsewhere changes the digest."""
    put(tmp_path / "a" / "1" / "model.onnx", "a")
    put(tmp_path / "b" / "1" / "model.onnx", "b")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "m").symlink_to(tmp_path / "a")
    before = settled(tmp_path / "d")
    (tmp_path / "d" / "m").unlink()
    (tmp_path / "d" / "m").symlink_to(tmp_path / "b")
    after = settled(tmp_path / "d", before.memory)
    assert after.models["m"].versions["1"].digest == digest_folder(tmp_path / "b" / "1")


class Folder(RuleBasedStateMachine):
    """Versions come, change, break and go between looks; `settle` alone decides."""

    @initialize()
    def begin(self) -> None:
        self.lying: dict[tuple[str, str], int] = {}
        self.broken: set[tuple[str, str]] = set()
        self.unreadable = False
        self.history: list[Look] = []
        self.result = Scan({}, {}, Memory())

    keys = st.tuples(st.sampled_from("ab"), st.sampled_from(["1", "2", "10"]))

    @rule(key=keys, content=st.integers(0, 2))
    def write(self, key: tuple[str, str], content: int) -> None:
        self.lying[key] = content
        self.broken.discard(key)

    @rule(key=keys)
    def remove(self, key: tuple[str, str]) -> None:
        self.lying.pop(key, None)
        self.broken.discard(key)

    @rule(key=keys)
    def spoil(self, key: tuple[str, str]) -> None:
        if key in self.lying:
            self.broken.add(key)

    @rule(unreadable=st.booleans())
    def mount(self, unreadable: bool) -> None:
        self.unreadable = unreadable

    @rule()
    def look(self) -> None:
        seen = {
            key: Sighting("/".join(key), (LocalFile("model.onnx", content, 0, 0),))
            for key, content in self.lying.items()
            if key not in self.broken
        }
        now = Look({}, {"": "why"}) if self.unreadable else Look(seen, {"/".join(key): "why" for key in self.broken})
        digests = {key: f"sha256:{now.seen[key].files[0].size:064x}" for key in to_hash(now, self.result.memory)}
        before = self.result
        self.result = settle(now, before.memory, digests)
        if self.unreadable:
            assert self.result.models == before.models
        self.history.append(now)

    @invariant()
    def every_route_names_the_highest_version_that_is_there(self) -> None:
        for entry in self.result.models.values():
            assert entry.route.weights == {max(entry.versions, key=int): 1.0}

    @invariant()
    def what_two_looks_saw_alike_is_served_as_it_is(self) -> None:
        if len(self.history) < 2:
            return
        for key, sighting in self.history[-1].seen.items():
            if self.history[-2].seen.get(key) == sighting:
                assert self.result.models[key[0]].versions[key[1]].digest == f"sha256:{sighting.files[0].size:064x}"

    @invariant()
    def what_two_readable_looks_did_not_see_is_gone(self) -> None:
        if len(self.history) < 2 or any("" in look.broken for look in self.history[-2:]):
            return
        there = {key for look in self.history[-2:] for key in [*look.seen, *(tuple(b.split("/")) for b in look.broken)]}
        served = {(model, version) for model, entry in self.result.models.items() for version in entry.versions}
        assert served <= there


TestFolder = Folder.TestCase
TestFolder.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
