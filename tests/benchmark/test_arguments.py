"""The command line: what is not there is said, with what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.arguments import Asked, Known, WrongArguments, listing, read

KNOWN = Known(("tiny-json-c32", "ready-edge"), ("tiny", "mlp"), ("triton", "kserve"))


def asked(*argv: str) -> Asked:
    return read([*argv, "--output", "out"], KNOWN, 2)


def test_without_names_everything_is_asked_for() -> None:
    found = asked()
    assert (found.rows, found.models, found.peers) == KNOWN
    assert (found.output, found.threads, found.quick) == (Path("out"), 2, False)


def test_names_choose_rows_models_and_peers() -> None:
    found = asked("ready-edge", "--models", "tiny", "--peers", "kserve, triton")
    assert (found.rows, found.models, found.peers) == (("ready-edge",), ("tiny",), ("triton", "kserve"))


def test_no_peers_is_a_choice() -> None:
    assert asked("--peers", "none").peers == ()


def test_quick_is_one_round_of_the_shortest_loads() -> None:
    found = asked("--quick", "--rounds", "5", "--seconds", "9")
    assert (found.rounds, found.seconds, found.quick) == (1, 2.0, True)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["tiny"], "no row 'tiny': there is tiny-json-c32, ready-edge"),
        (["--peers", "torchserve"], "no peer 'torchserve': there is triton, kserve"),
        (["--models", "llama,tiny"], "no model 'llama': there is tiny, mlp"),
        (["--rounds", "0"], "at least 1"),
        (["--seconds", "0.1"], "at least 1"),
        (["--rounds", "many"], "invalid int value"),
        (["--frobnicate"], "unrecognized arguments"),
    ],
)
def test_wrong_arguments_are_said_in_one_line(argv: list[str], said: str) -> None:
    with pytest.raises(WrongArguments, match=said) as fault:
        asked(*argv)
    assert "\n" not in str(fault.value)


def test_results_need_a_place() -> None:
    with pytest.raises(WrongArguments, match="--output FOLDER is missing"):
        read(["ready-edge"], KNOWN, 2)


def test_a_report_is_made_where_its_results_lie() -> None:
    found = read(["--report", "old"], KNOWN, 2)
    assert (found.report, found.output) == (True, Path("old"))


def test_the_list_tells_every_name() -> None:
    told = listing(KNOWN)
    assert all(name in told for names in KNOWN for name in names)
    assert "tiny, HTTP JSON, 32 connections" in told
