"""The batcher on a real loop with a fake session: who runs with whom, when, and what becomes of failures."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import numpy as np
import pytest

from fairlead_server.batching.batcher import Batcher
from fairlead_server.batching.budget import TurnBudget
from fairlead_server.batching.threads import RunThreads
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.profile import Profile
from fairlead_server.models.settings import VersionSettings
from fairlead_server.models.signature import Signature, TensorSpec
from fairlead_server.testing import FakeSession


def sizes(session: FakeSession) -> list[int]:
    return [len(run) for run in session.runs]


def kinds(results: list[Any]) -> list[Any]:
    return [result.kind if isinstance(result, ServingError) else "answer" for result in results]


def test_what_one_iteration_brings_runs_together(make: Any, x: Any, table: Any) -> None:
    """Three requests of one loop iteration are one run, and each gets its own rows as views of one output."""

    async def story() -> None:
        session = FakeSession()
        async with make(session, table=table) as batcher:
            answers = await asyncio.gather(*(batcher.submit(x(n, n), n) for n in (1, 2, 3)))
        assert sizes(session) == [6]
        for n, answer in zip((1, 2, 3), answers, strict=True):
            np.testing.assert_array_equal(answer.outputs["y"], x(n, n)["x"] * 2)
            assert answer.rows == 6
        assert all(answer.outputs["y"].base is answers[0].outputs["y"].base for answer in answers)

    asyncio.run(story())


def test_a_request_alone_is_passed_as_it_is(make: Any, x: Any, table: Any) -> None:
    """No copy on the way in, and the session's own array on the way out."""

    async def story() -> None:
        made: list[np.ndarray] = []
        session = FakeSession(answer=lambda x: made.append(x * 2) or made[-1])
        inputs = x(1, 3)
        async with make(session, table=table) as batcher:
            answer = await batcher.submit(inputs, 3)
        assert session.runs[0] is inputs["x"]
        assert answer.outputs["y"] is made[0]

    asyncio.run(story())


def test_an_idle_instance_waits_for_nobody_and_a_busy_one_gathers(make: Any, x: Any) -> None:
    """The first request starts at once; those that come while it runs are the next batch."""

    async def story() -> None:
        session = FakeSession(delay_s=0.05)
        async with make(session) as batcher:
            first = batcher.submit(x(0), 1)
            await asyncio.sleep(0.01)
            later = [batcher.submit(x(n), 1) for n in (1, 2, 3)]
            await asyncio.gather(first, *later)
        assert sizes(session) == [1, 3]

    asyncio.run(story())


def test_batches_keep_to_the_limit_in_order(make: Any, x: Any) -> None:
    """First in, first out: a request that does not fit waits at the head and is not overtaken."""

    async def story() -> None:
        session = FakeSession()
        async with make(session, max_batch_size=4) as batcher:
            await asyncio.gather(*(batcher.submit(x(at, n), n) for at, n in enumerate((3, 2, 1, 1, 1))))
        assert sizes(session) == [3, 4, 1]
        assert np.concatenate(session.runs)[:, 0].tolist() == [0, 0, 0, 1, 1, 2, 3, 4]

    asyncio.run(story())


def test_instances_run_side_by_side(make: Any, x: Any) -> None:
    """Two instances are two runs at once, and never three."""

    async def story() -> None:
        running: list[int] = []
        most = 0

        def note(x: np.ndarray) -> np.ndarray:
            nonlocal most
            running.append(1)
            most = max(most, len(running))
            time.sleep(0.03)
            running.pop()
            return x

        async with make(FakeSession(answer=note), instances=2, batching=False) as batcher:
            await asyncio.gather(*(batcher.submit(x(n), 1) for n in range(6)))
        assert most == 2

    asyncio.run(story())


def test_a_delay_fills_batches_and_ends(make: Any, x: Any) -> None:
    """With a delay set, requests of several iterations share a run; a request alone waits no longer than it."""

    async def story() -> None:
        session = FakeSession()
        async with make(session, max_queue_delay_us=60_000, max_batch_size=3) as batcher:
            futures = []
            for n in range(3):
                futures.append(batcher.submit(x(n), 1))
                await asyncio.sleep(0.005)
            begin = time.perf_counter()
            await asyncio.gather(*futures)
            await batcher.submit(x(9), 1)
            assert 0.05 < time.perf_counter() - begin < 2
        assert sizes(session) == [3, 1]

    asyncio.run(story())


def test_large_requests_run_in_chunks_in_their_place(make: Any, x: Any, table: Any) -> None:
    """More rows than the limit are several runs and one answer; the last chunk shares with the next request."""

    async def story() -> None:
        session = FakeSession()
        async with make(session, table=table, max_batch_size=4) as batcher:
            whole, small = await asyncio.gather(batcher.submit(x(1, 10), 10), batcher.submit(x(2, 2), 2))
            counts = batcher.counts
        assert sizes(session) == [4, 4, 4]
        np.testing.assert_array_equal(whole.outputs["y"], x(1, 10)["x"] * 2)
        np.testing.assert_array_equal(small.outputs["y"], x(2, 2)["x"] * 2)
        assert (counts.requests, counts.rows, counts.runs, counts.queued_rows) == (2, 12, 3, 0)

    asyncio.run(story())


def test_a_chunk_that_fails_fails_its_whole_and_nobody_else(make: Any, x: Any, table: Any) -> None:
    """One error for the large request; its neighbour is answered."""

    async def story() -> None:
        inputs = x(1, 10)
        inputs["x"][9, 0] = FakeSession.POISON
        async with make(FakeSession(), table=table, max_batch_size=4) as batcher:
            results = await asyncio.gather(
                batcher.submit(inputs, 10), batcher.submit(x(2, 2), 2), return_exceptions=True
            )
            assert kinds(results) == [Kind.REJECTED, "answer"]
            assert batcher.counts.failures == {"rejected": 1}

    asyncio.run(story())


def test_other_shapes_never_share_a_run(make: Any) -> None:
    """Inner sizes differ: a run for each, the oldest first, batched among themselves."""

    async def story() -> None:
        free = Signature((TensorSpec("x", "FP32", (-1, -1), ("N", "T")),), (TensorSpec("y", "FP32", (-1, -1)),))
        session = FakeSession(signature=free)
        async with make(session) as batcher:
            shapes = [(1, 3), (1, 5), (2, 3), (1, 7), (1, 5)]
            answers = await asyncio.gather(
                *(batcher.submit({"x": np.full(shape, at, np.float32)}, None) for at, shape in enumerate(shapes))
            )
        assert [run.shape for run in session.runs] == [(3, 3), (2, 5), (1, 7)]
        assert [answer.outputs["y"].shape for answer in answers] == shapes

    asyncio.run(story())


def test_only_the_outputs_asked_for(make: Any, x: Any) -> None:
    """A batch runs for what any of its requests wants, and each is given what it asked."""

    async def story() -> None:
        asked: list[Any] = []
        outputs = tuple(TensorSpec(name, "FP32", (-1, 2), ("rows", "")) for name in "abc")
        session = FakeSession(signature=Signature(FakeSession.SIGNATURE.inputs, outputs))
        run = session.run
        session.run = lambda inputs, names: asked.append(tuple(names)) or run(inputs, names)  # type: ignore[method-assign]
        async with make(session) as batcher:
            answers = await asyncio.gather(*(batcher.submit(x(1), 1, names) for names in (("c",), ("a",), ("c", "a"))))
            everything = await batcher.submit(x(1), 1)
        assert asked == [("a", "c"), ("a", "b", "c")]
        assert [list(answer.outputs) for answer in (*answers, everything)] == [
            ["c"],
            ["a"],
            ["c", "a"],
            ["a", "b", "c"],
        ]

    asyncio.run(story())


def test_a_failed_batch_runs_again_singly_once(make: Any, x: Any, table: Any) -> None:
    """Only the request that cannot run is told so (rule 3), in order, and no run is tried a third time."""

    async def story() -> None:
        session = FakeSession()
        async with make(session, table=table) as batcher:
            firsts = [1, 2, FakeSession.POISON, 4]
            results = await asyncio.gather(*(batcher.submit(x(n), 1) for n in firsts), return_exceptions=True)
            assert kinds(results) == ["answer", "answer", Kind.REJECTED, "answer"]
            assert batcher.batching
            counts = batcher.counts
        assert sizes(session) == [4, 1, 1, 1, 1]
        assert [run[0, 0] for run in session.runs[1:]] == firsts
        assert (counts.requests, counts.rows, counts.runs, counts.failures) == (3, 3, 3, {"rejected": 1})

    asyncio.run(story())


def test_a_fault_that_no_runtime_names_is_internal(make: Any, x: Any, table: Any) -> None:
    """Whatever a session raises, the caller has an answer and the queue lives."""

    async def story() -> None:
        def broken(x: np.ndarray) -> np.ndarray:
            raise {0: KeyError, 1: MemoryError}.get(int(x[0, 0]), ValueError)("secret /path")

        async with make(FakeSession(answer=broken), table=table) as batcher:
            results = await asyncio.gather(*(batcher.submit(x(n), 1) for n in range(3)), return_exceptions=True)
            assert kinds(results) == [Kind.INTERNAL, Kind.OVERLOADED, Kind.INTERNAL]
            assert not any("secret" in str(result) for result in results)

    asyncio.run(story())


def test_wrong_rows_turn_batching_off(make: Any, x: Any, table: Any) -> None:
    """Rows are never assigned by guess: the batch runs singly, and from then on everything does."""

    async def story() -> None:
        session = FakeSession(answer=lambda x: x.sum(axis=0, keepdims=True))
        async with make(session, table=table) as batcher:
            answers = await asyncio.gather(*(batcher.submit(x(n, 2), 2) for n in (1, 2)))
            assert not batcher.batching
            assert "output 'y' gave 1 rows for 4" in batcher.batching_reason
            assert [answer.outputs["y"][0, 0] for answer in answers] == [2, 4]
            await asyncio.gather(*(batcher.submit(x(n), 1) for n in (1, 2)))
        assert sizes(session) == [4, 2, 2, 1, 1]

    asyncio.run(story())


def test_wrong_rows_of_a_chunk_run_the_whole(make: Any, x: Any, table: Any) -> None:
    """What was cut cannot be put together: the request runs as it came, once batching is off."""

    async def story() -> None:
        session = FakeSession(answer=lambda x: x.sum(axis=0, keepdims=True))
        async with make(session, table=table, max_batch_size=4) as batcher:
            answer = await batcher.submit(x(1, 10), 10)
            assert answer.outputs["y"].tolist() == [[10, 45]]
            assert not batcher.batching
        assert sizes(session)[-1] == 10

    asyncio.run(story())


def test_chunks_whose_answers_do_not_fit_together(make: Any, x: Any, table: Any) -> None:
    """Inner sizes that depend on the rows beside: batching goes off, and the whole runs."""

    async def story() -> None:
        session = FakeSession(answer=lambda x: np.ones((len(x), len(x)), np.float32))
        async with make(session, table=table, max_batch_size=4) as batcher:
            answer = await batcher.submit(x(1, 6), 6)
            assert answer.outputs["y"].shape == (6, 6)
            assert "different shapes" in batcher.batching_reason

    asyncio.run(story())


def test_with_batching_off_every_request_runs_alone(make: Any, x: Any, table: Any) -> None:
    """Of any size, in order, and the reason is the profile's."""

    async def story() -> None:
        session = FakeSession()
        async with make(session, table=table, batching=False, max_batch_size=4) as batcher:
            assert batcher.batching_reason == "rows mix"
            await asyncio.gather(*(batcher.submit(x(n, n), None) for n in (1, 9, 2)))
            assert batcher.counts.rows == 12
        assert sizes(session) == [1, 9, 2]

    asyncio.run(story())


def test_a_cancelled_caller_costs_no_run_and_harms_nobody(make: Any, x: Any, table: Any) -> None:
    """Before the run it is left out; after its start it is ignored."""

    async def story() -> None:
        session = FakeSession(delay_s=0.03)
        async with make(session, table=table) as batcher:
            futures = [batcher.submit(x(n), 1) for n in range(4)]
            futures[1].cancel()
            await asyncio.sleep(0.01)
            futures[2].cancel()
            results = await asyncio.gather(*futures, return_exceptions=True)
            assert [type(r).__name__ for r in results][:2] == ["BatchAnswer", "CancelledError"]
            assert results[3].outputs["y"][0, 0] == 6
            await batcher.submit(x(5), 1)
            assert batcher.counts.failures["cancelled"] >= 1
        assert session.runs[0][:, 0].tolist() == [0, 2, 3]

    asyncio.run(story())


def test_a_cancelled_large_request_stops(make: Any, x: Any) -> None:
    """Its chunks that have not begun never do."""

    async def story() -> None:
        session = FakeSession(delay_s=0.03)
        async with make(session, max_batch_size=2) as batcher:
            whole = batcher.submit(x(1, 20), 20)
            await asyncio.sleep(0.01)
            whole.cancel()
            await batcher.submit(x(2), 1)
            assert batcher.counts.failures == {"cancelled": 1}
        assert sizes(session) == [2, 1]

    asyncio.run(story())


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_a_deadline_that_has_passed_is_refused_at_once(make: Any, x: Any, seconds: float) -> None:
    """No place in the queue, no run."""

    async def story() -> None:
        session = FakeSession()
        async with make(session) as batcher:
            with pytest.raises(ServingError) as caught:
                batcher.submit(x(1), 1, deadline=time.monotonic() + seconds)
            assert caught.value.kind is Kind.DEADLINE
            assert batcher.counts.failures == {"deadline": 1}
        assert session.runs == []

    asyncio.run(story())


@pytest.mark.parametrize("by_slo", [False, True])
def test_a_deadline_that_passes_in_the_queue_is_told_at_once(make: Any, x: Any, by_slo: bool) -> None:
    """While the instance is still busy, and before it costs a run, where nobody knew that it would take so long. The
    version's SLO is a deadline too."""

    async def story() -> None:
        session = FakeSession(delay_s=1.0)
        settings = {"slo_ms": 50} if by_slo else {}
        async with make(session, table={}, **settings) as batcher:
            first = batcher.submit(x(0), 1, deadline=time.monotonic() + 5)
            await asyncio.sleep(0.01)
            begin = time.perf_counter()
            late = batcher.submit(x(1), 1, deadline=None if by_slo else time.monotonic() + 0.05)
            with pytest.raises(ServingError, match="waited") as caught:
                await late
            assert caught.value.kind is Kind.DEADLINE
            assert time.perf_counter() - begin < 0.9
            await first
        assert sizes(session) == [1]

    asyncio.run(story())


def test_a_full_queue_refuses_and_forgets_those_who_left(make: Any, x: Any) -> None:
    """Beyond the bound requests are told to come again; a cancelled one's place is free at once."""

    async def story() -> None:
        async with make(FakeSession(delay_s=0.1), max_queue_rows=4) as batcher:
            first = batcher.submit(x(0), 1)
            await asyncio.sleep(0.01)
            waiting = [batcher.submit(x(n, 2), 2) for n in (1, 2)]
            assert batcher.counts.queued_rows == 4
            with pytest.raises(ServingError, match="queue is full") as caught:
                batcher.submit(x(3), 1)
            assert caught.value.kind is Kind.OVERLOADED
            assert caught.value.retry_after is not None
            waiting[0].cancel()
            await asyncio.gather(first, waiting[1], batcher.submit(x(4, 2), 2))
            assert batcher.counts.failures == {"overloaded": 1, "cancelled": 1}

    asyncio.run(story())


def test_a_request_larger_than_the_queue_is_served_when_nothing_waits(make: Any, x: Any) -> None:
    """Else it could never be."""

    async def story() -> None:
        async with make(FakeSession(), max_queue_rows=4, max_batch_size=4) as batcher:
            whole = batcher.submit(x(1, 10), 10)
            with pytest.raises(ServingError, match="queue is full"):
                batcher.submit(x(2), 1)
            assert len((await whole).outputs["y"]) == 10

    asyncio.run(story())


def test_requests_without_rows_have_an_answer_too(make: Any, x: Any, table: Any) -> None:
    """Alone or beside others, and they count in the queue."""

    async def story() -> None:
        async with make(FakeSession(), table=table) as batcher:
            futures = [batcher.submit(x(1, n), n) for n in (0, 2, 0)]
            assert batcher.counts.queued_rows == 4
            answers = await asyncio.gather(*futures)
            assert [answer.outputs["y"].shape for answer in answers] == [(0, 2), (2, 2), (0, 2)]
            assert (await batcher.submit(x(1, 0), 0)).outputs["y"].shape == (0, 2)

    asyncio.run(story())


def test_inputs_that_disagree_on_rows_are_refused(make: Any) -> None:
    """At once, by name."""

    async def story() -> None:
        async with make(FakeSession()) as batcher:
            with pytest.raises(ServingError, match="disagree") as caught:
                batcher.submit({"x": np.zeros((2, 2)), "z": np.zeros((3, 2))}, None)
            assert caught.value.kind is Kind.INVALID

    asyncio.run(story())


def test_short_runs_stay_on_the_loop_and_long_ones_leave_it(make: Any, x: Any) -> None:
    """By warm-up's table; what the loop has no time left for leaves it too."""

    async def story() -> None:
        threads: list[bool] = []

        def note(x: np.ndarray) -> np.ndarray:
            threads.append(threading.current_thread() is threading.main_thread())
            return x

        async with make(FakeSession(answer=note), table={1: 10.0, 2: 500.0}) as batcher:
            await batcher.submit(x(1), 1)
            await batcher.submit(x(1, 2), 2)
            await batcher.submit(x(1, 5), 5)
        async with make(FakeSession(answer=note), table={1: 10.0}, turn_us=5.0) as batcher:
            await batcher.submit(x(1), 1)
        assert threads == [True, False, False, False]

    asyncio.run(story())


def test_a_long_run_leaves_the_loop_free(make: Any, x: Any) -> None:
    """The loop goes round while a thread runs."""

    async def story() -> None:
        async with make(FakeSession(delay_s=0.1)) as batcher:
            future = batcher.submit(x(1), 1)
            rounds = 0
            while not future.done():
                await asyncio.sleep(0.005)
                rounds += 1
        assert rounds > 5

    asyncio.run(story())


def test_closing_finishes_what_is_there_and_refuses_the_rest(make: Any, x: Any) -> None:
    """Requests that were accepted are answered, without waiting for a delay; later ones are told so."""

    async def story() -> None:
        session = FakeSession(delay_s=0.02)
        async with make(session, max_batch_size=2, max_queue_delay_us=10_000_000) as batcher:
            futures = [batcher.submit(x(n), 1) for n in range(5)]
            assert await batcher.close(5.0)
            assert all(future.done() and future.exception() is None for future in futures)
            with pytest.raises(ServingError) as caught:
                batcher.submit(x(1), 1)
            assert caught.value.kind is Kind.NOT_READY

    asyncio.run(story())


def test_closing_gives_up_after_its_grace(make: Any, x: Any) -> None:
    """What still waits is told; False says that the session is still in use."""

    async def story() -> None:
        async with make(FakeSession(delay_s=0.3)) as batcher:
            running = batcher.submit(x(1), 1)
            await asyncio.sleep(0.01)
            waiting = batcher.submit(x(2), 1)
            assert not await batcher.close(0.05)
            with pytest.raises(ServingError) as caught:
                await waiting
            assert caught.value.kind is Kind.LEAVING
            await running

    asyncio.run(story())


def test_threads_that_are_gone_are_an_answer(x: Any) -> None:
    """The worker is ending: callers are told to go elsewhere."""

    async def story() -> None:
        runners = RunThreads(1)
        runners.close()
        session = FakeSession()
        batcher = Batcher(
            session.run,
            session.signature,
            VersionSettings(),
            Profile(batching=True),
            turn=TurnBudget(),
            threads=runners,
        )
        with pytest.raises(ServingError) as caught:
            await batcher.submit(x(1), 1)
        assert caught.value.kind is Kind.LEAVING
        assert await batcher.close(1.0)

    asyncio.run(story())


def test_a_run_is_marked_while_it_lasts(x: Any, table: Any) -> None:
    """So that a death can be blamed on it; a run that fails is unmarked as well."""

    async def story() -> None:
        seen: list[str] = []

        class Mark:
            def enter(self, in_place: bool = False) -> int:
                seen.append(f"enter {in_place}")
                return 7

            def leave(self, at: int) -> None:
                seen.append(f"leave {at}")

        session = FakeSession(answer=lambda x: seen.append("run") or x)
        with RunThreads(1) as runners:
            batcher = Batcher(
                session.run, session.signature, VersionSettings(), Profile(latency_us=table, batching=True),
                turn=TurnBudget(), threads=runners, mark=Mark(),
            )  # fmt: skip
            await batcher.submit(x(1), 1)
            with pytest.raises(ServingError):
                await batcher.submit(x(FakeSession.POISON), 1)
            assert await batcher.close(1.0)
        in_place = table[1] < 200
        assert seen == [f"enter {in_place}", "run", "leave 7", f"enter {in_place}", "leave 7"]

    asyncio.run(story())


def test_a_flood_on_one_version_does_not_starve_another(x: Any) -> None:
    """Two versions share one thread: the quiet one waits for a run or two of the other's, not for its queue."""

    async def story() -> None:
        sessions = [FakeSession(delay_s=0.01), FakeSession(delay_s=0.01)]
        with RunThreads(1) as runners:
            busy, quiet = (
                Batcher(
                    session.run, session.signature, VersionSettings(max_batch_size=1), Profile(),
                    turn=TurnBudget(), threads=runners,
                )
                for session in sessions
            )  # fmt: skip
            flood = [busy.submit(x(n), 1) for n in range(50)]
            await asyncio.sleep(0.02)
            begin = time.perf_counter()
            await quiet.submit(x(1), 1)
            assert time.perf_counter() - begin < 0.4
            await asyncio.gather(*flood)
            assert await busy.close(1.0)
            assert await quiet.close(1.0)

    asyncio.run(story())


def test_counts(make: Any, x: Any, table: Any) -> None:
    """Two requests of three rows in one run."""

    async def story() -> None:
        async with make(FakeSession(delay_s=0.01), table=table) as batcher:
            answers = await asyncio.gather(batcher.submit(x(1, 2), 2), batcher.submit(x(2), 1))
            counts = batcher.counts
        assert (counts.requests, counts.rows, counts.runs, counts.failures) == (2, 3, 1, {})
        assert counts.infer_us >= 2 * 10_000
        assert counts.run_us == pytest.approx(counts.infer_us / 2, abs=2)
        assert counts.later_us == 0
        assert counts.request_us >= counts.infer_us + counts.queue_us
        assert counts.batch_rows.counts == [0, 0, 1, *[0] * 9]
        assert sum(counts.latency.counts) == 2
        assert all(answer.compute_us >= 10_000 for answer in answers)

    asyncio.run(story())


def test_the_waiting_of_a_large_requests_later_parts_is_known(make: Any, x: Any, table: Any) -> None:
    """Four parts one after another: the last waits for three runs, and the whole only for what was there before it."""

    async def story() -> None:
        async with make(FakeSession(delay_s=0.02), table=table, max_batch_size=2) as batcher:
            await batcher.submit(x(1, 8), 8)
            counts = batcher.counts
        assert (counts.requests, counts.runs) == (1, 4)
        assert counts.later_us >= (1 + 2 + 3) * 20_000 * 0.9
        assert 0 <= counts.queue_us - counts.later_us < 20_000

    asyncio.run(story())
