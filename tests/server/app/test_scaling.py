"""Replicas by what they measure: up in time, down in no hurry, and never on silence."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from fairlead_server.app.scaling import BUSY, QUEUE, Reading, Sample, Scaling, Span, Targets, decide

TARGETS = Targets()
POD_S = 60.0


def steady(busy: float, replicas: int, minutes: float = 10.0) -> int:
    """Replicas wanted after so long a time of the same busy share in each of them."""
    samples: list[Sample] = []
    wanted = replicas
    for second in range(0, int(minutes * 60), 5):
        wanted, samples = decide([Reading(busy)] * replicas, replicas, replicas, samples, float(second), TARGETS)
    return wanted


@pytest.mark.parametrize(
    ("busy", "replicas", "wanted"), [(0.6, 4, 4), (0.61, 4, 5), (0.3, 4, 2), (0.0, 4, 1), (1.0, 3, 5), (0.45, 4, 3)]
)
def test_the_busy_share_decides(busy: float, replicas: int, wanted: int) -> None:
    """So many that each is busy for 0.6 of its capacity."""
    assert steady(busy, replicas) == wanted


def test_up_at_once() -> None:
    """One reading is enough."""
    assert decide([Reading(1.0)] * 3, 3, 3, [], 0.0, TARGETS)[0] == 5


@pytest.mark.parametrize("reading", [Reading(0.2, queue=0.5), Reading(0.2, refused=0.02)])
def test_waiting_and_refusals_ask_for_more(reading: Reading) -> None:
    """A replica that is not busy by its own measure, and yet lets requests wait: half as many again."""
    assert decide([reading] + [Reading(0.2)] * 3, 4, 4, [], 0.0, TARGETS)[0] == 6


def test_down_only_after_minutes() -> None:
    """What was needed at most in the last five minutes is kept."""
    samples: list[Sample] = []
    _, samples = decide([Reading(0.6)] * 4, 4, 4, samples, 0.0, TARGETS)
    wanted = {}
    for second in range(5, 400, 5):
        wanted[second], samples = decide([Reading(0.1)] * 4, 4, 4, samples, float(second), TARGETS)
    assert {wanted[second] for second in range(5, 300, 5)} == {4}
    assert wanted[395] == 1


def test_silence_ends_nobody() -> None:
    """While a replica says nothing the pool does not shrink, and without any reading nothing changes."""
    samples: list[Sample] = [(second * 5.0, 0.2, 1) for second in range(100)]
    assert decide([Reading(0.1)] * 2, 4, 3, samples, 500.0, TARGETS)[0] == 4
    assert decide([], 4, 4, samples, 500.0, TARGETS) == (4, samples)


def test_pods_without_room_are_given_up_when_the_load_goes() -> None:
    """Eight were asked for and five are there: the other three are not waited for, but for the minutes of any crest."""
    samples: list[Sample] = []
    wanted, samples = decide([Reading(0.9)] * 5, 8, 5, samples, 0.0, TARGETS)
    history = []
    for second in range(5, 400, 5):
        wanted, samples = decide([Reading(0.05)] * 5, wanted, 5, samples, float(second), TARGETS)
        history.append(wanted)
    assert history[:59] == [8] * 59
    assert history[-1] == 1


def test_a_new_controller_ends_nobody() -> None:
    """Serve's memory is lost with its head: until five minutes have been seen again the pool keeps its size."""
    samples: list[Sample] = []
    wanted = []
    for second in range(0, 400, 5):
        found, samples = decide([Reading(0.0)] * 4, 4, 4, samples, float(second), TARGETS)
        wanted.append(found)
    assert wanted[:60] == [4] * 60
    assert wanted[-1] == 1


def test_a_clock_put_back_harms_nothing() -> None:
    """Samples of the future are forgotten."""
    wanted, samples = decide([Reading(0.3)] * 2, 2, 2, [(1000.0, 50.0, 90)], 10.0, TARGETS)
    assert (wanted, samples) == (2, [(10.0, 0.6, 1)])


def pool(load: Any, minutes: float, targets: Targets = TARGETS) -> tuple[float, list[int]]:
    """(the worst load by capacity, replicas over time) of a pool whose pods take a minute; `load` in replicas."""
    samples: list[Sample] = []
    ready, coming = 2, []  # type: ignore[var-annotated]
    worst, history = 0.0, []
    for second in range(0, int(minutes * 60), 5):
        ready += sum(1 for at in coming if at <= second)
        coming = [at for at in coming if at > second]
        share = load(second) / ready
        worst = max(worst, share)
        reading = Reading(min(1.0, share), refused=max(0.0, 1 - 1 / share) if share else 0.0)
        wanted, samples = decide([reading] * ready, ready + len(coming), ready, samples, float(second), targets)
        if wanted > ready + len(coming):
            coming += [second + POD_S] * (wanted - ready - len(coming))
        elif wanted < ready:
            ready, coming = wanted, []
        history.append(ready)
    return worst, history


def test_a_morning_is_followed_without_overload() -> None:
    """Load that grows from one to eight replicas' worth within twenty minutes is never above capacity."""
    worst, history = pool(lambda second: 1 + 7 * min(1.0, second / 1200), 40)
    assert worst < 1.0
    assert history[-1] <= math.ceil(8 / TARGETS.busy) + 1


def test_the_trend_is_what_does_it() -> None:
    """Without looking ahead, and with no headroom, the same morning is above capacity."""
    worst, _ = pool(lambda second: 1 + 7 * min(1.0, second / 600), 20, Targets(busy=0.95, ahead_s=0.0))
    ahead, _ = pool(lambda second: 1 + 7 * min(1.0, second / 600), 20, Targets(busy=0.95))
    assert ahead < worst


def test_a_wave_makes_no_flutter() -> None:
    """Load that swings every two minutes keeps the replicas that its crest needs."""
    _, history = pool(lambda second: 3 + 2 * math.sin(second / 120 * 2 * math.pi), 40)
    settled = history[len(history) // 2 :]
    assert max(settled) - min(settled) <= 1


def test_an_outburst_is_answered_and_forgotten() -> None:
    """Five times the load for five minutes: more replicas come, and go again."""
    _, history = pool(lambda second: 5.0 if 300 <= second < 600 else 1.0, 30)
    assert max(history) >= 7
    assert history[-1] == 2


def test_bounds_and_memory_are_serves() -> None:
    """Serve's least and most number hold, and what it keeps for the policy comes back to it."""
    policy = Scaling(busy=0.5)

    def ask(state: dict[str, Any], busy: float, now: float) -> tuple[int, dict[str, Any]]:
        metrics = {BUSY: {"a": busy, "b": busy}, QUEUE: {"a": 0.0}}
        return policy(
            SimpleNamespace(
                policy_state=state, aggregated_metrics=metrics, target_num_replicas=2, current_num_replicas=2,
                current_time=now, capacity_adjusted_min_replicas=2, capacity_adjusted_max_replicas=3,
            )
        )  # fmt: skip

    wanted, state = ask({}, 1.0, 0.0)
    assert wanted == 3
    wanted, state = ask(state, 0.0, 1000.0)
    assert (wanted, len(state["samples"])) == (2, 1)


def test_a_new_cluster_keeps_its_first_size_until_all_pods_have_come() -> None:
    """Nobody sends to it before, so that it is idle: the minutes begin when it is whole."""
    policy, state, target, history = Scaling(), {}, 3, {}  # type: ignore[var-annotated]
    for second in range(0, 1000, 5):
        running = 1 if second < 400 else target
        target, state = policy(
            SimpleNamespace(
                policy_state=state, aggregated_metrics={BUSY: dict.fromkeys(range(running), 0.01)},
                target_num_replicas=target, current_num_replicas=running, current_time=float(second),
                capacity_adjusted_min_replicas=1, capacity_adjusted_max_replicas=8,
            )
        )  # fmt: skip
        history[second] = target
    assert {history[second] for second in range(0, 695, 5)} == {3}
    assert history[705] == 1


@pytest.mark.parametrize("first", [1, 9])
def test_a_first_size_that_cannot_be_meant(first: int) -> None:
    """It is one of those that the pool may choose."""
    with pytest.raises(ValueError, match=f"first is {first}: give a number from least, 2, to most, 8"):
        Span(2, 8, first=first)


@pytest.mark.parametrize("wrong", [{"busy": 0.0}, {"busy": 1.5}, {"ahead_s": -1.0}])
def test_targets_that_cannot_be_meant(wrong: dict[str, float]) -> None:
    """They fail when the pool is deployed, not when it is loaded."""
    with pytest.raises(ValueError, match=r"should be|not negative"):
        Targets(**wrong)
