"""The metrics port: /metrics for Prometheus, /livez and /readyz for probes. It needs no token and changes nothing.

Names that Triton has are used where they mean the same, with its labels; what is ours begins with `fairlead_`.
A scrape waits for no worker: it tells what the supervisor knows. docs/metrics.md lists them all.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from fairlead_server.batching.counts import LATENCY_BOUNDS_US, ROWS_BOUNDS
from fairlead_server.doors.answers import Answer, error_answer, json_answer
from fairlead_server.doors.asgi import Send, send_answer
from fairlead_server.doors.body import Receive
from fairlead_server.doors.exposition import family, histogram, labels
from fairlead_server.errors import Kind, ServingError
from fairlead_server.link.messages import VersionCounts

_TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
_LATENCY_BOUNDS = [f"{bound * 1e-6:g}" for bound in LATENCY_BOUNDS_US]  # seconds
_ROWS_BOUNDS = [f"{bound:g}" for bound in ROWS_BOUNDS]

# Triton's reasons for our kinds of error; what is not here is OTHER.
REASONS = {
    Kind.OVERLOADED.value: "REJECTED",
    Kind.DEADLINE.value: "REJECTED",
    Kind.CANCELLED.value: "CANCELED",
    Kind.REJECTED.value: "BACKEND",
    Kind.INTERNAL.value: "BACKEND",
}

# Triton's counters: name, what it counts, where it stands in VersionCounts.
_TRITON = (
    ("nv_inference_request_success", "Requests answered well", "requests"),
    ("nv_inference_count", "Rows answered well", "rows"),
    ("nv_inference_exec_count", "Runs of the model", "runs"),
    ("nv_inference_request_duration_us", "Microseconds of requests, from arrival to answer", "request_us"),
    ("nv_inference_queue_duration_us", "Microseconds of waiting in the queue", "queue_us"),
    ("nv_inference_compute_input_duration_us", "Microseconds of putting inputs together", "input_us"),
    ("nv_inference_compute_infer_duration_us", "Microseconds of running", "infer_us"),
    ("nv_inference_compute_output_duration_us", "Microseconds of taking outputs apart", "output_us"),
)


@dataclasses.dataclass(frozen=True)
class WorkerReading:
    id: str
    state: str
    rss_bytes: int
    connections: int
    loop_lag_ms: float


@dataclasses.dataclass(frozen=True)
class VersionReading:
    """`weight` of the route in effect; `bytes` measured in its trial, 0 where unknown."""

    model: str
    version: str
    state: str
    weight: float
    bytes: int


@dataclasses.dataclass(frozen=True)
class Scrape:
    """All that one page tells."""

    counts: Sequence[VersionCounts]
    refused: Mapping[str, int]
    versions: Sequence[VersionReading]
    workers: Sequence[WorkerReading]
    ready: bool
    draining: bool
    generation: int
    applied: int
    memory_bytes: int
    memory_limit_bytes: int
    worker_starts: int
    worker_deaths: int
    worker_stuck: int
    turned_away: int


class Replica(Protocol):
    def scrape(self) -> Scrape: ...

    def not_ready(self) -> str:
        """Why no traffic should come here, or ""."""
        ...


class MetricsApp:
    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        await send_answer(await self._answer(scope["path"], scope["method"]), send)

    async def _answer(self, path: str, method: str) -> Answer:
        if path not in ("/metrics", "/livez", "/readyz"):
            return error_answer(ServingError(Kind.NOT_FOUND, "there are /metrics, /livez and /readyz here"))
        if method not in ("GET", "HEAD"):
            return error_answer(ServingError(Kind.NOT_ALLOWED, f"{path} takes GET"), headers=[(b"allow", b"GET")])
        if path == "/metrics":
            return Answer(200, [_TEXT], await self._page())
        reason = self._replica.not_ready() if path == "/readyz" else ""
        if reason:
            return error_answer(ServingError(Kind.NOT_READY, reason))
        return json_answer(200, {"ready" if path == "/readyz" else "live": True})

    async def _page(self) -> list[bytes]:
        """One family after the other: of thousands of versions the page takes a while, and others are answered too."""
        parts = []
        for part in page(self._replica.scrape()):
            parts.append(part.encode())
            await asyncio.sleep(0)
        return parts


def page(scrape: Scrape) -> Iterator[str]:
    """Every family, each whole."""
    yield from _of_counts([_Counted.of(held) for held in scrape.counts])
    yield from _of_versions(scrape.versions)
    yield from _of_workers(scrape)
    yield from _of_replica(scrape)


class _Counted(NamedTuple):
    """A version's counts, with its two labels as they are written."""

    model: str
    version: str
    both: str
    counts: VersionCounts

    @classmethod
    def of(cls, counts: VersionCounts) -> _Counted:
        model, version = labels({"model": counts.model}), labels({"version": counts.version})
        return cls(model, version, f"{model},{version}", counts)


def _of_counts(versions: Sequence[_Counted]) -> Iterator[str]:
    for name, text, field in _TRITON:
        of = attrgetter(field)
        yield family(name, "counter", text, ((held.both, of(held.counts)) for held in versions))
    yield family(
        "nv_inference_request_failure", "counter", "Requests that failed, by Triton's reasons",
        (sample for held in versions for sample in _failures(held)),
    )  # fmt: skip
    yield family(
        "fairlead_failures_total", "counter", "Requests that failed, by kind of error",
        (
            (f"{labels({'kind': kind})},{held.both}", number)
            for held in versions
            for kind, number in held.counts.failures.items()
        ),
    )  # fmt: skip
    queued = ((held.both, held.counts.queued_rows) for held in versions)
    yield family("fairlead_queue_rows", "gauge", "Rows that wait", queued)
    leases = ((held.both, held.counts.leases) for held in versions)
    yield family("fairlead_leases", "gauge", "Requests that hold the version now", leases)
    asked = [held for held in versions if held.counts.runs or held.counts.requests]
    latency = ((held.both, held.counts.latency.counts, held.counts.latency.sum * 1e-6) for held in asked)
    yield histogram("fairlead_latency_seconds", "Arrival to answer", _LATENCY_BOUNDS, latency)
    rows = ((held.both, held.counts.batch_rows.counts, held.counts.batch_rows.sum) for held in asked)
    yield histogram("fairlead_batch_rows", "Rows of one run", _ROWS_BOUNDS, rows)


def _failures(held: _Counted) -> Iterator[tuple[str, int]]:
    reasons = dict.fromkeys(("REJECTED", "CANCELED", "BACKEND", "OTHER"), 0)
    for kind, number in held.counts.failures.items():
        reasons[REASONS.get(kind, "OTHER")] += number
    for reason, number in reasons.items():
        yield f'{held.model},reason="{reason}",{held.version}', number


def _of_versions(versions: Sequence[VersionReading]) -> Iterator[str]:
    named = [(labels({"model": held.model, "version": held.version}), held) for held in versions]
    states = ((labels({"model": held.model, "state": held.state, "version": held.version}), 1) for held in versions)
    yield family("fairlead_version_state", "gauge", "1 for the state it is in", states)
    yield family(
        "fairlead_route_weight", "gauge", "Weight in the route in effect", ((of, held.weight) for of, held in named)
    )
    yield family(
        "fairlead_version_bytes", "gauge", "Resident memory in one worker, measured",
        ((of, held.bytes) for of, held in named),
    )  # fmt: skip
    ready = sum(held.state == "ready" for held in versions)
    yield _one("fairlead_versions_ready", "gauge", "Versions ready in every accepting worker", ready)


def _of_workers(scrape: Scrape) -> Iterator[str]:
    workers = [(labels({"worker": worker.id}), worker) for worker in scrape.workers]
    lags = ((of, worker.loop_lag_ms / 1e3) for of, worker in workers)
    states = (
        (labels({"state": state}), sum(worker.state == state for worker in scrape.workers))
        for state in ("starting", "accepting", "draining")
    )
    resident = ((of, worker.rss_bytes) for of, worker in workers)
    yield family("fairlead_worker_rss_bytes", "gauge", "Resident memory", resident)
    yield family("fairlead_worker_loop_lag_seconds", "gauge", "Worst delay of its loop in a second", lags)
    connections = ((of, worker.connections) for of, worker in workers)
    yield family("fairlead_connections", "gauge", "Open connections", connections)
    yield family("fairlead_workers", "gauge", "Workers by state", states)
    yield _one("fairlead_worker_starts_total", "counter", "Workers started", scrape.worker_starts)
    died = "Workers ended by a signal that was not the supervisor's"
    yield _one("fairlead_worker_deaths_total", "counter", died, scrape.worker_deaths)
    yield _one("fairlead_worker_stuck_total", "counter", "Workers killed because they were silent", scrape.worker_stuck)


def _of_replica(scrape: Scrape) -> Iterator[str]:
    refused = ((labels({"kind": kind}), number) for kind, number in scrape.refused.items())
    yield family("fairlead_refused_total", "counter", "Requests that reached no version", refused)
    away = "Connections answered 503 while no worker accepted"
    yield _one("fairlead_turned_away_total", "counter", away, scrape.turned_away)
    yield _one("fairlead_ready", "gauge", "1 while traffic should come here", scrape.ready)
    yield _one("fairlead_draining", "gauge", "1 while the replica leaves", scrape.draining)
    yield _one("fairlead_generation", "gauge", "The newest catalog stored here", scrape.generation)
    yield _one("fairlead_applied", "gauge", "The least generation of the accepting workers", scrape.applied)
    yield _one("fairlead_memory_bytes", "gauge", "Memory of the replica's processes", scrape.memory_bytes)
    yield _one("fairlead_memory_limit_bytes", "gauge", "What it may use", scrape.memory_limit_bytes)


def _one(name: str, kind: str, text: str, value: float) -> str:
    return family(name, kind, text, [("", value)])
