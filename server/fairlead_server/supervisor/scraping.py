"""What the metrics page is made of, from what the supervisor knows. Pure."""

from __future__ import annotations

from fairlead_server.doors.metrics import Scrape, VersionReading, WorkerReading
from fairlead_server.supervisor.status import View, build
from fairlead_server.supervisor.worker import Worker
from fairlead_server.supervisor.workers import Workers


def scrape(view: View, workers: Workers, turned_away: int) -> Scrape:
    document = build(view)
    versions = [
        VersionReading(
            model,
            version,
            held.state,
            entry.route.get(version, 0.0),
            held.profile.bytes if held.profile is not None else 0,
        )
        for model, entry in document.models.items()
        for version, held in entry.versions.items()
    ]
    return Scrape(
        counts=list(view.totals.values()),
        refused=workers.ledger.refused(),
        versions=versions,
        workers=[_worker(worker) for worker in view.workers],
        ready=document.ready,
        draining=document.draining,
        generation=document.generation,
        applied=document.applied,
        memory_bytes=document.memory_bytes,
        memory_limit_bytes=document.memory_limit_bytes,
        worker_starts=workers.started,
        worker_deaths=workers.ended_by_signal,
        worker_stuck=workers.ended_stuck,
        turned_away=turned_away,
    )


def _worker(worker: Worker) -> WorkerReading:
    counts = worker.counts
    if counts is None:
        return WorkerReading(worker.id, worker.state, 0, 0, 0.0)
    return WorkerReading(worker.id, worker.state, counts.rss_bytes, counts.connections, counts.loop_lag_ms)
