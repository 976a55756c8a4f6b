"""How far a run is, on a clock that the test moves."""

from __future__ import annotations

from benchmark.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_after_the_first_round_the_time_left_is_told() -> None:
    lines: list[str] = []
    clock = Clock()
    progress = Progress(3, lines.append, clock)
    progress.say("begins")
    progress.next_round(0)
    clock.now += 90
    progress.say("a")
    clock.now += 30
    progress.next_round(240)
    clock.now += 60
    progress.say("b")
    assert lines == ["0:00 begins", "1:30 [round 1 of 3] a", "3:00 [round 2 of 3, 3:00 left] b"]


def test_the_end_of_a_log_is_kept_by_its_last_line() -> None:
    lines: list[str] = []
    progress = Progress(2, lines.append)
    for port in (1, 2):
        progress.fail(f"kserve ended with status 1:\nTraceback\nOSError: port {port} is taken\n")
    assert progress.failures == ["kserve ended with status 1: OSError: port 1 is taken"]


def test_what_fails_in_every_round_is_one_failure() -> None:
    lines: list[str] = []
    progress = Progress(2, lines.append)
    for _ in range(2):
        progress.next_round(0)
        progress.fail("kserve: ended with status 1")
    assert progress.failures == ["kserve: ended with status 1"]
    assert [line.endswith("NOT MEASURED: kserve: ended with status 1") for line in lines] == [True, True]
