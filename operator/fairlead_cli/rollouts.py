"""`fairlead rollouts`: how far each promotion got, from the report that the operator writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fairlead_cli.errors import CommandError
from fairlead_cli.tables import ago, table

REPORT = "rollouts.json"
_HEADS = ("MODEL", "PHASE", "FOR", "SERVES", "CANDIDATE", "WHY")


def read(state_dir: Path) -> dict[str, Any]:
    """The report; CommandError when there is none."""
    path = state_dir / REPORT
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError as error:
        raise CommandError(f"no {path}: name the operator's folder by --state-dir, or start `fairlead up`") from error
    except (OSError, ValueError, TypeError) as error:
        raise CommandError(f"cannot read {path}: {error}") from error


def show(state_dir: Path) -> str:
    """The table; above it, since when the registry has not been seen, while that is so."""
    report = read(state_dir)
    sight = report.get("registry", {})
    lines = [_row(line) for line in report.get("rollouts", [])]
    return _registry(sight) + (table(_HEADS, lines) if lines else _nothing(sight))


def _nothing(sight: dict[str, Any]) -> str:
    if sight.get("seen") is None:
        return "no rollouts are known: the registry has not answered yet\n"
    return "no rollouts yet: no registered model carries the tag fairlead.serve=true\n"


def _registry(sight: dict[str, Any]) -> str:
    if not sight.get("error"):
        return ""
    return f"the registry has not been seen for {ago(sight['since'])}: {sight['error']}\n"


def _row(line: dict[str, Any]) -> tuple[str, ...]:
    served, model = line["served"], line["model"]
    why = "; ".join([line["reason"], *(f"{name}: {text}" for name, text in sorted(line["conditions"].items()))])
    name = served if served == model else f"{served} ({model})"
    return (name, line["phase"], ago(line["since"]), line["stable"] or "-", line["candidate"] or "-", why)
