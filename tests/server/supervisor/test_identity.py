"""What a version is called, and what a trial of it says about others."""

from __future__ import annotations

from fairlead_server.batching.marks import SLOT_BYTES
from fairlead_server.models.settings import VersionSettings
from fairlead_server.supervisor.identity import key_of, uid_of

SETTINGS = VersionSettings()


def test_models_of_the_same_bytes_share_what_is_proven() -> None:
    """Each has a uid of its own, and all have one key."""
    one, other = uid_of("a", "1", "sha256:d", SETTINGS), uid_of("b", "1", "sha256:d", SETTINGS)
    assert one != other
    assert key_of(one) == key_of(other)


def test_other_bytes_settings_or_attempts_are_proven_anew() -> None:
    """Each of them makes another key."""
    wanted = [
        uid_of("a", "1", "sha256:d", SETTINGS),
        uid_of("a", "1", "sha256:e", SETTINGS),
        uid_of("a", "1", "sha256:d", VersionSettings(instances=2)),
        uid_of("a", "1", "sha256:d", SETTINGS, 7),
    ]
    assert len({key_of(uid) for uid in wanted}) == len(wanted)


def test_names_are_not_run_together() -> None:
    """A slash in a model's name does not make it another version of a shorter one."""
    assert uid_of("a/b", "c", "sha256:d", SETTINGS) != uid_of("a", "b/c", "sha256:d", SETTINGS)


def test_a_uid_fits_where_a_worker_notes_what_runs() -> None:
    """The shared memory of a worker has a place of fixed size for each."""
    assert len(uid_of("a" * 1000, "1", "sha256:d", SETTINGS)) < SLOT_BYTES
