"""The time that in-place runs may take from one iteration of the loop."""

import asyncio

from fairlead_server.batching.budget import TurnBudget


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
