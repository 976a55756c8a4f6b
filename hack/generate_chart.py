"""Writes charts/fairlead/values.schema.json, and the table of values into charts/fairlead/README.md."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from chart_values.schema import schema
from chart_values.table import rows, table

ROOT = Path(__file__).resolve().parent.parent
CHART = Path("charts/fairlead")
MARKED = re.compile(r"(<!-- values: written by hack/generate -->\n).*?(<!-- end of values -->)", re.DOTALL)


def main(into: Path) -> None:
    values = (ROOT / CHART / "values.yaml").read_text(encoding="utf-8")
    readme = (ROOT / CHART / "README.md").read_text(encoding="utf-8")
    written, places = MARKED.subn(lambda found: f"{found[1]}\n{table(rows(values))}\n{found[2]}", readme)
    if places != 1:
        raise SystemExit(f"{CHART}/README.md: the marks around the table of values are gone")
    folder = into / CHART
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "values.schema.json").write_text(json.dumps(schema(), indent=1) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
