"""hack/gpu-check where there is no GPU: it says so and claims nothing; and the report that it writes where there is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from gpu_check import report

ROOT = Path(__file__).parents[1]
PASSED = report.Outcome("tests/gpu/test_a.py::test_b", "passed", 1.5)
RATE = report.Figure("bert", "requests a second", 1234.5, "requests/s")


@pytest.mark.parametrize("driver", ["", "echo 'No devices were found'; exit 6"])
def test_without_a_gpu_nothing_is_claimed(tmp_path: Path, driver: str) -> None:
    """No driver, or one that finds no device: one line, a status of its own, no report."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "dirname"):
        programs.joinpath(name).symlink_to(str(shutil.which(name)))
    if driver:
        programs.joinpath("nvidia-smi").write_text(f"#!{shutil.which('bash')}\n{driver}\n")
        programs.joinpath("nvidia-smi").chmod(0o755)
    ended = subprocess.run(
        [programs / "bash", ROOT / "hack" / "gpu-check", "--output", tmp_path / "out"],
        env={"PATH": str(programs)}, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("gpu-check: there is no NVIDIA GPU here")
    assert ended.stderr.rstrip("\n").endswith("nothing was checked")
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("tests", "figures", "failures", "passed"),
    [
        ((PASSED,), (RATE,), (), True),
        ((), (RATE,), (), False),
        ((PASSED,), (), (), False),
        ((PASSED,), (RATE,), ("bert: it broke",), False),
        ((PASSED, msgspec.structs.replace(PASSED, outcome="skipped")), (RATE,), (), False),
        ((PASSED, msgspec.structs.replace(PASSED, outcome="failed")), (RATE,), (), False),
    ],
)
def test_a_check_passes_only_as_a_whole(
    tests: tuple[report.Outcome, ...], figures: tuple[report.Figure, ...], failures: tuple[str, ...], passed: bool
) -> None:
    """Tests ran, all of them passed, none was skipped, and every figure was had."""
    assert report.Report("2026-01-01", {}, tests, figures, failures).passed is passed


def test_the_report_is_written_for_both(tmp_path: Path) -> None:
    """The same values as JSON and as Markdown, with the reasons of what failed."""
    lost = report.Outcome("test_c", "failed", 0.1, "a | b")
    written = report.Report("2026-01-01", {"GPU": "H200"}, (PASSED, lost), (RATE,), ("resnet18: it broke",))
    report.write(written, tmp_path / "new")
    assert msgspec.json.decode((tmp_path / "new" / report.JSON).read_bytes(), type=report.Report) == written
    text = (tmp_path / "new" / report.MARKDOWN).read_text()
    assert text.startswith("# GPU check of 2026-01-01: FAILED\n\n- GPU: H200\n")
    for line in ("| bert | requests a second | 1,234 requests/s |  |", "Not measured: resnet18: it broke"):
        assert line in text.splitlines()
    assert "## Tests: 1 of 2 passed" in text
    assert "| test_c | failed | 0.1 | a   b |" in text
