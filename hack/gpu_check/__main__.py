"""`python -m gpu_check --output FOLDER`: by hack/gpu-check, in its environment, on a machine with a GPU."""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gpu_check import figures, machine, report, suite


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="hack/gpu-check", description=__doc__)
    parser.add_argument("--output", required=True, type=Path, metavar="FOLDER", help="where the report goes")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="how long one load lasts")
    asked = parser.parse_args(argv)
    tests = suite.run()
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as scratch:
        read, failures = figures.measure(Path(scratch), asked.seconds, _say)
    found = report.Report(
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        machine=machine.facts(),
        tests=tests,
        figures=tuple(read),
        failures=tuple(failures),
    )
    report.write(found, asked.output)
    _say(f"{'passed' if found.passed else 'FAILED'}: {asked.output / report.MARKDOWN}")
    return 0 if found.passed else 1


def _say(text: str) -> None:
    sys.stderr.write(f"gpu-check: {text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
