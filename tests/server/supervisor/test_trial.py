"""Trials with scripted children: which process tries what, and whose fault a death is."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from server.supervisor.replicas import QUICK, SCRIPTED, settings, until

from fairlead_server.link.messages import Load
from fairlead_server.models.settings import VersionSettings
from fairlead_server.supervisor.children import LEAST_NICE, SOME_NICE, Launch
from fairlead_server.supervisor.times import Times
from fairlead_server.supervisor.trial import Died, Passed, Refused, Trials, Verdict

PATIENT = dataclasses.replace(QUICK, trial=30.0)
AUTOGROUP = Path("/proc/self/autogroup")


def load(model: str) -> Load:
    return Load(f"u-{model}", model, "1", "/nowhere", "sha256:0", VersionSettings())


def processes(folder: Path) -> list[int]:
    """Those that were given a version."""
    return [int(path.suffix[1:]) for path in folder.glob("trial.*")]


def nices(folder: Path) -> list[int]:
    """Of their sessions."""
    groups = [Path(f"/proc/{pid}/autogroup").read_text() for pid in processes(folder)]
    return [int(group.split()[-1]) for group in groups]


def play(
    folder: Path, story: Callable[[Trials], Awaitable[None]], serving: bool = False, times: Times = PATIENT
) -> None:
    async def whole() -> None:
        trials = Trials(Launch(settings(folder), "boot", SCRIPTED), times, lambda: serving)
        try:
            await story(trials)
        finally:
            await trials.drop_spare()
        assert trials.memory_bytes() == 0

    asyncio.run(whole())


def test_a_process_tries_one_version_after_the_other(tmp_path: Path) -> None:
    """As long as all pass."""

    async def story(trials: Trials) -> None:
        for model in ("a", "b", "c"):
            assert isinstance(await trials.run(load(model)), Passed)
        assert len(processes(tmp_path)) == 1

    play(tmp_path, story)


@pytest.mark.parametrize(("model", "verdict"), [("kills-trial", Died), ("bad", Refused)])
def test_a_bad_verdict_comes_from_a_process_of_its_own(tmp_path: Path, model: str, verdict: type[Verdict]) -> None:
    """What came before may have left something behind: so it is tried again where nothing did."""

    async def story(trials: Trials) -> None:
        await trials.run(load("a"))
        assert isinstance(await trials.run(load(model)), verdict)
        assert len(processes(tmp_path)) == 2
        assert isinstance(await trials.run(load("b")), Passed)
        assert len(processes(tmp_path)) == 3

    play(tmp_path, story)


def test_a_suspect_is_tried_alone(tmp_path: Path) -> None:
    """Neither after another nor before one."""

    async def story(trials: Trials) -> None:
        await trials.run(load("a"))
        assert isinstance(await trials.run(load("b"), alone=True), Passed)
        await trials.run(load("c"))
        assert len(processes(tmp_path)) == 3

    play(tmp_path, story)


def test_a_trial_that_is_ended_is_not_tried_again(tmp_path: Path) -> None:
    """Memory ran out, say: the reason is the supervisor's own."""

    async def story(trials: Trials) -> None:
        await trials.run(load("a"))
        running = asyncio.create_task(trials.run(load("hangs")))
        await asyncio.sleep(0.1)
        assert trials.end("memory ran out")
        assert await running == Refused("memory ran out", final=False)
        assert len(processes(tmp_path)) == 1

    play(tmp_path, story)


def test_an_idle_process_goes_first_when_memory_is_full(tmp_path: Path) -> None:
    """Before any worker has to."""

    async def story(trials: Trials) -> None:
        assert not trials.end("memory ran out")
        await trials.run(load("a"))
        assert trials.memory_bytes() > 0
        assert trials.end("memory ran out")
        assert isinstance(await trials.run(load("b")), Passed)
        assert len(processes(tmp_path)) == 2

    play(tmp_path, story)


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel does not schedule by session (sched_autogroup)")
@pytest.mark.parametrize("serving", [False, True])
def test_a_trial_gives_way_to_traffic(tmp_path: Path, serving: bool) -> None:
    """Its whole session, since a nice value counts only inside one; while nothing is served yet it need not."""

    async def story(trials: Trials) -> None:
        await trials.run(load("a"))
        assert nices(tmp_path) == [LEAST_NICE if serving else 0]

    play(tmp_path, story, serving)


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel does not schedule by session (sched_autogroup)")
def test_a_trial_that_takes_long_gets_more_of_the_processor(tmp_path: Path) -> None:
    """Where the traffic leaves nothing, it must come to a verdict all the same."""

    async def story(trials: Trials) -> None:
        running = asyncio.create_task(trials.run(load("hangs")))
        await until("it to be raised", lambda: nices(tmp_path) == [SOME_NICE])
        trials.end("it has told enough")
        await running

    play(tmp_path, story, serving=True, times=dataclasses.replace(PATIENT, patience=0.5))
