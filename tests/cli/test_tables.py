import pytest

from fairlead_cli.tables import ago, table


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    """Without spaces at the ends of lines."""
    assert table(("A", "LONG"), [("xyz", "1"), ("", "")]) == "A    LONG\nxyz  1\n\n"


@pytest.mark.parametrize(
    ("passed", "text"), [(-5, "0 s"), (0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172800, "2 d")]
)
def test_times_are_told_in_the_largest_unit_that_fits(passed: float, text: str) -> None:
    """Two of a unit and more; a clock that went back is no time."""
    assert ago(1000.0, 1000.0 + passed) == text
