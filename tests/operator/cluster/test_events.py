"""Kubernetes events: each step once, and never too many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from fairlead_operator.cluster import events
from fairlead_operator.cluster.events import EACH, EACH_S, Allowance, Note, Recorder
from fairlead_operator.cluster.objects import known
from fairlead_operator.cluster.testing import FakeApi

ONE = known(
    {
        "apiVersion": "fairlead.dev/v1alpha1",
        "kind": "ServedModel",
        "metadata": {"name": "churn", "namespace": "ns", "uid": "u", "resourceVersion": "7"},
        "spec": {},
    },
    "champion",
)


def told(story: Callable[[Recorder], None], api: FakeApi | None = None) -> tuple[Recorder, list[dict[str, Any]]]:
    api = api or FakeApi()

    async def main() -> Recorder:
        recorder = Recorder(api, "operator-1", lambda: True)
        task = asyncio.create_task(recorder.run())
        story(recorder)
        for _ in range(500):
            await asyncio.sleep(0.01)
            if recorder._queue.empty():
                break
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return recorder

    return asyncio.run(main()), list(api.objects.values())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PER_SECOND", 1e4)


def test_a_step_is_an_event() -> None:
    """With what kubectl describe shows."""
    _, found = told(lambda recorder: recorder.note(ONE, Note("Switched", "version 2: it is ready")))
    (event,) = found
    assert (event["reason"], event["type"], event["message"]) == ("Switched", "Normal", "version 2: it is ready")
    assert event["involvedObject"]["uid"] == "u"
    assert event["metadata"]["name"].startswith("churn.")


def test_the_same_is_counted_and_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most once a minute."""

    def story(recorder: Recorder) -> None:
        for _ in range(10):
            recorder.note(ONE, Note("Refused", "it is broken", warning=True))

    recorder, found = told(story)
    assert (recorder.written, len(found), found[0]["count"]) == (1, 1, 1)
    monkeypatch.setattr(events, "AGAIN_S", 0.0)
    recorder, found = told(story)
    assert (len(found), found[0]["count"]) == (1, 10)


def test_an_object_that_changes_for_ever_is_bounded() -> None:
    """A burst, then one a minute; the others are counted as dropped."""

    def story(recorder: Recorder) -> None:
        for n in range(100):
            recorder.note(ONE, Note("Loading", f"attempt {n}"))

    recorder, found = told(story)
    assert len(found) == EACH
    assert recorder.dropped == 100 - EACH


def test_the_allowance_comes_back_with_time() -> None:
    """One a minute, and never more than the burst."""
    now = [0.0]
    allowance = Allowance(lambda: now[0])
    assert [allowance.take("u") for _ in range(EACH + 1)] == [True] * EACH + [False]
    now[0] = EACH_S
    assert [allowance.take("u"), allowance.take("u")] == [True, False]
    now[0] = 1e6
    assert sum(allowance.take("u") for _ in range(2 * EACH)) == EACH
