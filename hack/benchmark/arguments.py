"""The command line of hack/bench: what is asked for, checked against what there is. Starts nothing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from benchmark.goals import TITLES

_ABOUT = """Measures Fairlead and what one would pick instead, in one run: the same machine, models and bodies.
Each server is started in turn, checked against ONNX Runtime's own answers, measured, and stopped, in rounds.
Writes results.json, report.md and picture.svg into the folder given by --output."""
_EXIT = """exit status: 0 all that was asked for was measured; 1 not all (the report says what); 2 wrong arguments.
Peers are installed into an environment each when first wanted, and generators (wrk, vegeta, ghz, perf_analyzer) where
they are missing, into $XDG_CACHE_HOME/fairlead-bench (~/.cache/fairlead-bench)."""
ALL, NONE = "all", "none"
_QUICK_S = 2.0


class WrongArguments(Exception):
    """The text says which, and what there is."""


class Known(NamedTuple):
    """The names that there are: of rows, models and peers."""

    rows: Sequence[str]
    models: Sequence[str]
    peers: Sequence[str]


class Asked(NamedTuple):
    """`output` is the folder for the results, or the one to make a report from where `report` is set."""

    rows: tuple[str, ...]
    models: tuple[str, ...]
    peers: tuple[str, ...]
    rounds: int
    seconds: float
    threads: int
    quick: bool
    lists: bool
    report: bool
    output: Path


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise WrongArguments(message)


def read(argv: Sequence[str], known: Known, cores: int) -> Asked:
    """Raises WrongArguments; ends the process for --help."""
    found = _parser(cores).parse_args(argv)
    rows = _chosen("row", found.names, known.rows)
    chosen_models = _chosen("model", _split(found.models), known.models)
    peers = () if found.peers == NONE else _chosen("peer", _split(found.peers), known.peers)
    place = found.report or found.output
    if place is None and not found.list:
        raise WrongArguments("--output FOLDER is missing: where the results go")
    if min(found.rounds, found.threads) < 1 or found.seconds < 1:
        raise WrongArguments("--rounds, --seconds and --threads are at least 1")
    return Asked(
        rows=rows,
        models=chosen_models,
        peers=peers,
        rounds=1 if found.quick else found.rounds,
        seconds=_QUICK_S if found.quick else found.seconds,
        threads=found.threads,
        quick=found.quick,
        lists=found.list,
        report=found.report is not None,
        output=Path(place or "."),
    )


def _parser(cores: int) -> _Parser:
    parser = _Parser(
        prog="hack/bench", description=_ABOUT, epilog=_EXIT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="rows to measure (default: all; --list tells them)")
    parser.add_argument("--output", metavar="FOLDER", help="where the results go; made if missing")
    parser.add_argument("--peers", default=ALL, help="all, none, or names with commas between (default: all)")
    parser.add_argument("--models", default=ALL, help="only rows that need no other models than these (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="of all measures, interleaved (default: 3)")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long one load lasts (default: 4)")
    parser.add_argument("--threads", type=int, default=cores, help="ONNX Runtime's for one run (default: the cores)")
    parser.add_argument("--quick", action="store_true", help="one short round: shows that it works, and no figures")
    parser.add_argument("--list", action="store_true", help="tell the rows, models and servers, and measure nothing")
    parser.add_argument("--report", metavar="FOLDER", help="make report.md and picture.svg anew from its results.json")
    return parser


def listing(known: Known) -> str:
    """What --list prints."""
    width = max(map(len, known.rows), default=0)
    rows = [f"  {name:<{width}}  {TITLES.get(name, '')}".rstrip() for name in known.rows]
    return "\n".join(
        ["rows:", *rows, "models:", f"  {', '.join(known.models)}", "peers:", f"  {', '.join(known.peers)}"]
    )


def _split(names: str) -> list[str]:
    return [] if names == ALL else [name.strip() for name in names.split(",")]


def _chosen(kind: str, names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """All of them where none is named."""
    unknown = [name for name in names if name not in known]
    if unknown:
        raise WrongArguments(
            f"there is no {kind} {', '.join(map(repr, unknown))}: there is {', '.join(known) or 'none'}"
        )
    return tuple(name for name in known if name in names or not names)
