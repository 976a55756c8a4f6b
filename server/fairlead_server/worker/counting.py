"""The counters of a worker as one message: read from plain attributes, once a second, off the requests' path."""

from __future__ import annotations

from fairlead_server.batching.counts import Counts as VersionAttributes
from fairlead_server.batching.counts import FixedHistogram
from fairlead_server.link.messages import Histogram, VersionCounts


def version_counts(model: str, version: str, counts: VersionAttributes, leases: int) -> VersionCounts:
    return VersionCounts(
        model=model,
        version=version,
        requests=counts.requests,
        failures=dict(counts.failures),
        rows=counts.rows,
        runs=counts.runs,
        request_us=counts.request_us,
        queue_us=counts.queue_us,
        input_us=counts.input_us,
        infer_us=counts.infer_us,
        output_us=counts.output_us,
        latency=_histogram(counts.latency),
        batch_rows=_histogram(counts.batch_rows),
        queued_rows=counts.queued_rows,
        leases=leases,
    )


def _histogram(histogram: FixedHistogram) -> Histogram:
    return Histogram(list(histogram.counts), histogram.sum)
