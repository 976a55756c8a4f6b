"""Which level a priority means, as Triton takes it."""

import pytest

from fairlead_server.batching.priority import level_of


@pytest.mark.parametrize(
    ("priority", "levels", "default", "level"),
    [
        (5, 0, 0, 0),  # no levels: there is one
        (1, 3, 2, 0),
        (3, 3, 2, 2),
        (0, 3, 2, 1),  # none given
        (4, 3, 2, 1),  # beyond the levels
        (2**64 - 1, 3, 2, 1),
        (0, 3, 0, 2),  # no default set: the lowest
        (0, 3, 9, 2),  # one that there is not
    ],
)
def test_levels(priority: int, levels: int, default: int, level: int) -> None:
    """1 is the highest; 0 and what is beyond the levels mean the default."""
    assert level_of(priority, levels, default) == level
