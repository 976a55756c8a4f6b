"""How long will a run take, read off what was measured: between two measured points along the line that joins them.

No numpy here: the supervisor carries these tables in its status.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

ByRows = Mapping[int, float]


def of_rows(table: ByRows, rows: int) -> float | None:
    """Microseconds of a run of `rows`, None for an empty table. Beyond the table a row costs what it costs at the
    table's end, which overstates rather than promises."""
    if not table:
        return None
    known = table.get(rows)
    if known is not None:
        return known
    sizes = sorted(table)
    if rows >= sizes[-1]:
        return table[sizes[-1]] * rows / sizes[-1]
    return _between(sizes, [table[size] for size in sizes], rows)


def of_length(tables: Mapping[int, ByRows], rows: int, length: int) -> float | None:
    """The same where rows have a length too; None beyond the longest measured: attention grows faster than length,
    and nobody knows how fast."""
    lengths = sorted(at for at in tables if tables[at])
    if not lengths or length > lengths[-1]:
        return None
    known = [of_rows(tables[at], rows) or 0.0 for at in lengths]
    return _between(lengths, known, length)


def _between(at: list[int], values: list[float], wanted: int) -> float:
    """Below the first point its own value."""
    high = bisect_left(at, wanted)
    if high == 0 or at[high] == wanted:
        return values[high]
    low = high - 1
    return values[low] + (values[high] - values[low]) * (wanted - at[low]) / (at[high] - at[low])
