"""Figures of all rounds -> the report's rows: medians, the best peer, ratios, and whether the goals are met. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from benchmark.figures import Figure, Row
from benchmark.goals import CONSTANT, FAIRLEAD, GOALS, PEERS, TITLES, Goal, judge, text
from benchmark.subject import Role

_ROLES: Mapping[str, Role] = {PEERS: "peer", CONSTANT: "limit"}
_ORDER = {measure: at for at, measure in enumerate(TITLES)}


class Reading(NamedTuple):
    """All rounds of one figure."""

    measure: str
    part: str
    subject: str
    rounds: tuple[float, ...]
    like: Figure  # the unit, what is better, the last note

    @property
    def value(self) -> float:
        return statistics.median(self.rounds)

    def worst(self) -> float:
        return min(self.rounds) if self.like.better == "more" else max(self.rounds)


Readings = Mapping[tuple[str, str, str], Reading]


def rows_of(figures: Sequence[Figure], roles: Mapping[str, Role]) -> list[Row]:
    """A row for each measure, part and subject, and for each goal where a figure has several. `roles` of the subjects:
    who is not in it is Fairlead's own."""
    readings = _readings(figures)
    rows = [row for reading in readings.values() for row in _rows(reading, readings, roles)]
    return sorted(rows, key=lambda row: _ORDER.get(row.measure, len(_ORDER)))


def with_causes(rows: Sequence[Row], causes: Mapping[str, str]) -> list[Row]:
    """`causes` say where the time of a missed goal goes, by measure."""
    return [msgspec.structs.replace(row, cause=causes.get(row.measure, "") if row.met is False else "") for row in rows]


def _readings(figures: Sequence[Figure]) -> Readings:
    found: dict[tuple[str, str, str], list[Figure]] = {}
    for figure in figures:
        found.setdefault((figure.measure, figure.part, figure.subject), []).append(figure)
    return {key: Reading(*key, tuple(one.value for one in each), each[-1]) for key, each in found.items()}


def _rows(reading: Reading, readings: Readings, roles: Mapping[str, Role]) -> Iterator[Row]:
    mine = (reading.measure, reading.part, reading.subject)
    goals = [goal for goal in GOALS if (goal.measure, goal.part, goal.subject) == mine]
    for goal in goals:
        yield _judged(reading, goal, readings, roles)
    if not goals:
        yield _told(reading, readings, roles)


def _told(reading: Reading, readings: Readings, roles: Mapping[str, Role]) -> Row:
    """Fairlead beside the best peer, its variants beside Fairlead."""
    other = None
    if reading.subject == FAIRLEAD:
        other = _best(reading, readings, roles, "peer")
    elif reading.subject.startswith(FAIRLEAD):
        other = readings.get((reading.measure, reading.part, FAIRLEAD))
    return _row(reading, reading.value, other.subject if other else "", other.value if other else None)


def _judged(reading: Reading, goal: Goal, readings: Readings, roles: Mapping[str, Role]) -> Row:
    value = reading.worst() if goal.worst else reading.value
    against, reference = _reference(reading, goal, readings, roles)
    met = judge(goal, value, reference)
    compared = against if goal.against or goal.parts else ""
    row = _row(reading, value, compared, reference if compared else None)
    return msgspec.structs.replace(row, goal=text(goal, reading.like.unit), met=met)


def _reference(reading: Reading, goal: Goal, readings: Readings, roles: Mapping[str, Role]) -> tuple[str, float | None]:
    """What the goal's factor multiplies, and whose it is; None where that was not measured."""
    if goal.against in _ROLES:
        best = _best(reading, readings, roles, _ROLES[goal.against])
        return (best.subject, best.value) if best else ("", None)
    if goal.against:
        other = readings.get((reading.measure, reading.part, goal.against))
        return goal.against, other.value if other else None
    parts = [readings.get((reading.measure, part, reading.subject)) for part in goal.parts]
    if not parts:
        return "", 1.0
    values = [part.value for part in parts if part]
    return " + ".join(goal.parts), sum(values) if len(values) == len(parts) else None


def _best(reading: Reading, readings: Readings, roles: Mapping[str, Role], role: Role) -> Reading | None:
    """Whoever of this role has the best figure of the same name."""
    found = [
        other
        for other in readings.values()
        if (other.measure, other.part) == (reading.measure, reading.part) and roles.get(other.subject) == role
    ]
    choose = max if reading.like.better == "more" else min
    return choose(found, key=lambda one: one.value, default=None)


def _row(reading: Reading, value: float, against: str, reference: float | None) -> Row:
    return Row(
        measure=reading.measure,
        part=reading.part,
        subject=reading.subject,
        value=value,
        unit=reading.like.unit,
        rounds=reading.rounds,
        against=against,
        ratio=value / reference if reference else None,
        note=reading.like.note,
    )
