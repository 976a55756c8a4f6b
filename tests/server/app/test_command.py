"""The command line of `serve`: what it makes of its arguments, and how it refuses."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from fairlead_server.app.command import Unusable, main, read, size


def test_the_arguments_become_settings(tmp_path: Path) -> None:
    """Paths are absolute, sizes are bytes, and the engine is Ray unless told otherwise."""
    request = read(
        ["--catalog", "c.json", "--state-dir", str(tmp_path), "--workers", "2", "--memory-limit", "1.5Gi",
         "--replicas", "3", "--http-port", "0", "--drain-grace", "9", "--gpus", "0.5", "--gpu-memory", "8Gi"]
    )  # fmt: skip
    assert (request.engine, request.replicas) == ("ray", 3)
    assert request.settings.catalog_file == str(Path("c.json").absolute())
    assert request.settings.memory_limit_bytes == 3 * 2**29
    assert (request.settings.gpus, request.settings.gpu_memory_bytes) == (0.5, 8 * 2**30)
    assert (request.settings.workers, request.settings.http_port, request.settings.drain.grace_s) == (2, 0, 9.0)


def test_a_pool_gives_its_balancer_time() -> None:
    """Two seconds on Ray, where there are other replicas to choose; none for a process alone; or as it was told."""
    assert read(["--catalog", "a"]).settings.drain.balancer_s == 2.0
    assert read(["--catalog", "a", "--engine", "process"]).settings.drain.balancer_s == 0.0
    assert read(["--catalog", "a", "--drain-balancer", "0"]).settings.drain.balancer_s == 0.0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "say what to serve"),
        (["--catalog", "a", "--models", "b"], "say what to serve"),
        (["--models", "/nowhere"], "there is no /nowhere"),
        (["/proc/version"], "no .onnx file"),
        (["--catalog", "a", "--workers", "0"], "at least 1"),
        (["--catalog", "a", "--engine", "process", "--replicas", "2"], "belong to --engine ray"),
        (["--catalog", "a", "--host", "0.0.0.0"], "--control-token-file"),
        (["--catalog", "a", "--control-token-file", "/nowhere"], "there is no token"),
        (["--catalog", "a", "--http-port", "70000"], "from 0 to 65535"),
        (["--catalog", "a", "--grpc-port", "-1"], "from 0 to 65535"),
        (["--catalog", "a", "--http-port", "8001"], "four different ones"),
        (["--catalog", "a", "--http-port", "80x"], "invalid int value"),
        (["--catalog", "a", "--memory-limit", "12Q"], "is no size"),
        (["--catalog", "a", "--cores", "-1"], "not negative"),
        (["--catalog", "a", "--gpus", "-1"], "not negative"),
        (["--catalog", "a", "--gpus", "1", "--engine", "process"], "CUDA_VISIBLE_DEVICES"),
        (["--catalog", "a", "--drain-grace", "nan"], "not negative"),
        (["--catalog", "a", "--state-dir", ""], "--state-dir is empty"),
        (["--catalog", "a", "--nonsense"], "unrecognized arguments"),
    ],
)
def test_what_cannot_be_done_says_what_to_do(arguments: list[str], says: str) -> None:
    """Each fault of the user is one sentence."""
    with pytest.raises(Unusable, match=says):
        read(arguments)


def test_a_token_opens_other_addresses(tmp_path: Path) -> None:
    """With a token's file, the control API may listen beyond the loopback address."""
    token = tmp_path / "token"
    token.write_text("secret")
    request = read(["--catalog", "a", "--host", "0.0.0.0", "--control-token-file", str(token)])
    assert request.settings.host == "0.0.0.0"


@pytest.mark.parametrize(("text", "wanted"), [("1000", 1000), ("2Gi", 2**31), ("512MiB", 2**29), ("1k", 1000)])
def test_sizes(text: str, wanted: int) -> None:
    """Bytes, or with the usual units."""
    assert size(text) == wanted


def test_a_taken_port_is_one_line_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is started when another process has the port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = ["--http-port", str(taken.getsockname()[1]), "--grpc-port", "0", "--metrics-port", "0"]
        arguments = ["--engine", "process", "--catalog", "x", "--state-dir", str(tmp_path), "--control-port", "0"]
        assert main([*arguments, *ports]) == 2
    assert "cannot be bound" in capsys.readouterr().err


def test_a_state_directory_that_cannot_be_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").touch()
    assert main(["--engine", "process", "--catalog", "x", "--state-dir", str(tmp_path / "file")]) == 2
    said = capsys.readouterr().err
    assert (said.count("\n"), "cannot be written" in said) == (1, True)
