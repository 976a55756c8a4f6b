"""store.cache and store.locks: whole versions under their digest, whatever happens on the way."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fairlead_server.store import locks
from fairlead_server.store.cache import RESERVE, Cache, Stored
from fairlead_server.store.digest import digest_folder
from fairlead_server.store.failure import DISK_FULL, FetchFailure
from fairlead_server.store.limits import Limits

MIB = 2**20


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", Limits(lock_s=0.2))


def kept(cache: Cache, content: str, size: int = 1) -> Stored:
    with cache.workplace() as place:
        (place / "sub").mkdir()
        (place / "model.onnx").write_text(content * size)
        (place / "sub" / "x").write_text("")
        return cache.keep(place, digest_folder(place))


def age(stored: Stored, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(stored.path.parent, (then, then))


def leftovers(cache: Cache) -> list[str]:
    return [path.name for folder in ("tmp", "locks") for path in (cache.root / folder).iterdir()]


def test_what_is_kept_is_found_whole_and_read_only(cache: Cache) -> None:
    """A version appears under its digest with its size, and nothing else is left."""
    stored = kept(cache, "a", 10)
    assert cache.find(stored.digest) == stored
    assert stored.bytes == 10
    assert digest_folder(stored.path) == stored.digest
    assert (stored.path / "model.onnx").stat().st_mode & 0o777 == 0o444
    assert leftovers(cache) == []


def test_what_was_never_kept_is_not_found(cache: Cache) -> None:
    """An unknown digest is no error."""
    assert cache.find("sha256:" + "0" * 64) is None


def test_a_workplace_that_failed_leaves_nothing(cache: Cache) -> None:
    """However a fetch ends, its temporary folder goes."""
    with contextlib.suppress(RuntimeError), cache.workplace() as place:
        (place / "half").write_text("x")
        raise RuntimeError
    assert leftovers(cache) == []


def test_a_touched_but_whole_version_is_still_good(cache: Cache) -> None:
    """Another time on a file costs a reading, not the version."""
    stored = kept(cache, "a")
    os.utime(stored.path / "model.onnx", (1, 1))
    assert cache.find(stored.digest) == stored


@pytest.mark.parametrize("damage", ["changed", "removed", "added", "no record"])
def test_a_damaged_version_is_dropped(cache: Cache, damage: str) -> None:
    """Changed, removed or added files, or no record: it is as if it had never been there."""
    stored = kept(cache, "a")
    model = stored.path / "model.onnx"
    if damage == "changed":
        model.chmod(0o644)
        model.write_text("b")
    elif damage == "removed":
        model.unlink()
    elif damage == "added":
        (stored.path / "more").write_text("x")
    else:
        (stored.path.parent / "record.json").write_text("{")
    assert cache.find(stored.digest) is None
    assert not stored.path.parent.exists()
    assert kept(cache, "a") == stored


def test_one_works_on_a_digest_at_a_time(cache: Cache) -> None:
    """A second fetch waits, up to a limit, and then says so; a look does not wait."""
    stored = kept(cache, "a")
    with cache.locked(stored.digest):
        assert cache.look(stored.digest) is None
        with pytest.raises(FetchFailure, match="another fetch of sha256:") as caught, cache.locked(stored.digest):
            pass
        assert caught.value.retry
    assert cache.look(stored.digest) == stored
    assert leftovers(cache) == []


def test_a_lock_is_gone_with_the_process_that_held_it(cache: Cache) -> None:
    """SIGKILL leaves a lock file and no lock."""
    code = (
        "import sys, time, pathlib; from fairlead_server.store import locks\n"
        "with locks.held(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    path = cache.root / "locks" / "x"
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process, process.stdout:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(locks.Busy), locks.held(path):
            pass
        process.kill()
    assert path.exists()
    with locks.held(path, wait_s=5):
        pass


def test_only_what_nobody_holds_is_cleaned(cache: Cache) -> None:
    """A crash's folder goes, one in use stays."""
    (cache.root / "tmp" / "crashed" / "files").mkdir(parents=True)
    (cache.root / "tmp" / "crashed" / "files" / "half").write_text("x")
    with cache.workplace() as place:
        assert cache.clean() == 1
        assert place.exists()
    assert leftovers(cache) == []


def test_eviction_takes_the_longest_unnamed_first_until_it_fits(cache: Cache) -> None:
    """Named versions stay whatever the limit; of the others the oldest goes first, and no more than needed."""
    named, old, older, newest = (kept(cache, letter, 100) for letter in "abcd")
    for stored, seconds in ((named, 500), (old, 400), (older, 450), (newest, 300)):
        age(stored, seconds)
    assert cache.evict([named.digest], limit=300, grace_s=60) == 1
    assert [one.path.exists() for one in (named, old, older, newest)] == [True, True, False, True]
    assert cache.evict([named.digest], limit=0, grace_s=60) == 2
    assert cache.find(named.digest) == named
    assert leftovers(cache) == []


def test_what_was_just_handed_out_or_named_is_not_evicted(cache: Cache) -> None:
    """Its name may be on the way; and what was named until now counts from now."""
    fresh, looked, named = (kept(cache, letter) for letter in "abc")
    age(looked, 500)
    age(named, 500)
    cache.find(looked.digest)
    cache.evict([named.digest], limit=10, grace_s=60)
    assert cache.evict([], limit=0, grace_s=60) == 0
    assert [one.path.exists() for one in (fresh, looked, named)] == [True, True, True]


def test_what_is_being_fetched_is_not_evicted(cache: Cache) -> None:
    """A locked digest is passed over."""
    stored = kept(cache, "a")
    age(stored, 500)
    with cache.locked(stored.digest):
        assert cache.evict([], limit=0, grace_s=0) == 0
    assert cache.evict([], limit=0, grace_s=0) == 1


def test_a_fetch_that_cannot_fit_is_told_before_it_starts(cache: Cache, tmp_path: Path) -> None:
    """The named condition, with what is needed and what is free."""
    with pytest.raises(FetchFailure, match=r"bytes are needed, \d+ are free") as caught:
        cache.room_for(tmp_path / "x" / "files", 2**60)
    assert (caught.value.condition, caught.value.retry) == (DISK_FULL, True)
    cache.room_for(tmp_path / "x" / "files", 1)


def test_a_volume_may_hold_less_than_its_disk(tmp_path: Path) -> None:
    """What lies there counts, the journal beside the cache too, and what others were promised or have written."""
    cache = Cache(tmp_path / "state" / "cache", Limits(), RESERVE + 10 * MIB)
    (tmp_path / "state" / "journal").write_bytes(b"x" * MIB)
    with cache.workplace() as one, cache.workplace() as other:
        cache.room_for(one, 6 * MIB)
        with pytest.raises(FetchFailure, match=f"{4 * MIB} bytes are needed, {3 * MIB} are free") as caught:
            cache.room_for(other, 4 * MIB)
        assert caught.value.condition == DISK_FULL
        (one / "model.onnx").write_bytes(b"x" * 6 * MIB)
        cache.room_for(other, 2 * MIB)
        cache.keep(one, digest_folder(one))
        with pytest.raises(FetchFailure, match="bytes are needed"):
            cache.room_for(other, 2 * MIB)
    with cache.workplace() as place:
        cache.room_for(place, 2 * MIB)
