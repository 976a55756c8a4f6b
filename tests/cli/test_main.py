import subprocess
import sys
from pathlib import Path

import pytest

from fairlead_cli.__main__ import main


def fairlead(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fairlead_cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_help_tells_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Also those that are other programs."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    for command in ("up", "demo", "serve", "drain", "operate", "models", "rollouts", "promote", "rollback"):
        assert f"\n    {command} " in told


@pytest.mark.parametrize(
    ("command", "word"), [("serve", "--engine"), ("drain", "--token-file"), ("operate", "--standalone")]
)
def test_a_handed_over_command_is_the_program_itself(command: str, word: str) -> None:
    """Its help is its own, and so is its exit status for an argument that it does not know."""
    assert word in fairlead(command, "--help").stdout
    wrong = fairlead(command, "--no-such-option")
    assert wrong.returncode == 2
    assert "fairlead" in wrong.stderr


def test_a_command_error_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the error stream, with exit status 1; -v shows where it came from."""
    assert main(["rollouts", "--data", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"fairlead: no {tmp_path}")
    assert told.err.count("\n") == 1
    assert main(["rollouts", "-v", "--data", str(tmp_path)]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_summary_that_cannot_be_written_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The demo starts nothing when its figures would have no place."""
    place = str(tmp_path / "none" / "summary.json")
    assert main(["demo", "--data", str(tmp_path / "data"), "--summary", place]) == 1
    assert place in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("command", "option"), [(["models"], "--pool"), (["promote", "churn", "1"], "--registry")])
def test_without_a_running_up_an_address_is_asked_for(
    command: list[str], option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line names the option."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert main([*command, "--data", str(tmp_path)]) == 1
    assert option in capsys.readouterr().err


def test_the_command_line_imports_neither_program() -> None:
    """It starts them as processes or calls their APIs; so it starts quickly, too."""
    code = "import sys; import fairlead_cli.__main__; print(*sorted(name for name in sys.modules if '.' not in name))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    loaded = set(ended.stdout.split())
    assert "fairlead_cli" in loaded
    assert not loaded & {
        "fairlead_server",
        "fairlead_operator",
        "mlflow",
        "ray",
        "onnxruntime",
        "numpy",
        "grpc",
        "sklearn",
    }
