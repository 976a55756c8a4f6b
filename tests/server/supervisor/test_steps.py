"""The next step of a version: a table."""

from __future__ import annotations

import pytest

from fairlead_server.models.states import State
from fairlead_server.supervisor.steps import Again, Around, Fail, Fetch, HandOver, Life, Step, Try, next_step

WANTED, FETCHED = Life(State.WANTED, 0.0), Life(State.WANTED, 0.0, path="/p", uid="u")
FAILED = Life(State.FAILED, 0.0, reason="why", attempts=1, retry_at=10.0)


@pytest.mark.parametrize(
    ("life", "around", "wanted"),
    [
        (WANTED, Around(0.0), Fetch()),
        (WANTED, Around(0.0, may_fetch=False), None),
        (Life(State.FETCHING, 0.0), Around(0.0), None),
        (FETCHED, Around(0.0), Try()),
        (FETCHED, Around(0.0, may_try=False), None),
        (FETCHED, Around(0.0, may_try=False, proven=True), HandOver()),
        (FETCHED, Around(0.0, proven=True, condemned="it kills"), Fail("it kills", final=True)),
        (FETCHED, Around(0.0, proven=True, refusal="too big"), Fail("too big", final=False)),
        (FETCHED, Around(0.0, refusal="too big", never=True), Fail("too big", final=True)),
        (Life(State.TRYING, 0.0, path="/p"), Around(0.0), None),
        (Life(State.LOADING, 0.0, path="/p"), Around(0.0), None),
        (FAILED, Around(9.9), None),
        (FAILED, Around(10.0), Again()),
        (Life(State.FAILED, 0.0, final=True), Around(1e9), None),
    ],
)
def test_the_next_step(life: Life, around: Around, wanted: Step | None) -> None:
    """Fetched, then proven or tried, then handed over; failures wait, and final ones for ever."""
    assert next_step(life, around) == wanted


@pytest.mark.parametrize(
    ("life", "told"),
    [
        (WANTED, False),
        (FAILED, False),
        (Life(State.FAILED, 0.0, attempts=2), True),
        (Life(State.WANTED, 0.0, attempts=2), True),
        (Life(State.LOADING, 0.0, attempts=2), False),
        (Life(State.FAILED, 0.0, final=True), True),
    ],
)
def test_workers_wait_for_a_first_retry_only(life: Life, told: bool) -> None:
    """A version that failed twice, or for good, no longer holds up a worker's doors."""
    assert life.told_failed is told
