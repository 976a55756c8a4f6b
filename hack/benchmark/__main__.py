"""`hack/bench`: puts the parts together. 0: all was measured; 1: not all; 2: wrong arguments."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from benchmark import models, results
from benchmark.arguments import Asked, Known, WrongArguments, listing, read
from benchmark.load.generator import cores
from benchmark.measures import registry
from benchmark.picture import svg
from benchmark.progress import Progress
from benchmark.report import markdown
from benchmark.results import Results
from benchmark.rows import with_causes
from benchmark.run import causes, run
from benchmark.subject import Subject
from benchmark.subjects.every import every

WRONG_ARGUMENTS = 2
INTERRUPTED = 130
REPORT, PICTURE = "report.md", "picture.svg"


def main(argv: Sequence[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="fairlead-bench-") as folder:
        scratch = Path(folder)
        subjects = every(scratch)
        peers = [name for name, subject in subjects.items() if subject.role == "peer"]
        known = Known(registry.NAMES, models.NAMES, peers)
        try:
            asked = read(argv, known, cores())
            if asked.lists:
                print(listing(known))
            elif asked.report:
                _write_report(_again(asked.output), asked.output)
            else:
                return _measure(asked, subjects, scratch)
        except WrongArguments as fault:
            print(f"hack/bench: {fault} (see --help)", file=sys.stderr)
            return WRONG_ARGUMENTS
        except KeyboardInterrupt:
            print(f"hack/bench: interrupted; what was measured is in {results.FILE}", file=sys.stderr)
            return INTERRUPTED
    return 0


def _measure(asked: Asked, subjects: Mapping[str, Subject], scratch: Path) -> int:
    rows = [name for name in asked.rows if registry.needs(name) <= set(asked.models)]
    if not rows:
        raise WrongArguments(f"none of these rows can do with the models {', '.join(asked.models)} alone")
    asked = asked._replace(rows=tuple(rows))
    chosen = [subject for name, subject in subjects.items() if subject.role != "peer" or name in asked.peers]
    progress = Progress(asked.rounds, lambda line: print(line, flush=True))
    found = run(asked, chosen, registry.ENTRIES, scratch, progress)
    _write_report(found, asked.output)
    print(markdown(found).partition("\n## ")[0])
    return 1 if found.failures else 0


def _again(folder: Path) -> Results:
    try:
        found = results.read(folder)
    except (FileNotFoundError, msgspec.DecodeError) as fault:
        raise WrongArguments(f"--report: no results of a run: {fault}") from None
    return msgspec.structs.replace(found, rows=tuple(with_causes(found.rows, causes())))


def _write_report(found: Results, folder: Path) -> None:
    (folder / REPORT).write_text(markdown(found))
    (folder / PICTURE).write_text(svg(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
