"""The worker's threads for runs."""

from __future__ import annotations

import threading

import pytest

from fairlead_server.batching.threads import RunThreads, free_at


@pytest.mark.parametrize(
    ("ends", "threads", "free"),
    [([], 2, 10.0), ([12.0], 2, 10.0), ([12.0, 15.0], 2, 12.0), ([12.0, 15.0, 14.0], 2, 14.0), ([9.0, 9.5], 2, 10.0)],
)
def test_when_a_thread_is_free(ends: list[float], threads: int, free: float) -> None:
    """Now, or when enough of those before have ended; what should have ended already ends now."""
    assert free_at(ends, threads, 10.0) == free


def test_runs_start_in_order_on_so_many_threads() -> None:
    """Never more at once than there are, each told that it began; what was given is run after the end, too."""
    began: list[str] = []
    ran: list[int] = []
    gate = threading.Semaphore(0)
    ended = threading.Semaphore(0)

    def work(number: int) -> None:
        gate.acquire(timeout=10)
        ran.append(number)
        ended.release()

    with RunThreads(1, began=lambda: began.append(threading.current_thread().name)) as given:
        for number in range(4):
            given.submit(lambda number=number: work(number), number, 0.0, 1.0)  # type: ignore[misc]
    for _ in range(4):
        gate.release()
        assert ended.acquire(timeout=10)
    assert (ran, began) == ([0, 1, 2, 3], ["run-1"])


def test_it_knows_when_one_of_them_will_be_free() -> None:
    """From what was given and has not ended."""
    given = RunThreads(2)
    assert [given.submit(lambda: None, token, 10.0, 1.0) for token in range(3)] == [11.0, 11.0, 12.0]
    assert given.free_at(10.5) == 11.0
    given.ended(0)
    given.ended(1)
    assert given.free_at(10.5) == 10.5
    given.close()
    with pytest.raises(RuntimeError):
        given.submit(lambda: None, 9, 10.0, 1.0)
