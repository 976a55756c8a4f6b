"""What the demo shows: one row for each two seconds of traffic, and the summary, as text and as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from fairlead_cli.demo.figures import Answer, Figures, Switch, Truth, add_up, by_version
from fairlead_cli.tables import table

_ROW = "{:>6}  {:<28}  {:>6}  {:>6}  {:>8}  {:>7}  {:>7}  {:>5}"
HEAD = _ROW.format("time", "who answers", "HTTP/s", "gRPC/s", "accuracy", "p50 ms", "p99 ms", "lost")


@dataclasses.dataclass(frozen=True)
class Refusal:
    version: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    """All that the demo saw."""

    answers: Sequence[Answer]
    truth: Truth
    switches: Sequence[Switch]
    refused: Sequence[Refusal]

    @property
    def lost(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.error]

    @property
    def wrong(self) -> list[str]:
        """A sentence for each answer that should not have been given."""
        return [why for answer in self.answers if not answer.error and (why := self.truth.wrong(answer))]

    @property
    def good(self) -> bool:
        return bool(self.answers) and not self.lost and not self.wrong


def row(at_s: float, answers: Sequence[Answer], span_s: float, digits: Sequence[int], lost: int) -> str:
    """One line on the answers of the last `span_s` seconds; `lost` counts from the start."""
    figures = add_up(answers, digits)
    shares = {version: len(some) / max(1, len(answers)) for version, some in by_version(answers).items()}
    who = ", ".join(f"version {version}{'' if share > 0.99 else f' {share:.0%}'}" for version, share in shares.items())
    rates = [sum(answer.protocol == protocol for answer in answers) / span_s for protocol in ("http", "grpc")]
    return _ROW.format(
        f"{at_s:.0f} s", who or "nobody", *(f"{rate:.0f}" for rate in rates), *_cells(figures), str(lost)
    )


def summary(outcome: Outcome) -> str:
    """The end of the demo, for a person."""
    lines = [
        ("version " + version, str(figures.requests), *_cells(figures))
        for version, figures in _by_version(outcome).items()
    ]
    text = [table(("", "requests", "accuracy", "p50 ms", "p99 ms"), lines)]
    text += [_told(switch) for switch in outcome.switches]
    text += [f"version {refusal.version} was refused: {refusal.reason}\n" for refusal in outcome.refused]
    text.append(f"\n{len(outcome.answers)} requests, {len(outcome.lost)} lost, {len(outcome.wrong)} wrong\n")
    for what, found in (("lost", [answer.error for answer in outcome.lost]), ("wrong", outcome.wrong)):
        text += [f"  {what} ({times}): {why}\n" for why, times in Counter(found).most_common(5)]
    return "".join(text)


def document(outcome: Outcome) -> dict[str, Any]:
    """The same as JSON (`--summary FILE`)."""
    return {
        "requests": len(outcome.answers),
        "lost": len(outcome.lost),
        "wrong": len(outcome.wrong),
        "by_version": {
            version: {
                "requests": figures.requests,
                "accuracy": round(figures.accuracy, 4),
                "p50_ms": round(figures.p50_ms, 2),
                "p99_ms": round(figures.p99_ms, 2),
            }
            for version, figures in _by_version(outcome).items()
        },
        "refused": [dataclasses.asdict(refusal) for refusal in outcome.refused],
        "switches": [dataclasses.asdict(switch) for switch in outcome.switches],
    }


def _by_version(outcome: Outcome) -> dict[str, Figures]:
    return {version: add_up(some, outcome.truth.digits) for version, some in by_version(outcome.answers).items()}


def _cells(figures: Figures) -> tuple[str, str, str]:
    def cell(value: float, form: str) -> str:
        return "-" if math.isnan(value) else format(value, form)

    return cell(figures.accuracy, ".1%"), cell(figures.p50_ms, ".1f"), cell(figures.p99_ms, ".1f")


def _told(switch: Switch) -> str:
    if switch.ready_s is None:
        return ""
    said = f"version {switch.version} was ready {switch.ready_s:.1f} s after its promotion"
    if switch.first_answer_s is not None and switch.last_old_answer_s is not None:
        both_ms = max(0.0, switch.last_old_answer_s - switch.first_answer_s) * 1000
        said += f", answered {max(0.0, switch.first_answer_s - switch.ready_s):.2f} s later"
        said += f", and for {both_ms:.0f} ms beside the old one"
    return said + "\n"
