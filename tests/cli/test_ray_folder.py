from pathlib import Path

import pytest

from fairlead_cli import ray_folder


def session(folder: Path, text: str) -> None:
    logs = folder / "ray" / "session_1" / "logs"
    logs.mkdir(parents=True)
    (logs / "serve.log").write_text(text)
    (folder / "ray" / "session_latest").symlink_to(folder / "ray" / "session_1")


def test_the_logs_stay_and_the_rest_goes(tmp_path: Path) -> None:
    """Run after run, the last one's logs are there."""
    link = tmp_path / "ray"
    for text in ("first", "second"):
        folder = ray_folder.make(link)
        assert (link / "x").parent.resolve() == folder.resolve()
        session(folder, text)
        ray_folder.close(link)
        assert not folder.exists()
        assert (link / "serve.log").read_text() == text
        assert [path.name for path in tmp_path.iterdir()] == ["ray"]


def test_without_ray_nothing_stays(tmp_path: Path) -> None:
    """The other engine writes nothing there."""
    folder = ray_folder.make(tmp_path / "ray")
    ray_folder.close(tmp_path / "ray")
    assert not folder.exists()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    """Its folder is found by the link; a folder that is not of ours is left alone."""
    link = tmp_path / "ray"
    left = ray_folder.make(link)
    session(left, "x")
    again = ray_folder.make(link)
    assert not left.exists()
    assert again.exists()
    link.unlink()
    again.rmdir()
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    link.symlink_to(stranger)
    ray_folder.make(link).rmdir()
    assert stranger.exists()


def test_the_path_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the usual temporary folder is not."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("x" * 40)))
    folder = ray_folder.make(tmp_path / "ray")
    assert len(str(folder)) <= 43
    folder.rmdir()
