import json
from pathlib import Path

import pytest

from fairlead_cli import rollouts
from fairlead_cli.errors import CommandError

LINE = {
    "model": "team/churn",
    "served": "churn",
    "phase": "Loading",
    "stable": "3",
    "candidate": "4",
    "reason": "version 4: waiting for its digest",
    "since": 0,
    "conditions": {"Pending": "x"},
}


def test_each_rollout_is_a_line(tmp_path: Path) -> None:
    """With what serves, what comes, and why it is where it is."""
    (tmp_path / "rollouts.json").write_text(
        json.dumps({"registry": {"seen": 1, "since": 1, "error": ""}, "rollouts": [LINE]})
    )
    head, line = rollouts.show(tmp_path).splitlines()
    assert head.split() == ["MODEL", "PHASE", "FOR", "SERVES", "CANDIDATE", "WHY"]
    assert line.startswith("churn (team/churn)  Loading")
    assert line.endswith("3       4          version 4: waiting for its digest; Pending: x")


def test_a_registry_that_is_not_seen_is_told_first(tmp_path: Path) -> None:
    """Since when, and why."""
    (tmp_path / "rollouts.json").write_text(json.dumps({"registry": {"seen": None, "since": 0, "error": "refused"}}))
    first, second = rollouts.show(tmp_path).splitlines()
    assert first.startswith("the registry has not been seen for")
    assert first.endswith(": refused")
    assert second == "no rollouts are known: the registry has not answered yet"


def test_nothing_to_tell_says_what_is_missing(tmp_path: Path) -> None:
    """The registry answers, and nothing in it asks to be served."""
    (tmp_path / "rollouts.json").write_text(json.dumps({"registry": {"seen": 1, "since": 0, "error": ""}}))
    assert rollouts.show(tmp_path).startswith("no rollouts yet: no registered model carries the tag")


@pytest.mark.parametrize(("text", "told"), [(None, "--state-dir"), ("{", "cannot read"), ("[1]", "cannot read")])
def test_no_report_is_told(tmp_path: Path, text: str | None, told: str) -> None:
    """No file, or a file that is no report."""
    if text is not None:
        (tmp_path / "rollouts.json").write_text(text)
    with pytest.raises(CommandError, match=told):
        rollouts.show(tmp_path)
