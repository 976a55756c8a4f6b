"""Results -> the README's picture: bars for the figures that most ask for, Fairlead's beside everybody's. SVG by hand.

It is read on light and dark pages (its colours follow the reader's scheme), and brings no font and no script.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from benchmark.figures import Row
from benchmark.goals import FAIRLEAD, GOALS, IN_PROCESS, TITLES
from benchmark.report import number
from benchmark.results import Results

PANELS = ("tiny-json-c32", "tiny-json-c1", "mlp-binary-c32", "mlp-grpc-c32", "resnet-c8", "bert-c8")
_COLUMNS, _PANEL, _GAP, _EDGE = 2, 470, 30, 20
_NAMES, _VALUES = 165, 95  # widths beside the bars
_HEAD, _BAR, _STEP, _FOOT = 30, 14, 21, 16
_LABELS = {
    FAIRLEAD: "Fairlead",
    "Triton (Python back end), bound by pytriton": "Triton (Python, pytriton)",
    IN_PROCESS: "ONNX Runtime alone",
}
_LONGEST = 26  # characters of a name
_STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #1f2328 }
.page { fill: #ffffff } .title { font-size: 13px; font-weight: 600 } .small { font-size: 11px; fill: #59636e }
.fairlead { fill: #0a69da } .peer { fill: #a9b4c0 } .limit { fill: none; stroke: #8c959f; stroke-dasharray: 3 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .page { fill: #0d1117 } .small { fill: #9198a1 }
  .fairlead { fill: #4493f8 } .peer { fill: #5b6570 } .limit { stroke: #7d8590 }
}
"""


class Bar(NamedTuple):
    name: str
    kind: str
    value: float
    unit: str


class Panel(NamedTuple):
    title: str
    better: str
    bars: Sequence[Bar]

    def height(self) -> int:
        return _HEAD + _STEP * len(self.bars) + _FOOT


def svg(results: Results) -> str:
    """A panel for each headline figure that was measured, two in a line."""
    panels = [panel for panel in (_panel(name, results) for name in PANELS) if panel.bars]
    lines = [panels[at : at + _COLUMNS] for at in range(0, len(panels), _COLUMNS)]
    heights = [max(panel.height() for panel in line) for line in lines]
    width = _COLUMNS * _PANEL + (_COLUMNS - 1) * _GAP + 2 * _EDGE
    height = sum(heights) + 2 * _EDGE + _STEP
    drawn = [
        text
        for at, line in enumerate(lines)
        for column, panel in enumerate(line)
        for text in _draw(panel, _EDGE + column * (_PANEL + _GAP), _EDGE + sum(heights[:at]))
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    name = "Fairlead, its peers and the limits, measured in one run"
    return "\n".join([
        f'{head} role="img" aria-label="{name}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{width}" height="{height}" rx="6"/>',
        *drawn,
        _text(_EDGE, height - _EDGE + 4, _footer(results), "small"),
        "</svg>\n",
    ])  # fmt: skip


def _panel(name: str, results: Results) -> Panel:
    """Fairlead first, then the peers from best to worst, then the limits."""
    kinds = {one.name: one.role for one in results.subjects} | {FAIRLEAD: "fairlead", IN_PROCESS: "limit"}
    rows = {row.subject: row for row in results.rows if (row.measure, row.part) == (name, "")}
    if not any(goal.measure == name and goal.against == IN_PROCESS for goal in GOALS):
        rows.pop(IN_PROCESS, None)  # where the run is nothing its bar would dwarf all others
    less = any(row.unit == "ms" for row in rows.values())
    order = ("fairlead", "peer", "limit")

    def place(row: Row) -> tuple[int, float]:
        return order.index(kinds.get(row.subject, "fairlead")), row.value if less else -row.value

    bars = [
        Bar(row.subject, kinds.get(row.subject, "fairlead"), row.value, row.unit)
        for row in sorted(rows.values(), key=place)
    ]
    return Panel(TITLES[name], "less is better" if less else "more is better", bars)


def _draw(panel: Panel, x: int, y: int) -> Iterator[str]:
    yield _text(x, y + 14, panel.title, "title")
    yield _text(x + _PANEL, y + 14, panel.better, "small", "end")
    most = max(bar.value for bar in panel.bars) or 1.0
    room = _PANEL - _NAMES - _VALUES
    for at, bar in enumerate(panel.bars):
        top = y + _HEAD + at * _STEP
        length = max(1.0, room * bar.value / most)
        yield _text(x + _NAMES - 8, top + 11, _label(bar.name), "", "end")
        yield f'<rect class="{bar.kind}" x="{x + _NAMES}" y="{top}" width="{length:.1f}" height="{_BAR}" rx="2"/>'
        yield _text(round(x + _NAMES + length + 6), top + 11, f"{number(bar.value)} {_short(bar.unit)}", "")


def _label(name: str) -> str:
    known = _LABELS.get(name, name)
    return known if len(known) <= _LONGEST else f"{known[: _LONGEST - 1]}…"


def _text(x: int, y: int, text: str, kind: str, anchor: str = "start") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text{style} x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _short(unit: str) -> str:
    return "/s" if unit == "requests/s" else unit


def _footer(results: Results) -> str:
    cores, processor = results.machine.get("cores", ""), results.machine.get("processor", "")
    where = f"{cores} cores shared with the load" + (f", {processor}" if processor else "")
    return f"Median of {results.run.get('rounds', '')} rounds of one run; {where}. Dashed: limits."
