"""hack/bench without measuring anything: its lists, its faults, and a report made anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark import results
from benchmark.__main__ import WRONG_ARGUMENTS, main
from benchmark.figures import Row
from benchmark.goals import TITLES
from benchmark.measures import registry
from benchmark.models import NAMES
from benchmark.results import Described, Results


def test_the_list_tells_rows_models_and_peers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in (*registry.NAMES, *NAMES, "triton", "kserve"))


def test_a_wrong_argument_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such-row", "--output", "nowhere"]) == WRONG_ARGUMENTS
    told = capsys.readouterr().err
    assert told.startswith("hack/bench: there is no row 'no-such-row': there is ")
    assert told.count("\n") == 1


def test_rows_that_need_other_models_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bert-c8", "--models", "tiny", "--output", str(tmp_path / "out")]) == WRONG_ARGUMENTS
    assert "none of these rows can do with the models tiny alone" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_report_is_made_anew_from_its_results(tmp_path: Path) -> None:
    row = Row("tiny-json-c32", "", "fairlead", 500.0, "requests/s", (500.0,))
    results.write(Results("2026-01-02", {}, {}, (Described("fairlead", "fairlead", ""),), (row,)), tmp_path)
    assert main(["--report", str(tmp_path)]) == 0
    assert "500 requests/s" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "picture.svg").read_text().startswith("<svg")


@pytest.mark.parametrize("content", [None, "{}", "no JSON"])
def test_a_report_needs_results(tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    if content is not None:
        (tmp_path / results.FILE).write_text(content)
    assert main(["--report", str(tmp_path)]) == WRONG_ARGUMENTS
    assert "no results of a run" in capsys.readouterr().err


def test_every_row_has_a_title_and_every_title_a_row_of_its_own() -> None:
    assert set(registry.NAMES) <= set(TITLES)
    assert len(registry.NAMES) == len(set(registry.NAMES))


def test_every_row_needs_models_that_there_are() -> None:
    assert all(registry.needs(name) <= set(NAMES) for name in registry.NAMES)
