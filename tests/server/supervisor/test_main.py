"""The supervisor with scripted children: what a replica does when all goes well, and when it does not."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import time
from pathlib import Path

import pytest
from server.supervisor.replicas import QUICK, document, get, ready, replica, state, until, version

from fairlead_server.errors import Kind, ServingError
from fairlead_server.supervisor.main import Supervisor
from fairlead_server.supervisor.slots import Slots


def workers(supervisor: Supervisor, wanted: str = "accepting") -> list[str]:
    return [worker.id for worker in supervisor.status().workers if worker.state == wanted]


def trials(folder: Path) -> int:
    """How many trial processes were given a version."""
    return len(list(folder.glob("trial.*")))


def kept(folder: Path) -> object:
    """What is stored with the document."""
    record = Slots(folder).read()
    return json.loads(record.kept) if record is not None else None


def journal(folder: Path) -> str:
    path = folder / "journal"
    return path.read_text() if path.exists() else ""


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_catalog_becomes_a_loaded_and_routed_version(tmp_path: Path) -> None:
    """PUT is answered when the document is stored; the version is fetched, tried, loaded, routed and told."""

    async def play() -> None:
        async with replica(tmp_path) as supervisor:
            assert supervisor.not_ready() == "no catalog has come yet"
            assert await supervisor.put_catalog(document(1, {"a": {"1": "src"}}), False) == 1
            await ready(supervisor)
            held = await state(supervisor, "a", "1", "ready")
            status = supervisor.status()
            assert (status.generation, status.applied, status.ready) == (1, 1, True)
            assert status.models["a"].route == {"1": 1.0}
            assert status.models["a"].applied == 1
            assert held.digest.startswith("sha256:")
            assert held.profile is not None
            assert held.signature is not None
            assert held.workers.keys() == {"w1"}
            assert (await get(supervisor, "http")).text == "w1"

    asyncio.run(play())


def test_a_catalog_without_models_makes_a_ready_replica(tmp_path: Path) -> None:
    """A pool is there before its first model is."""

    async def play() -> None:
        async with replica(tmp_path) as supervisor:
            await supervisor.put_catalog(document(1, {}), False)
            await ready(supervisor)
            assert (supervisor.status().applied, supervisor.status().models) == (1, {})

    asyncio.run(play())


def test_a_route_moves_as_soon_as_it_is_put(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    """From a PUT to the new route in every worker, where the version is loaded already."""

    async def play() -> None:
        versions = {"a": {"1": "one", "2": "two"}}
        async with replica(tmp_path, workers=2) as supervisor:
            await supervisor.put_catalog(document(1, versions, a="1"), False)
            await ready(supervisor)
            await state(supervisor, "a", "2", "ready")
            times = []
            for generation in range(2, 12):
                start = time.monotonic()
                await supervisor.put_catalog(document(generation, versions, a=str(1 + generation % 2)), False)
                await until("the route", lambda want=generation: supervisor.status().models["a"].applied == want)
                times.append(time.monotonic() - start)
            record_property("switch_ms_worst_of_10", round(max(times) * 1e3, 1))

    asyncio.run(play())


def test_what_a_put_is_refused_for(tmp_path: Path) -> None:
    """Older, same generation with other bytes, another owner, broken: each says why; the same bytes are fine."""

    async def refused(supervisor: Supervisor, data: bytes, takeover: bool = False) -> ServingError:
        with pytest.raises(ServingError) as caught:
            await supervisor.put_catalog(data, takeover)
        return caught.value

    async def play() -> None:
        async with replica(tmp_path) as supervisor:
            first = document(5, {"a": {"1": "src"}})
            assert await supervisor.put_catalog(first, False) == 5
            assert await supervisor.put_catalog(first, False) == 5
            assert (await refused(supervisor, document(4, {}))).kind is Kind.CONFLICT
            assert "other bytes" in (await refused(supervisor, document(5, {}))).message
            assert "'me'" in (await refused(supervisor, document(6, {}, owner="you"))).message
            assert (await refused(supervisor, b"{")).kind is Kind.INVALID
            assert await supervisor.put_catalog(document(6, {}, owner="you"), True) == 6
            assert supervisor.status().owner == "you"

    asyncio.run(play())


def test_a_restart_begins_with_the_stored_catalog(tmp_path: Path) -> None:
    """The stored document, the proofs and the replica's name outlive the process; the boot does not."""

    async def play() -> None:
        data = document(3, {"a": {"1": "src"}})
        async with replica(tmp_path) as supervisor:
            await supervisor.put_catalog(data, False)
            await ready(supervisor)
            before = supervisor.status()
        async with replica(tmp_path) as supervisor:
            await ready(supervisor)
            after = supervisor.status()
            assert supervisor.catalog() == data
            assert (after.replica, after.generation) == (before.replica, 3)
            assert after.boot != before.boot
            assert trials(tmp_path) == 1

    asyncio.run(play())


def test_a_restart_begins_with_what_was_in_effect(tmp_path: Path) -> None:
    """A promotion that had come into effect is not taken back for the time that the restart takes to load."""

    async def play() -> None:
        versions = {"a": {"1": "one", "2": "two"}}
        async with replica(tmp_path) as supervisor:
            await supervisor.put_catalog(document(1, versions, a="1"), False)
            await ready(supervisor)
            await supervisor.put_catalog(document(2, versions, a="2"), False)
            await until("the new route", lambda: supervisor.status().models["a"].applied == 2)
            await until("it to be on disk", lambda: kept(tmp_path) == {})
        async with replica(tmp_path) as supervisor:
            routes = set()

            def accepting() -> bool:
                model = supervisor.status().models.get("a")
                routes.update(model.route if model is not None else ())
                return supervisor.status().ready

            await until("the replica to be ready", accepting)
            assert routes == {"2"}

    asyncio.run(play())


def test_a_killed_worker_is_replaced_at_once(tmp_path: Path) -> None:
    """Its successor takes the newest catalog; the totals of the dead one stay and its gauges go."""

    async def play() -> None:
        async with replica(tmp_path) as supervisor:
            await supervisor.put_catalog(document(1, {"a": {"1": "src"}}), False)
            await ready(supervisor)
            await until("counts", lambda: version(supervisor.status(), "a", "1").readings.requests == 7)
            os.kill(supervisor.status().workers[0].pid, signal.SIGKILL)
            await until("the successor", lambda: workers(supervisor) == ["w2"])
            await until("more counts", lambda: version(supervisor.status(), "a", "1").readings.requests == 14)
            page = (await get(supervisor, "metrics", "/metrics")).text
            assert 'nv_inference_request_success{model="a",version="1"} 14.0' in page
            assert 'fairlead_queue_rows{model="a",version="1"} 3.0' in page
            assert "fairlead_worker_deaths_total 1.0" in page

    asyncio.run(play())


def test_connections_wait_and_are_then_answered_503(tmp_path: Path) -> None:
    """With no worker accepting, callers wait in the kernel, and get a 503 with Retry-After when that takes long."""

    async def play() -> None:
        async with replica(tmp_path) as supervisor:
            start = time.monotonic()
            answer = await get(supervisor, "http", "/v2")
            waited = time.monotonic() - start
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.headers["connection"] == "close"
            assert QUICK.waiting * 0.5 < waited < QUICK.waiting + 2
            await supervisor.put_catalog(document(1, {"a": {"1": "src"}}), False)
            await ready(supervisor)
            assert (await get(supervisor, "http")).status_code == 200

    asyncio.run(play())


def test_ready_means_that_nobody_is_turned_away(tmp_path: Path) -> None:
    """However seldom the supervisor looks at its door: a worker that accepts closes the waiting room."""
    seldom = dataclasses.replace(QUICK, waiting=0.0, tick=1.0)

    async def play() -> None:
        async with replica(tmp_path, seldom) as supervisor:
            await until("the waiting room", lambda: supervisor._waiting.is_open)
            assert (await get(supervisor, "http")).status_code == 503
            await supervisor.put_catalog(document(1, {"a": {"1": "src"}}), False)
            await ready(supervisor)
            answers = [(await get(supervisor, "http")).text for _ in range(10)]
            assert answers == ["w1"] * 10

    asyncio.run(play())


def test_what_kills_its_trial_twice_is_condemned(tmp_path: Path) -> None:
    """Two deaths by a signal condemn a version for good, also after a restart; others are not touched by it."""

    async def play() -> None:
        data = document(1, {"a": {"1": "src"}, "kills-trial": {"1": "boom"}})
        async with replica(tmp_path) as supervisor:
            await supervisor.put_catalog(data, False)
            held = await state(supervisor, "kills-trial", "1", "failed")
            held = await until("the verdict", lambda: version(supervisor.status(), "kills-trial", "1").final and held)
            assert "SIGSEGV" in version(supervisor.status(), "kills-trial", "1").reason
            assert trials(tmp_path) == 3
            await ready(supervisor)
            assert supervisor.status().models["a"].route == {"1": 1.0}
        async with replica(tmp_path) as supervisor:
            assert (await state(supervisor, "kills-trial", "1", "failed")).final
            await ready(supervisor)
            assert trials(tmp_path) == 3
            again = json.loads(data) | {"generation": 2}
            again["models"]["kills-trial"]["versions"]["1"]["attempt"] = 7
            await supervisor.put_catalog(json.dumps(again).encode(), False)
            await until("another trial of what was asked for again", lambda: trials(tmp_path) > 3)

    asyncio.run(play())


def test_models_of_the_same_bytes_share_one_trial(tmp_path: Path) -> None:
    """What was proven of one is proven for all: they differ by name alone."""

    async def play() -> None:
        async with replica(tmp_path) as supervisor:
            models = {name: {"1": "same"} for name in ("a", "b", "c")}
            await supervisor.put_catalog(document(1, models), False)
            for name in models:
                await state(supervisor, name, "1", "ready")
            assert trials(tmp_path) == 1

    asyncio.run(play())


def test_a_trial_that_does_not_end_is_ended(tmp_path: Path) -> None:
    """It counts as a failure and is tried again, but nothing is condemned."""

    async def play() -> None:
        async with replica(tmp_path) as supervisor:
            await supervisor.put_catalog(document(1, {"hangs": {"1": "src"}}), False)
            held = await state(supervisor, "hangs", "1", "failed")
            assert "did not end within" in held.reason
            assert not held.final
            assert "condemned" not in journal(tmp_path)

    asyncio.run(play())


def test_three_deaths_while_it_runs_condemn_a_version(tmp_path: Path) -> None:
    """It is left out then, and the workers start again without it; the other model serves on."""

    async def play() -> None:
        async with replica(tmp_path) as supervisor:
            await supervisor.put_catalog(document(1, {"a": {"1": "src"}, "landmine": {"1": "boom"}}), False)
            for round_ in (1, 2, 3):
                name = f"w{round_}"
                await until(name, lambda name=name: workers(supervisor) == [name])
                os.kill(supervisor.status().workers[0].pid, signal.SIGSEGV)
            await until("w4", lambda: workers(supervisor) == ["w4"])
            held = await state(supervisor, "landmine", "1", "failed")
            assert held.final
            assert "worker died 3 times" in held.reason
            assert "w4" not in held.workers
            assert supervisor.status().models["a"].route == {"1": 1.0}
            assert "landmine" not in supervisor.status().models["a"].reason

    asyncio.run(play())


def test_a_silent_worker_is_replaced(tmp_path: Path) -> None:
    """A worker without a heartbeat is stuck: it is killed, which counts against nobody."""

    async def play() -> None:
        async with replica(tmp_path) as supervisor:
            await supervisor.put_catalog(document(1, {"numb": {"1": "src"}}), False)
            await until("w2", lambda: "w2" in workers(supervisor))
            assert "death" not in journal(tmp_path)
            assert "fairlead_worker_stuck_total 1.0" in (await get(supervisor, "metrics", "/metrics")).text

    asyncio.run(play())


def test_what_hangs_its_worker_three_times_is_condemned(tmp_path: Path) -> None:
    """A run that holds up the loop costs all others their worker, as a death does; who it was is told at once."""

    async def play() -> None:
        async with replica(tmp_path) as supervisor:
            await supervisor.put_catalog(document(1, {"a": {"1": "src"}, "blocks": {"1": "boom"}}), False)
            told = await until("the condition", lambda: supervisor.status().conditions.get("WorkerStuck"))
            assert "silent" in told
            assert told.endswith("(running: blocks)")
            held = await state(supervisor, "blocks", "1", "failed")
            assert held.final
            assert "worker died 3 times" in held.reason
            assert "hung" in held.reason
            await until("a worker", lambda: workers(supervisor) == ["w4"])

    asyncio.run(play())


def test_a_worker_whose_device_is_lost_is_replaced(tmp_path: Path) -> None:
    """Meanwhile the replica is not ready; the third time condemns what was running, and the others go on."""

    async def play() -> None:
        async with replica(tmp_path) as supervisor:
            await supervisor.put_catalog(document(1, {"a": {"1": "src"}, "breaks": {"1": "boom"}}), False)
            await until("the loss", lambda: supervisor.not_ready() == "a device is lost: see /control/status")
            assert supervisor.status().conditions["DeviceLost"] == "w1: CUDA error 700 (running: breaks)"
            held = await state(supervisor, "breaks", "1", "failed")
            assert held.final
            assert "worker died 3 times" in held.reason
            await until("a whole worker", lambda: not supervisor.not_ready())
            assert supervisor.status().models["a"].route == {"1": 1.0}
            assert supervisor.status().conditions["CrashLoop"].startswith("3 workers in a row")
            assert "fairlead_worker_deaths_total 0.0" in (await get(supervisor, "metrics", "/metrics")).text

    asyncio.run(play())


def test_a_worker_is_replaced_without_a_gap(tmp_path: Path) -> None:
    """The successor accepts before the old one drains: there is always one that accepts."""

    async def play() -> None:
        async with replica(tmp_path, workers=2) as supervisor:
            await supervisor.put_catalog(document(1, {"a": {"1": "src"}}), False)
            await until("two", lambda: len(workers(supervisor)) == 2)
            least = 2

            async def watch() -> None:
                nonlocal least
                while True:
                    least = min(least, len(workers(supervisor)))
                    await asyncio.sleep(0.005)

            watching = asyncio.ensure_future(watch())
            answer = await get(supervisor, "control", "/control/workers/w1/replace", method="POST")
            watching.cancel()
            assert answer.json() == {"replaced": "w1", "accepting": ["w2", "w3"]}
            assert least == 2
            missing = await get(supervisor, "control", "/control/workers/w1/replace", method="POST")
            assert missing.status_code == 404

    asyncio.run(play())


def test_a_fetch_that_failed_for_now_is_tried_again(tmp_path: Path) -> None:
    """With back-off where the cause can pass, and not otherwise."""

    async def play() -> None:
        async with replica(tmp_path) as supervisor:
            await supervisor.put_catalog(document(1, {"a": {"1": "late"}, "b": {"1": "missing"}}), False)
            await state(supervisor, "a", "1", "ready")
            held = await state(supervisor, "b", "1", "failed")
            assert (held.final, held.reason) == (True, "there is no missing")
            await ready(supervisor)

    asyncio.run(play())


def test_a_load_that_failed_for_now_is_tried_again(tmp_path: Path) -> None:
    """A worker that had no memory for a moment loads the version at the next attempt."""

    async def play() -> None:
        async with replica(tmp_path) as supervisor:
            await supervisor.put_catalog(document(1, {"flaky": {"1": "src"}}), False)
            await state(supervisor, "flaky", "1", "ready")
            await ready(supervisor)

    asyncio.run(play())


def test_what_does_not_fit_is_refused_before_it_starts(tmp_path: Path) -> None:
    """The reason names the need and the limit; no trial was started for it."""

    async def play() -> None:
        async with replica(tmp_path, memory_limit_bytes=1500 * 2**20) as supervisor:
            await supervisor.put_catalog(document(1, {"a": {"1": "src"}, "big": {"1": "size-900"}}), False)
            held = await state(supervisor, "big", "1", "failed")
            assert "does not fit into memory" in held.reason
            assert held.final
            await ready(supervisor)
            assert trials(tmp_path) == 1

    asyncio.run(play())


def test_what_does_not_fit_on_the_gpu_is_refused_before_it_starts(tmp_path: Path) -> None:
    """The limits of the sessions count where the replica has one; what needs no GPU does not care."""

    async def play() -> None:
        async with replica(tmp_path, gpu_memory_bytes=2 * 2**30) as supervisor:
            catalog = json.loads(document(1, {"a": {"1": "src"}, "half": {"1": "one"}, "more": {"1": "two"}}))
            for model, limit in (("half", 2**30), ("more", 2**30 + 1)):
                catalog["models"][model]["versions"]["1"]["settings"] = {
                    "providers": ["cuda"],
                    "gpu_mem_limit_bytes": limit,
                }
            await supervisor.put_catalog(json.dumps(catalog).encode(), False)
            held = await state(supervisor, "more", "1", "failed")
            assert "does not fit on the GPU" in held.reason
            await state(supervisor, "half", "1", "ready")
            await state(supervisor, "a", "1", "ready")

    asyncio.run(play())


def test_the_last_good_version_stays_until_the_new_one_serves(tmp_path: Path) -> None:
    """A new document that leaves the serving version out takes effect only when its own version is ready: also for
    a worker, and for a replica, that starts in between."""

    async def play() -> None:
        async with replica(tmp_path) as supervisor:
            await supervisor.put_catalog(document(1, {"a": {"1": "one"}}), False)
            await ready(supervisor)
            await until("settled", lambda: supervisor.status().models["a"].applied == 1)
            await supervisor.put_catalog(document(2, {"a": {"2": "missing"}}), False)
            await state(supervisor, "a", "2", "failed")
            assert supervisor.status().models["a"].route == {"1": 1.0}
            os.kill(supervisor.status().workers[0].pid, signal.SIGKILL)
            await until("w2", lambda: workers(supervisor) == ["w2"])
            await until("its route", lambda: supervisor.status().models["a"].route == {"1": 1.0})
        async with replica(tmp_path) as supervisor:
            await ready(supervisor)
            await until("its route", lambda: supervisor.status().models["a"].route == {"1": 1.0})
            assert supervisor.status().generation == 2
            await supervisor.put_catalog(document(3, {"a": {"3": "three"}}), False)
            await until("the new one", lambda: supervisor.status().models["a"].route == {"3": 1.0})
            await until("the old one gone", lambda: set(supervisor.status().models["a"].versions) == {"3"})

    asyncio.run(play())


def test_a_faulty_model_keeps_its_last_good_entry(tmp_path: Path) -> None:
    """Inside a document that is fine otherwise; the status tells the fault's place. Also after a restart."""

    async def play() -> None:
        good = document(1, {"a": {"1": "one"}, "b": {"1": "one"}})
        broken = json.loads(document(2, {"a": {"1": "one"}, "b": {"2": "two"}}))
        broken["models"]["a"]["route"] = {"weights": {"9": 1.0}}
        async with replica(tmp_path) as supervisor:
            await supervisor.put_catalog(good, False)
            await ready(supervisor)
            await supervisor.put_catalog(json.dumps(broken).encode(), False)
            await until("b", lambda: supervisor.status().models["b"].route == {"2": 1.0})
            assert supervisor.status().models["a"].route == {"1": 1.0}
            assert "route" in supervisor.status().models["a"].reason
        async with replica(tmp_path) as supervisor:
            await ready(supervisor)
            assert supervisor.status().models["a"].route == {"1": 1.0}
            assert "route" in supervisor.status().models["a"].reason

    asyncio.run(play())


def test_pinning_a_digest_loads_nothing_anew(tmp_path: Path) -> None:
    """The operator pins what the replica reported: the version stays as it is."""

    async def play() -> None:
        async with replica(tmp_path) as supervisor:
            await supervisor.put_catalog(document(1, {"a": {"1": "one"}}), False)
            await ready(supervisor)
            held = await state(supervisor, "a", "1", "ready")
            pinned = json.loads(document(2, {"a": {"1": "one"}}))
            pinned["models"]["a"]["versions"]["1"]["digest"] = held.digest
            await supervisor.put_catalog(json.dumps(pinned).encode(), False)
            await until("applied", lambda: supervisor.status().models["a"].applied == 2)
            assert version(supervisor.status(), "a", "1").since == held.since

    asyncio.run(play())


def test_a_drain_is_answered_when_it_is_done(tmp_path: Path) -> None:
    """Not ready at once; the workers end in order; who connected meanwhile is answered and not reset."""

    async def play() -> None:
        async with replica(tmp_path) as supervisor:
            await supervisor.put_catalog(document(1, {"a": {"1": "src"}}), False)
            await ready(supervisor)
            pids = [worker.pid for worker in supervisor.status().workers]
            answer = await get(supervisor, "control", "/control/drain", method="POST")
            assert answer.json() == {"drained": True}
            assert (await get(supervisor, "metrics", "/readyz")).status_code == 503
            assert (await get(supervisor, "metrics", "/livez")).status_code == 200
            assert supervisor.status().workers == ()
            assert not any(map(lives, pids))

    asyncio.run(play())


def test_new_settings_replace_the_workers(tmp_path: Path) -> None:
    """`reconfigure` takes what may change in a living replica, one worker after the other, and refuses the rest."""

    async def play() -> None:
        async with replica(tmp_path) as supervisor:
            await supervisor.put_catalog(document(1, {"a": {"1": "src"}}), False)
            await ready(supervisor)
            with pytest.raises(ValueError, match="http_port cannot change"):
                supervisor.reconfigure({"http_port": 1})
            supervisor.reconfigure({"workers": 2})
            await until("two new ones", lambda: workers(supervisor) == ["w2", "w3"])

    asyncio.run(play())
