"""store.mlflow_http and store.download against a server that misbehaves on purpose."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from harness.awkward_server import AwkwardServer

from fairlead_server.store.failure import FetchFailure
from fairlead_server.store.limits import Deadline, Limits
from fairlead_server.store.mlflow_http import MlflowSource, credentials
from fairlead_server.store.source import SourceFile
from fairlead_server.store.sources import open_source

LIMITS = Limits(attempts=2, connect_s=2, read_s=0.3, pause_s=0.01, files=50)
MODEL = b"0123456789" * 1000


@pytest.fixture
def server() -> Iterator[AwkwardServer]:
    with AwkwardServer(
        {"1/m/MLmodel": b"x", "1/m/model.onnx": MODEL, "1/m/data/a b ä.bin": b"yy"}
    ).running() as awkward:
        yield awkward


@contextlib.contextmanager
def source(server: AwkwardServer, environ: dict[str, str] | None = None, seconds: float = 10) -> Iterator[MlflowSource]:
    opened = MlflowSource(server.source("1/m"), LIMITS, Deadline(seconds), environ or {})
    with contextlib.closing(opened):
        yield opened


def fetched(server: AwkwardServer, to: Path) -> dict[str, bytes]:
    found = {}
    with source(server) as opened:
        for file in opened.files():
            opened.copy(file, to / "file")
            found[file.path] = (to / "file").read_bytes()
    return found


def failure(server: AwkwardServer, to: Path) -> FetchFailure:
    with pytest.raises(FetchFailure) as caught:
        fetched(server, to)
    return caught.value


def test_a_folder_is_listed_level_by_level_and_fetched(server: AwkwardServer, tmp_path: Path) -> None:
    """Every file at every depth, odd names too; what clients add on download is left out."""
    server.files["1/m/registered_model_meta"] = b"no"
    assert fetched(server, tmp_path) == {"MLmodel": b"x", "model.onnx": MODEL, "data/a b ä.bin": b"yy"}


def test_sizes_come_from_the_listing_also_as_text(server: AwkwardServer) -> None:
    """64-bit numbers are text in some JSON of protobuf."""
    server.extra["1/m"] = [{"path": "big", "file_size": "12"}]
    with source(server) as opened:
        assert SourceFile("big", 12) in opened.files()


@pytest.mark.parametrize("fault", ["half", "short", "hang", 500, 503, 429])
@pytest.mark.parametrize("path", ["1/m", "1/m/model.onnx"])
def test_a_fault_that_passes_is_tried_again_at_once(
    server: AwkwardServer, tmp_path: Path, path: str, fault: Any
) -> None:
    """One bad answer, to a listing or a file, costs a second attempt and nothing else."""
    server.once[path] = fault
    assert len(fetched(server, tmp_path)) == 3


@pytest.mark.parametrize(
    ("path", "fault", "told"),
    [
        ("1/m/model.onnx", "half", "peer closed connection"),
        ("1/m/model.onnx", "short", "gave 5000 of 10000 bytes"),
        ("1/m/model.onnx", "longer", "gave 10003 of 10000 bytes"),
        ("1/m/model.onnx", "hang", "timed out"),
        ("1/m/model.onnx", 500, "model.onnx answered 500"),
        ("1/m", "hang", "timed out"),
        ("1/m", 502, "artifacts answered 502"),
        ("1/m", "short", "is no listing"),
        ("1/m", 403, "answered 403: this server's credentials do not open it"),
    ],
)
def test_a_fault_that_stays_is_told_and_may_pass(
    server: AwkwardServer, tmp_path: Path, path: str, fault: Any, told: str
) -> None:
    """After a few attempts the reason is given, with the advice to try later."""
    server.faults[path] = fault
    found = failure(server, tmp_path)
    assert told in found.reason
    assert found.retry


@pytest.mark.parametrize(("fault", "told"), [(404, "does not exist (404)"), (400, "answered 400"), (410, "(410)")])
def test_a_missing_file_is_final(server: AwkwardServer, tmp_path: Path, fault: int, told: str) -> None:
    """It is asked for once, and never again unasked."""
    server.faults["1/m/model.onnx"] = fault
    found = failure(server, tmp_path)
    assert told in found.reason
    assert not found.retry
    assert [path for path, _ in server.asked].count("1/m/model.onnx") == 1


def test_nobody_listens(tmp_path: Path) -> None:
    """A refused connection may pass."""
    awkward = AwkwardServer({})
    with awkward.running():
        pass
    found = failure(awkward, tmp_path)
    assert found.retry
    assert "Connection refused" in found.reason


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "", "/etc/passwd"])
def test_a_listing_cannot_reach_elsewhere(server: AwkwardServer, name: str) -> None:
    """Names that are no plain names are refused for good."""
    server.extra["1/m"] = [{"path": name, "file_size": 1}]
    with source(server) as opened, pytest.raises(FetchFailure, match="which is no plain name") as caught:
        opened.files()
    assert not caught.value.retry


def test_a_listing_that_never_ends_is_refused(server: AwkwardServer) -> None:
    """Folders that hold themselves, and more files than a model has."""
    server.files |= {f"1/m/{'d/' * depth}x": b"" for depth in range(1, 40)}
    with source(server) as opened, pytest.raises(FetchFailure, match="holds more than one model's folder may"):
        opened.files()
    server.files = {f"1/m/{i}": b"" for i in range(60)}
    with source(server) as opened, pytest.raises(FetchFailure, match="holds more than one model's folder may"):
        opened.files()


def test_a_trickle_ends_by_the_deadline(server: AwkwardServer, tmp_path: Path) -> None:
    """A server that sends a little all the time does not hold a fetch for ever."""
    server.files["1/m/model.onnx"] = MODEL * 10  # ten seconds of it
    server.faults["1/m/model.onnx"] = "slow"
    start = time.monotonic()
    with source(server, seconds=0.3) as opened, pytest.raises(FetchFailure, match="took longer than") as caught:
        opened.copy(SourceFile("model.onnx", None), tmp_path / "file")
    assert caught.value.retry
    assert time.monotonic() - start < 3


def test_credentials_are_sent_and_stay_with_their_host(server: AwkwardServer, tmp_path: Path) -> None:
    """MLflow's variables become the Authorization header, which a redirect to another host does not get."""
    server.once["1/m/MLmodel"] = "elsewhere"
    with source(server, {"MLFLOW_TRACKING_TOKEN": "t"}) as opened:
        opened.copy(SourceFile("MLmodel", 1), tmp_path / "file")
    assert [headers.get("Authorization") for _, headers in server.asked] == ["Bearer t", None]


def test_the_credentials_follow_mlflows_own_order() -> None:
    """Name and password before a token; half of a pair is nothing."""
    both, place = {"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p"}, urlsplit("http://mlflow/1/m")
    assert credentials({**both, "MLFLOW_TRACKING_TOKEN": "t"}, place) == {"Authorization": "Basic dTpw"}
    assert credentials({"MLFLOW_TRACKING_TOKEN": "t"}, place) == {"Authorization": "Bearer t"}
    assert credentials({"MLFLOW_TRACKING_USERNAME": "u"}, place) == {}


@pytest.mark.parametrize(
    ("place", "sent"),
    [
        ("https://mlflow.example.com/1/m", True),
        ("https://MLflow.example.com:443/1/m", True),
        ("https://mlflow.example.com:8443/1/m", False),
        ("http://mlflow.example.com/1/m", False),
        ("https://elsewhere.example.com/1/m", False),
    ],
)
def test_no_other_server_gets_the_registrys_credentials(place: str, sent: bool) -> None:
    environ = {"MLFLOW_TRACKING_TOKEN": "t", "MLFLOW_TRACKING_URI": "https://u:p@mlflow.example.com/"}
    assert bool(credentials(environ, urlsplit(place))) == sent


def test_a_single_file_by_http(server: AwkwardServer, tmp_path: Path) -> None:
    """Its name is the last part of the path; a query is part of the request and not of the name."""
    url = f"http://127.0.0.1:{server.port}/1/m/model.onnx?signature=s"
    with contextlib.closing(open_source(url, LIMITS, Deadline(10))) as one:
        (file,) = one.files()
        one.copy(file, tmp_path / "file")
        assert (file.path, (tmp_path / "file").read_bytes()) == ("model.onnx", MODEL)
        server.faults["1/m/model.onnx"] = 404
        with pytest.raises(FetchFailure) as caught:
            one.copy(file, tmp_path / "file")
    assert "signature" not in caught.value.reason
