"""A generator is a process with a time limit; its fault is one line."""

from __future__ import annotations

import sys

import pytest

from benchmark.load import generator
from benchmark.load.generator import GeneratorFailed, run


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_what_it_printed_and_the_processor_time_that_it_took() -> None:
    printed = run(python("print(sum(range(2_000_000)))"), 5)
    assert printed.out == b"1999999000000\n"
    assert printed.cpu_s > 0


def test_a_fault_tells_the_status_and_the_last_lines() -> None:
    with pytest.raises(GeneratorFailed, match="ended with status 3: no server there"):
        run(python("import sys; print('no server there', file=sys.stderr); sys.exit(3)"), 5)


def test_one_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "GRACE_S", 0.1)
    with pytest.raises(GeneratorFailed, match="did not end within"):
        run(python("import time; time.sleep(30)"), 0.1)


def test_it_is_given_its_environment() -> None:
    assert run(python("import os; print(os.environ['WHERE'])"), 5, environment={"WHERE": "here"}).out == b"here\n"
