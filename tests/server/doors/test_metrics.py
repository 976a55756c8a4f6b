"""The metrics port, over a fake replica; and the list of metrics in the documents."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from fairlead_server.batching.counts import LATENCY_BOUNDS_US, ROWS_BOUNDS
from fairlead_server.doors.metrics import MetricsApp, Scrape, VersionReading, WorkerReading, page
from fairlead_server.link.messages import Histogram, VersionCounts

DOCS = Path(__file__).parents[3] / "docs" / "metrics.md"
LATENCY = Histogram([3] + [0] * (len(LATENCY_BOUNDS_US) - 1) + [1], 2_000_000.0)
ROWS = Histogram([4] + [0] * len(ROWS_BOUNDS), 4.0)
FAILURES = {"overloaded": 2, "deadline": 1, "rejected": 4, "not_ready": 8}
COUNTS = VersionCounts("m", '1"', 10, FAILURES, 11, 12, 13, 14, 15, 16, 17, LATENCY, ROWS, 18, 19)
SCRAPE = Scrape(
    counts=[COUNTS],
    refused={"invalid": 5},
    versions=[VersionReading("m", "1", "ready", 0.5, 100), VersionReading("m", "2", "failed", 0.0, 0)],
    workers=[WorkerReading("w1", "accepting", 1000, 3, 2.0)],
    ready=True,
    draining=False,
    generation=9,
    applied=8,
    memory_bytes=1,
    memory_limit_bytes=2,
    worker_starts=3,
    worker_deaths=1,
    worker_stuck=0,
    turned_away=4,
)


def idle(model: str) -> VersionCounts:
    latency, rows = Histogram([0] * len(LATENCY.counts), 0.0), Histogram([0] * len(ROWS.counts), 0.0)
    return VersionCounts(model, "1", 0, {}, 0, 0, 0, 0, 0, 0, 0, latency, rows, 0, 0)


@dataclasses.dataclass
class FakeReplica:
    reason: str = ""

    def scrape(self) -> Scrape:
        return SCRAPE

    def not_ready(self) -> str:
        return self.reason


def get(path: str, reason: str = "", method: str = "GET") -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=MetricsApp(FakeReplica(reason)))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://metrics") as client:
            return await client.request(method, path)

    return asyncio.run(send())


def test_tritons_names_are_as_tritons_are() -> None:
    """Counters without a suffix, by model and version; failures by its reasons."""
    page = get("/metrics").text
    assert "# TYPE nv_inference_request_success counter" in page
    assert 'nv_inference_request_success{model="m",version="1\\""} 10.0' in page
    for reason, number in {"REJECTED": 3.0, "BACKEND": 4.0, "OTHER": 8.0, "CANCELED": 0.0}.items():
        assert f'nv_inference_request_failure{{model="m",reason="{reason}",version="1\\""}} {number}' in page


def test_histograms_are_cumulative_and_in_seconds() -> None:
    """The last bucket holds all."""
    page = get("/metrics").text
    assert 'fairlead_latency_seconds_bucket{le="0.0001",model="m",version="1\\""} 3.0' in page
    assert 'fairlead_latency_seconds_bucket{le="+Inf",model="m",version="1\\""} 4.0' in page
    assert 'fairlead_latency_seconds_sum{model="m",version="1\\""} 2.0' in page


def test_a_version_that_nobody_has_asked_has_no_histograms() -> None:
    """They would be most of the page where there are thousands; its counters are there, at zero."""
    text = "".join(page(dataclasses.replace(SCRAPE, counts=[COUNTS, idle("other")])))
    assert 'nv_inference_request_success{model="other",version="1"} 0.0' in text
    assert 'fairlead_latency_seconds_count{model="other"' not in text


def test_a_page_holds_up_no_probe() -> None:
    """Others are answered between two families, of which each may have thousands of versions."""

    async def story() -> list[str]:
        app, told = MetricsApp(FakeReplica()), []

        async def ask(path: str) -> None:
            transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://metrics") as client:
                await client.get(path)
            told.append(path)

        await asyncio.gather(ask("/metrics"), ask("/livez"))
        return told

    assert asyncio.run(story()) == ["/livez", "/metrics"]


def test_the_documents_list_every_metric() -> None:
    """docs/metrics.md and a scrape name the same metrics, with the same kinds."""
    listed = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", DOCS.read_text(), re.MULTILINE))
    page = get("/metrics").text
    scraped = dict(re.findall(r"^# TYPE (\w+) (\w+)$", page, re.MULTILINE))
    assert listed == scraped
    assert list(text_string_to_metric_families(page))


def test_probes() -> None:
    """Ready or not with the reason; live as long as it answers; nothing else is here."""
    assert get("/readyz").status_code == 200
    answer = get("/readyz", reason="draining")
    assert (answer.status_code, answer.json()) == (503, {"error": "draining"})
    assert get("/livez", reason="draining").status_code == 200
    assert get("/").status_code == 404
    assert get("/metrics", method="POST").status_code == 405
