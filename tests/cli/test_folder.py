import os
from pathlib import Path

import pytest

from fairlead_cli.errors import CommandError
from fairlead_cli.folder import Addresses, Folder, default_folder

AT = Addresses("http://h:1", "http://h:2", "h:3", "http://h:4", "http://h:5")


def test_a_folder_has_one_holder(tmp_path: Path) -> None:
    """The second is refused with what to do; after the first it may."""
    folder = Folder(tmp_path / "new")
    lock = folder.hold()
    with pytest.raises(CommandError, match=r"runs on .*new already.*--data"):
        Folder(tmp_path / "new").hold()
    os.close(lock)
    os.close(Folder(tmp_path / "new").hold())


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file in the way gives one line."""
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match=r"cannot make .*file"):
        Folder(tmp_path / "file").hold()


def test_the_addresses_of_a_running_up_are_found(tmp_path: Path) -> None:
    """While its folder is held, and until it takes them back; asking takes the folder from nobody."""
    folder = Folder(tmp_path)
    assert folder.running() is None
    lock = folder.hold()
    assert folder.running() is None
    folder.tell(AT)
    assert folder.running() == AT
    assert not list(tmp_path.glob("*.new"))
    folder.forget()
    assert folder.running() is None
    os.close(lock)


def test_what_a_killed_run_left_is_no_record(tmp_path: Path) -> None:
    """Nobody holds the folder; and the next run does not begin with old addresses."""
    lock = Folder(tmp_path).hold()
    Folder(tmp_path).tell(AT)
    os.close(lock)
    assert Folder(tmp_path).running() is None
    lock = Folder(tmp_path).hold()
    assert Folder(tmp_path).running() is None
    os.close(lock)


@pytest.mark.parametrize("record", ["{", "[]", "3", '{"registry": "x"}'])
def test_a_file_that_is_no_record_is_none(tmp_path: Path, record: str) -> None:
    """Whatever somebody wrote there."""
    lock = Folder(tmp_path).hold()
    (tmp_path / "up.json").write_text(record)
    assert Folder(tmp_path).running() is None
    os.close(lock)


def test_the_default_folder_follows_the_users_wish(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """XDG_DATA_HOME counts when it is absolute, as its specification says."""
    monkeypatch.setenv("HOME", "/home/anna")
    for wish, expected in (("/data", "/data/fairlead"), ("data", "/home/anna/.local/share/fairlead")):
        monkeypatch.setenv("XDG_DATA_HOME", wish)
        assert default_folder() == Path(expected)
    monkeypatch.delenv("XDG_DATA_HOME")
    assert default_folder() == Path("/home/anna/.local/share/fairlead")
