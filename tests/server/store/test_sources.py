"""store.sources, store.local, store.remote: what a source URI names, and how it is read."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path

import fsspec
import pytest

from fairlead_server.store.failure import FetchFailure
from fairlead_server.store.limits import Deadline, Limits
from fairlead_server.store.source import Source, SourceFile
from fairlead_server.store.sources import open_source

LIMITS = Limits(attempts=1, connect_s=1, read_s=1)


def opened(uri: str) -> Source:
    return open_source(uri, LIMITS, Deadline(10))


def refused(uri: str) -> FetchFailure:
    with pytest.raises(FetchFailure) as caught, contextlib.closing(opened(uri)) as source:
        source.files()
    return caught.value


def folder(tmp_path: Path, name: str = "model") -> Path:
    (tmp_path / name / "sub").mkdir(parents=True)
    (tmp_path / name / "model.onnx").write_bytes(b"onnx")
    (tmp_path / name / "sub" / "x").write_bytes(b"")
    return tmp_path / name


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("models/churn", "'models/churn' is a relative path: give an absolute one, or a URL"),
        ("", "'' is a relative path"),
        ("file:models/churn", "'file:models/churn' is no absolute path"),
        ("file://host/models", "'file://host/models' names a file on the host 'host'"),
        ("models:/churn/4", "'models:/churn/4' is known to MLflow only"),
        ("runs:/1/model", "'runs:/1/model' is known to MLflow only"),
        ("mlflow-artifacts:/1/model", "'mlflow-artifacts:/1/model' is known to MLflow only"),
        ("mlflow-artifacts+http://host", "'mlflow-artifacts+http://host' is not of the form"),
        ("mlflow-artifacts+ftp://host/x", "'mlflow-artifacts+ftp://host/x' is not of the form"),
        ("http://host/", "http://host/ names no file"),
        ("http://user:secret@host/x", "the source at http://host holds credentials"),
        ("mlflow-artifacts+https://token@host/x", "the source at mlflow-artifacts+https://host holds credentials"),
        ("s3://key:secret@bucket/x", "the source at s3://bucket holds credentials"),
        ("s3://bucket/x", "s3://bucket/x needs a package that is not here: install s3fs (extra `s3`)"),
        ("gs://bucket/x", "gs://bucket/x needs a package that is not here: install gcsfs (extra `gcs`)"),
        ("abfs://c@a.dfs.core.windows.net/x", "abfs://c@a.dfs.core.windows.net/x needs a package that is not here"),
        ("zork://x", "zork://x is no source that can be fetched: Protocol not known: zork"),
        ("/no/such/folder", "/no/such/folder does not exist on this machine"),
    ],
)
def test_what_names_no_source_is_refused_for_good(uri: str, told: str) -> None:
    """Each wrong form has a reason that says what to do, and no retry; secrets are not repeated."""
    failure = refused(uri)
    assert failure.reason.startswith(told)
    assert not failure.retry
    assert "secret" not in failure.reason


@pytest.mark.parametrize("form", ["{}", "file://{}", "file:{}", "file://localhost{}"])
def test_local_folders_in_every_form(tmp_path: Path, form: str) -> None:
    """Plain paths and file URIs name the same folder; odd characters are taken as they are."""
    path = folder(tmp_path, "a model, #1?")
    assert opened(form.format(path)).files() == [SourceFile("model.onnx", 4), SourceFile("sub/x", 0)]


def test_percent_in_a_file_uri_is_decoded(tmp_path: Path) -> None:
    """As MLflow writes them."""
    folder(tmp_path, "a model")
    assert opened(f"file://{tmp_path}/a%20model").files()[0].path == "model.onnx"


def test_a_single_file_keeps_the_name_it_was_asked_for(tmp_path: Path) -> None:
    """Also when that name is a link."""
    target = folder(tmp_path) / "model.onnx"
    (tmp_path / "latest.onnx").symlink_to(target)
    source = opened(str(tmp_path / "latest.onnx"))
    assert source.files() == [SourceFile("latest.onnx", 4)]
    source.copy(SourceFile("latest.onnx", 4), tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"onnx"


def test_a_local_file_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    """Changed, replaced or removed between listing and copying: tried again later."""
    path = folder(tmp_path)
    source = opened(str(path))
    file = source.files()[0]
    (path / "model.onnx").write_bytes(b"other")
    with pytest.raises(FetchFailure, match="changed while it was copied") as caught:
        source.copy(file, tmp_path / "copy")
    assert caught.value.retry
    (path / "model.onnx").unlink()
    with pytest.raises(FetchFailure, match="changed while it was copied"):
        source.copy(file, tmp_path / "copy")


def test_a_copy_shares_nothing_with_its_source(tmp_path: Path) -> None:
    """Writing to the source afterwards does not change the copy."""
    path = folder(tmp_path)
    source = opened(str(path))
    source.copy(source.files()[0], tmp_path / "copy")
    with (path / "model.onnx").open("r+b") as file:
        file.write(b"xxxx")
    assert (tmp_path / "copy").read_bytes() == b"onnx"


def test_what_fsspec_opens_is_read(tmp_path: Path) -> None:
    """A folder and a single file of an fsspec file system, listed anew each time."""
    name = f"/{uuid.uuid4().hex}"
    memory = fsspec.filesystem("memory")
    memory.pipe({f"{name}/model/model.onnx": b"onnx", f"{name}/model/sub/x": b""})
    source = opened(f"memory:/{name}/model")
    assert sorted(source.files()) == [SourceFile("model.onnx", 4), SourceFile("sub/x", 0)]
    source.copy(SourceFile("model.onnx", 4), tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"onnx"
    single = opened(f"memory:/{name}/model/model.onnx")
    assert single.files() == [SourceFile("model.onnx", 4)]
    single.copy(SourceFile("model.onnx", 4), tmp_path / "single")
    assert (tmp_path / "single").read_bytes() == b"onnx"


def test_fsspec_faults_have_their_class(tmp_path: Path) -> None:
    """What is not there is final; a size that is not what was listed may pass."""
    failure = refused(f"memory://{uuid.uuid4().hex}")
    assert (failure.retry, failure.reason.endswith("does not exist")) == (False, True)
    name = f"/{uuid.uuid4().hex}"
    fsspec.filesystem("memory").pipe({f"{name}/m": b"onnx"})
    with pytest.raises(FetchFailure, match="'m' gave 4 of 5 bytes") as caught:
        opened(f"memory:/{name}").copy(SourceFile("m", 5), tmp_path / "copy")
    assert caught.value.retry
