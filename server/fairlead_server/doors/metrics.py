"""The metrics port: /metrics for Prometheus, /livez and /readyz for probes. It needs no token and changes nothing.

Names that Triton has are used where they mean the same, with its labels; what is ours begins with `fairlead_`.
A scrape waits for no worker: it tells what the supervisor knows. docs/metrics.md lists them all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from fairlead_server.batching.counts import LATENCY_BOUNDS_US, ROWS_BOUNDS
from fairlead_server.doors.answers import Answer, error_answer, json_answer
from fairlead_server.doors.asgi import Send, send_answer
from fairlead_server.doors.body import Receive
from fairlead_server.errors import Kind, ServingError
from fairlead_server.link.messages import Histogram, VersionCounts

_TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
_LABELS = ("model", "version")

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
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Collector(replica))

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        await send_answer(self._answer(scope["path"], scope["method"]), send)

    def _answer(self, path: str, method: str) -> Answer:
        if path not in ("/metrics", "/livez", "/readyz"):
            return error_answer(ServingError(Kind.NOT_FOUND, "there are /metrics, /livez and /readyz here"))
        if method not in ("GET", "HEAD"):
            return error_answer(ServingError(Kind.NOT_ALLOWED, f"{path} takes GET"), headers=[(b"allow", b"GET")])
        if path == "/metrics":
            return Answer(200, [_TEXT], [page(self._registry)])
        reason = self._replica.not_ready() if path == "/readyz" else ""
        if reason:
            return error_answer(ServingError(Kind.NOT_READY, reason))
        return json_answer(200, {"ready" if path == "/readyz" else "live": True})


def page(registry: CollectorRegistry) -> bytes:
    """The text format. Triton's counters have no `_total`, which the library would add: they are handed over
    as of unknown kind, and their kind is put right here."""
    text: bytes = generate_latest(registry)
    for name in (*(name for name, _, _ in _TRITON), "nv_inference_request_failure"):
        text = text.replace(b"# TYPE %s untyped" % name.encode(), b"# TYPE %s counter" % name.encode())
    return text


class _Collector(Collector):
    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def collect(self) -> Iterator[Metric]:
        scrape = self._replica.scrape()
        yield from _of_counts(scrape.counts)
        yield from _of_versions(scrape.versions)
        yield from _of_workers(scrape)
        yield from _of_replica(scrape)


def _of_counts(counts: Sequence[VersionCounts]) -> Iterator[Metric]:
    for name, text, field in _TRITON:
        metric = Metric(name, text, "unknown")
        for held in counts:
            metric.add_sample(name, {"model": held.model, "version": held.version}, getattr(held, field))
        yield metric
    yield _failures(counts)
    kinds = CounterMetricFamily(
        "fairlead_failures", "Requests that failed, by kind of error", labels=[*_LABELS, "kind"]
    )
    rows = GaugeMetricFamily("fairlead_queue_rows", "Rows that wait", labels=_LABELS)
    leases = GaugeMetricFamily("fairlead_leases", "Requests that hold the version now", labels=_LABELS)
    latency = HistogramMetricFamily("fairlead_latency_seconds", "Arrival to answer", labels=_LABELS)
    batch = HistogramMetricFamily("fairlead_batch_rows", "Rows of one run", labels=_LABELS)
    for held in counts:
        labels = (held.model, held.version)
        for kind, number in held.failures.items():
            kinds.add_metric([*labels, kind], number)
        rows.add_metric(labels, held.queued_rows)
        leases.add_metric(labels, held.leases)
        _add(latency, labels, held.latency, LATENCY_BOUNDS_US, 1e-6)
        _add(batch, labels, held.batch_rows, ROWS_BOUNDS, 1.0)
    yield from (kinds, rows, leases, latency, batch)


def _failures(counts: Sequence[VersionCounts]) -> Metric:
    metric = Metric("nv_inference_request_failure", "Requests that failed, by Triton's reasons", "unknown")
    for held in counts:
        reasons = dict.fromkeys(("REJECTED", "CANCELED", "BACKEND", "OTHER"), 0)
        for kind, number in held.failures.items():
            reasons[REASONS.get(kind, "OTHER")] += number
        for reason, number in reasons.items():
            labels = {"model": held.model, "version": held.version, "reason": reason}
            metric.add_sample("nv_inference_request_failure", labels, number)
    return metric


def _add(
    metric: HistogramMetricFamily, labels: Sequence[str], held: Histogram, bounds: Sequence[float], scale: float
) -> None:
    buckets, total = [], 0
    for bound, count in zip([*bounds, float("inf")], held.counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound == float("inf") else f"{bound * scale:g}", float(total)))
    metric.add_metric(labels, buckets, held.sum * scale)


def _of_versions(versions: Sequence[VersionReading]) -> Iterator[Metric]:
    state = GaugeMetricFamily("fairlead_version_state", "1 for the state it is in", labels=[*_LABELS, "state"])
    weight = GaugeMetricFamily("fairlead_route_weight", "Weight in the route in effect", labels=_LABELS)
    size = GaugeMetricFamily("fairlead_version_bytes", "Resident memory in one worker, measured", labels=_LABELS)
    for held in versions:
        state.add_metric([held.model, held.version, held.state], 1)
        weight.add_metric([held.model, held.version], held.weight)
        size.add_metric([held.model, held.version], held.bytes)
    ready = sum(held.state == "ready" for held in versions)
    yield from (state, weight, size)
    yield GaugeMetricFamily("fairlead_versions_ready", "Versions ready in every accepting worker", value=ready)


def _of_workers(scrape: Scrape) -> Iterator[Metric]:
    rss = GaugeMetricFamily("fairlead_worker_rss_bytes", "Resident memory", labels=["worker"])
    lag = GaugeMetricFamily(
        "fairlead_worker_loop_lag_seconds", "Worst delay of its loop in a second", labels=["worker"]
    )
    connections = GaugeMetricFamily("fairlead_connections", "Open connections", labels=["worker"])
    states = GaugeMetricFamily("fairlead_workers", "Workers by state", labels=["state"])
    for worker in scrape.workers:
        rss.add_metric([worker.id], worker.rss_bytes)
        lag.add_metric([worker.id], worker.loop_lag_ms / 1e3)
        connections.add_metric([worker.id], worker.connections)
    for state in ("starting", "accepting", "draining"):
        states.add_metric([state], sum(worker.state == state for worker in scrape.workers))
    yield from (rss, lag, connections, states)
    yield CounterMetricFamily("fairlead_worker_starts", "Workers started", value=scrape.worker_starts)
    yield CounterMetricFamily(
        "fairlead_worker_deaths", "Workers ended by a signal that was not the supervisor's", value=scrape.worker_deaths
    )
    yield CounterMetricFamily(
        "fairlead_worker_stuck", "Workers killed because they were silent", value=scrape.worker_stuck
    )


def _of_replica(scrape: Scrape) -> Iterator[Metric]:
    refused = CounterMetricFamily("fairlead_refused", "Requests that reached no version", labels=["kind"])
    for kind, number in scrape.refused.items():
        refused.add_metric([kind], number)
    yield refused
    yield CounterMetricFamily(
        "fairlead_turned_away", "Connections answered 503 while no worker accepted", value=scrape.turned_away
    )
    yield GaugeMetricFamily("fairlead_ready", "1 while traffic should come here", value=scrape.ready)
    yield GaugeMetricFamily("fairlead_draining", "1 while the replica leaves", value=scrape.draining)
    yield GaugeMetricFamily("fairlead_generation", "The newest catalog stored here", value=scrape.generation)
    yield GaugeMetricFamily("fairlead_applied", "The least generation of the accepting workers", value=scrape.applied)
    yield GaugeMetricFamily("fairlead_memory_bytes", "Memory of the replica's processes", value=scrape.memory_bytes)
    yield GaugeMetricFamily("fairlead_memory_limit_bytes", "What it may use", value=scrape.memory_limit_bytes)
