"""The time that in-place runs may take from one iteration of the loop."""

import asyncio

import pytest

from fairlead_server.batching.budget import SentOff, TurnBudget


def test_it_is_spent_within_an_iteration_and_full_in_the_next() -> None:
    """What exceeds it has to go elsewhere until the loop comes round."""

    async def story() -> None:
        turn = TurnBudget(turn_us=300, in_place_us=200)
        assert turn.allows(150)
        turn.spend(150)
        assert turn.allows(150)
        turn.spend(100)
        assert not turn.allows(150)
        assert turn.allows(50)
        await asyncio.sleep(0)
        assert turn.allows(150)

    asyncio.run(story())


def test_long_and_unknown_runs_are_never_in_place() -> None:
    """A prediction at the limit, or none, sends a run to a thread."""
    turn = TurnBudget(turn_us=1000, in_place_us=200)
    assert [turn.allows(us) for us in (199.0, 200.0, None)] == [True, False, False]


def overrun(sent: SentOff, now: float, *, worked: bool, us: float = 25_000.0) -> None:
    sent.note("shape", us, us if sent.watching and worked else 0.0, 50.0, now)


def test_a_shape_that_works_too_long_on_the_loop_goes_to_threads_for_a_while() -> None:
    """Twice as long each time that it comes back and does it again; other shapes stay."""
    sent = SentOff()
    now, away = 0.0, []
    for _ in range(4):
        overrun(sent, now, worked=True)
        assert sent.watching
        overrun(sent, now, worked=True)
        until = next(at / 100 for at in range(10_000) if sent.may_hold("shape", now + at / 100))
        away.append(until)
        assert sent.may_hold("another", now)
        now += until
    assert away == pytest.approx([0.1, 0.2, 0.4, 0.8], abs=0.02)


def test_what_only_waited_for_a_core_stays() -> None:
    """It is looked into ever more seldom."""
    sent = SentOff()
    watched = 0
    for at in range(1000):
        overrun(sent, at / 1000, worked=False)
        watched += sent.watching
        assert sent.may_hold("shape", at / 1000)
    assert 1 <= watched < 200


def test_short_and_rare_overruns_are_not_looked_into() -> None:
    """Less than a millisecond is none, and a few milliseconds now and then are no reason for a system call."""
    sent = SentOff()
    for at in range(100):
        sent.note("shape", 900.0, 0.0, 10.0, at)
        sent.note("shape", 8000.0, 0.0, 10.0, at)
        sent.note("shape", 9e6, 0.0, 3e6, at)
    assert not sent.watching
