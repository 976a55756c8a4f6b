"""/livez, /readyz, /metrics."""

from __future__ import annotations

import asyncio

import httpx
from prometheus_client.parser import text_string_to_metric_families

from fairlead_operator.cluster.endpoint import Endpoint, rendered
from fairlead_operator.config import ListenConfig


def test_probes_say_what_is_wrong() -> None:
    """200 while nothing is; else 503 with a sentence."""
    wrong = [""]

    async def main() -> list[tuple[int, str]]:
        endpoint = Endpoint(lambda: "", lambda: wrong[0], lambda: {"active": 1.0})
        port = await endpoint.start(ListenConfig("127.0.0.1", 0))
        found = []
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            for path in ("/livez", "/readyz", "/metrics", "/none"):
                wrong[0] = "not listed yet" if path == "/readyz" else ""
                answer = await http.get(path)
                found.append((answer.status_code, answer.text.strip().splitlines()[-1]))
        await endpoint.close()
        return found

    assert asyncio.run(main()) == [
        (200, "ok"),
        (503, "not listed yet"),
        (200, "fairlead_operator_active 1"),
        (404, "404: Not Found"),
    ]


def test_the_page_is_prometheus_text() -> None:
    """With one label where there is one; quoted."""
    page = rendered({"active": 1.0, "api_calls_total": {"GET": 3.0, 'a"b\\': 1.0}})
    families = {family.name: family for family in text_string_to_metric_families(page)}
    assert families["fairlead_operator_active"].samples[0].value == 1.0
    calls = families["fairlead_operator_api_calls"]
    assert calls.type == "counter"
    assert {sample.labels["of"]: sample.value for sample in calls.samples} == {"GET": 3.0, 'a"b\\': 1.0}
