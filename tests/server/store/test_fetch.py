"""store.fetch and store.defaults: a source becomes a verified folder, or the reason why not."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.awkward_server import AwkwardServer

from fairlead_server.store import download
from fairlead_server.store.cache import RESERVE, Cache, Stored
from fairlead_server.store.defaults import defaults
from fairlead_server.store.digest import digest_folder
from fairlead_server.store.failure import DISK_FULL, FetchFailure
from fairlead_server.store.fetch import fetch
from fairlead_server.store.limits import Limits

LIMITS = Limits(attempts=1, connect_s=1, read_s=1, lock_s=1)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", LIMITS)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model" / "data").mkdir(parents=True)
    (tmp_path / "model" / "model.onnx").write_text("onnx")
    (tmp_path / "model" / "data" / "weights").write_text("w" * 1000)
    return tmp_path / "model"


def got(cache: Cache, uri: str | Path, pinned: str | None = None, limits: Limits = LIMITS) -> Stored:
    return fetch(cache, str(uri), pinned, limits, lambda: False)


def failed(call: Callable[[], object]) -> FetchFailure:
    with pytest.raises(FetchFailure) as caught:
        call()
    return caught.value


def left(cache: Cache) -> list[str]:
    return [path.name for folder in ("tmp", "locks") for path in (cache.root / folder).iterdir()]


def test_a_folder_is_copied_and_its_digest_reported(cache: Cache, model: Path) -> None:
    """Without a pin the digest is what was found."""
    stored = got(cache, model)
    assert stored.digest == digest_folder(model)
    assert stored.bytes == 1004
    assert (stored.path / "data" / "weights").read_text() == "w" * 1000
    assert left(cache) == []


def test_a_change_in_place_does_not_reach_what_was_fetched(cache: Cache, model: Path) -> None:
    """The cache holds a copy."""
    stored = got(cache, model)
    with (model / "model.onnx").open("r+") as file:
        file.write("XXXX")
    assert (stored.path / "model.onnx").read_text() == "onnx"
    assert digest_folder(stored.path) == stored.digest


def test_a_pinned_version_in_the_cache_needs_no_source(cache: Cache, model: Path) -> None:
    """Also after a restart, with the artifact gone; without the pin the source is asked."""
    stored = got(cache, model)
    shutil.rmtree(model)
    assert got(Cache(cache.root, LIMITS), model, stored.digest) == stored
    assert got(cache, "no-source-at-all", stored.digest) == stored
    assert failed(lambda: got(cache, model)).reason == f"{model} does not exist on this machine"


def test_an_artifact_that_changed_after_the_pin_is_refused_for_good(cache: Cache, model: Path) -> None:
    """Both digests are told, and what to do; nothing of it stays."""
    pinned = digest_folder(model)
    (model / "model.onnx").write_text("other")
    failure = failed(lambda: got(cache, model, pinned))
    assert not failure.retry
    assert failure.reason.startswith("the artifact changed after it was pinned: ")
    for part in (pinned, digest_folder(model), "register a new version"):
        assert part in failure.reason
    assert sorted(path.name for path in cache.root.iterdir()) == ["locks", "tmp"]
    assert left(cache) == []


def test_the_same_bytes_from_two_sources_are_kept_once(cache: Cache, model: Path, tmp_path: Path) -> None:
    """The second fetch finds what the first kept."""
    stored = got(cache, model)
    shutil.copytree(model, tmp_path / "other")
    assert got(cache, tmp_path / "other") == stored
    assert len(list(cache.root.iterdir())) == 3


def test_a_damaged_cache_is_repaired_from_the_source(cache: Cache, model: Path) -> None:
    """A version whose file was changed in the cache is fetched again."""
    stored = got(cache, model)
    (stored.path / "model.onnx").chmod(0o644)
    (stored.path / "model.onnx").write_text("evil")
    assert got(cache, model, stored.digest) == stored
    assert (stored.path / "model.onnx").read_text() == "onnx"


def test_what_holds_too_much_or_nothing_is_refused(cache: Cache, model: Path, tmp_path: Path) -> None:
    """The limits of a version's folder hold for every source."""
    few = dataclasses.replace(LIMITS, files=1)
    assert "holds more than 1 files" in failed(lambda: got(cache, model, limits=few)).reason
    (tmp_path / "empty").mkdir()
    assert failed(lambda: got(cache, tmp_path / "empty")).reason == f"{tmp_path}/empty: holds no files"
    with AwkwardServer({}).running() as server:
        failure = failed(lambda: got(cache, server.source("nothing")))
    assert (failure.reason, failure.retry) == (f"{server.source('nothing')} holds no files", False)


def test_a_broken_download_leaves_nothing_and_the_next_one_works(cache: Cache) -> None:
    """Half a body today, the whole tomorrow."""
    with AwkwardServer({"m/model.onnx": b"x" * 100_000, "m/b": b""}).running() as server:
        server.once["m/model.onnx"] = "half"
        assert failed(lambda: got(cache, server.source("m"))).retry
        assert left(cache) == []
        assert got(cache, server.source("m")).bytes == 100_000


FILLING = """
import resource, sys
from pathlib import Path
from fairlead_server.store.cache import Cache
from fairlead_server.store.failure import FetchFailure
from fairlead_server.store.fetch import fetch
from fairlead_server.store.limits import Limits

root, uri = Path(sys.argv[1]), sys.argv[2]
cache = Cache(root, Limits())
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))

def make_room():
    print("asked for room")
    if sys.argv[3] == "helps":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return sys.argv[3] == "helps"

try:
    print("stored", fetch(cache, uri, None, Limits(attempts=1), make_room).bytes)
except FetchFailure as failure:
    print(failure.condition, failure.retry)
print("left", sum(1 for path in root.rglob("*") if path.is_file()))
"""


def filling(tmp_path: Path, uri: str, room: str) -> list[str]:
    command = [sys.executable, "-c", FILLING, str(tmp_path / "full"), uri, room]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()


@pytest.mark.parametrize("kind", ["local", "http"])
def test_a_disk_that_takes_no_more_is_a_named_condition(tmp_path: Path, kind: str) -> None:
    """The kernel refuses the write in the middle of a file (a limit on the size of files stands for the full disk):
    DiskFull, nothing half-written stays, and where eviction made room the fetch goes on."""
    with AwkwardServer({"m/model.onnx": b"x" * 200_000}).running() as server:
        (tmp_path / "big").mkdir()
        (tmp_path / "big" / "model.onnx").write_bytes(b"x" * 200_000)
        uri = server.source("m") if kind == "http" else str(tmp_path / "big")
        assert filling(tmp_path, uri, "no") == ["asked for room", f"{DISK_FULL} True", "left 0"]
        assert filling(tmp_path, uri, "helps") == ["asked for room", "stored 200000", "left 2"]


def test_what_a_volume_cannot_hold_makes_room_first(tmp_path: Path, model: Path) -> None:
    """DiskFull before the volume is full, though its disk has plenty; where eviction helped, the fetch goes on."""
    cache = Cache(tmp_path / "state" / "cache", LIMITS, RESERVE + 150_000)
    (model / "model.onnx").write_bytes(b"o" * 100_000)
    old = got(cache, model)
    (model / "model.onnx").write_bytes(b"n" * 100_000)
    assert failed(lambda: got(cache, model)).condition == DISK_FULL
    new = fetch(cache, str(model), None, LIMITS, lambda: cache.evict([], 0, 0) > 0)
    assert (old.path.exists(), new.path.exists()) == (False, True)


def test_a_file_of_unknown_size_takes_no_more_than_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room is asked for while it comes, once: a full volume does not pass by itself within a second."""
    monkeypatch.setattr(download, "_STEP", 30_000)
    with AwkwardServer({"model.onnx": b"x" * 200_000}).running() as server:
        url = f"http://127.0.0.1:{server.port}/model.onnx"
        tight = Cache(tmp_path / "tight" / "cache", LIMITS, RESERVE + 70_000)
        limits = dataclasses.replace(LIMITS, attempts=3)
        server.once["model.onnx"] = "short"
        assert failed(lambda: got(tight, url, limits=limits)).condition == DISK_FULL
        assert len(server.asked) == 1
        assert left(tight) == []
        assert got(Cache(tmp_path / "wide" / "cache", LIMITS, RESERVE + 250_000), url).bytes == 200_000


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("settings: {max_batch_size: 8, providers: [cpu]}", {"max_batch_size": 8, "providers": ["cpu"]}),
        ("settings: {a_newer_setting: 1, instances: 2}\nmore: 1", {"instances": 2}),
        ("owner: somebody", {}),
    ],
)
def test_a_models_own_settings_are_read(tmp_path: Path, text: str, found: dict[str, object]) -> None:
    """Known fields below `settings`; what is not known is left out."""
    (tmp_path / "fairlead.yaml").write_text(text)
    assert defaults(tmp_path) == found


def test_no_settings_file_is_no_settings(tmp_path: Path) -> None:
    """The file is optional."""
    assert defaults(tmp_path) == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("settings: {max_batch_size: 0}", "Expected `int` >= 1"),
        ("settings: [1]", "write `settings:`"),
        ("- settings", "write `settings:`"),
        ("padding: {ids: {}}", "write `settings:`"),  # a level too high, where it would be passed over
        ("settings: {", "while parsing"),
        ("x" * 70_000, "is larger than"),
    ],
)
def test_wrong_settings_fail_the_version_for_good(tmp_path: Path, text: str, told: str) -> None:
    """The file is named, and the fault in it."""
    (tmp_path / "fairlead.yaml").write_text(text)
    failure = failed(lambda: defaults(tmp_path))
    assert failure.reason.startswith("fairlead.yaml in the model's folder: ")
    assert told in failure.reason
    assert not failure.retry
