"""When a worker gives memory back, and that it is really less then."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import onnx_models

from fairlead_server.worker.memory import CLOSED_S, GROWN, GROWN_BYTES, PAUSE_S, Growth

MIB = 2**20
QUIET = 100 * MIB
HUGE = int(GROWN * QUIET) + GROWN_BYTES + MIB


def settled() -> Growth:
    growth = Growth()
    assert not growth.due(QUIET, 0.0)
    return growth


def test_after_versions_were_closed_it_gives_back_once() -> None:
    """A little later, so that of several closes only the last one costs something."""
    growth = settled()
    growth.closed(10.0)
    growth.closed(10.4)
    assert not growth.due(QUIET, 10.0 + CLOSED_S)
    assert growth.due(QUIET, 10.4 + CLOSED_S)
    growth.given_back(QUIET // 2, 11.0)
    assert not growth.due(QUIET // 2, 12.0)


def test_what_stands_far_above_is_given_back() -> None:
    """A huge request; what is a little above is how memory is."""
    growth = settled()
    assert not growth.due(HUGE - 2 * MIB, 5.0)
    assert growth.due(HUGE, 6.0)


def test_what_does_not_shrink_is_the_new_level() -> None:
    """Then it is in use, and asking again would help nothing."""
    growth = settled()
    assert growth.due(HUGE, 6.0)
    growth.given_back(HUGE, 6.1)
    assert not growth.due(HUGE + MIB, 1000.0)


def test_what_is_soon_taken_again_is_given_back_more_and_more_seldom() -> None:
    """Under large requests all day the arena is of use."""
    growth = settled()
    now, pauses = 0.0, []
    for _ in range(4):
        begin = now
        while not growth.due(HUGE, now):
            now += 1.0
        pauses.append(now - begin)
        growth.given_back(QUIET, now)
    assert pauses == [0.0, PAUSE_S, 2 * PAUSE_S, 4 * PAUSE_S]


def test_a_version_that_was_opened_is_no_growth() -> None:
    """What it takes is meant to stay."""
    growth = settled()
    growth.opened(HUGE)
    assert not growth.due(HUGE, 5.0)


def test_closed_models_and_huge_runs_leave_nothing(tmp_path: Path) -> None:
    """In a process of its own: of a hundred models, and of a run of 40 MB, almost nothing is left."""
    path = onnx_models.build_linear(tmp_path / "model.onnx")
    story = f"""
        import numpy as np
        from pathlib import Path
        from fairlead_server.models.settings import VersionSettings
        from fairlead_server.runtimes.onnx import open_session
        from fairlead_server.worker.memory import give_back
        from fairlead_server.worker.process import resident_bytes
        def opened(): return open_session(Path({str(path)!r}), VersionSettings(), 1)
        opened().close()
        give_back()
        before = resident_bytes()
        many = [opened() for _ in range(100)]
        many[0].run({{"x": np.zeros((2_000_000, 4), np.float32)}}, ["y"])
        while many:
            many.pop().close()
        give_back()
        print(resident_bytes() - before)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(story)], capture_output=True, check=True, timeout=60)
    assert int(done.stdout) < 4 * MIB
