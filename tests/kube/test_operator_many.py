"""Two thousand ServedModels: they come to rest, and at rest they cost the API server less than a request a second."""

from __future__ import annotations

import time

import pytest
from kube.api_server import ApiServer
from kube.cluster_site import DEFINITION, ClusterSite

pytestmark = [pytest.mark.timeout(1500)]

MANY = 2000
REST_S = 30.0


def requests(server: ApiServer) -> float:
    """All that the API server was asked, by anybody, as it counts itself; watches are counted when they end."""
    page = server.http.get("/metrics").raise_for_status().text
    counts = [line.rsplit(" ", 1)[1] for line in page.splitlines() if line.startswith("apiserver_request_total{")]
    return sum(map(float, counts))


def test_two_thousand_at_rest(api_server: ApiServer, namespace: str) -> None:
    """One search of the registry an interval, too; a promotion among them is carried out."""
    api_server.install(DEFINITION)
    site = ClusterSite(api_server, namespace, replicas=1, quick=True)
    site.settings["registry"] = {"uri": "fake://", "intervalSeconds": 2}
    site.register("churn")
    searches = []
    snapshot = site.registry.snapshot

    def counted(*asked: object) -> object:
        searches.append(time.monotonic())
        return snapshot(*asked)  # type: ignore[arg-type]

    site.registry.snapshot = counted  # type: ignore[assignment, method-assign]
    path = f"/apis/fairlead.dev/v1alpha1/namespaces/{namespace}/servedmodels"
    for number in range(MANY):
        body = {"apiVersion": "fairlead.dev/v1alpha1", "kind": "ServedModel", "metadata": {"name": f"churn-{number}"}}
        api_server.http.post(path, json={**body, "spec": {"model": "churn"}}).raise_for_status()

    def serving() -> int:
        items = api_server.http.get(path, params={"resourceVersion": "0"}).raise_for_status().json()["items"]
        return sum((item.get("status") or {}).get("phase") == "Serving" for item in items)

    with site.operator() as running:
        site.until("all of them serve", lambda: serving() == MANY, 900, 3)
        site.until("nothing is written any more", lambda: at_rest(running.operator), 300)
        before, began, asked = requests(api_server), time.monotonic(), len(searches)
        spent = time.process_time()
        time.sleep(REST_S)
        took = time.monotonic() - began
        rate = (requests(api_server) - before) / took
        searched = (len(searches) - asked) / took
        print(f"{rate:.2f} requests/s on the API server, {searched:.2f} searches/s of the registry")
        print(f"{100 * (time.process_time() - spent) / took:.0f} % of a core, the fakes' included")
        assert rate < 1
        assert searched <= 0.6  # one every two seconds
        assert running.operator.objects.complete
        site.registry.promote("churn", "2")
        site.until("it is promoted", lambda: site.stable("churn-0") == "2", 900)


def at_rest(operator: object) -> bool:
    session = operator._session  # type: ignore[attr-defined]
    return session is not None and session.writer.waiting() == 0 and session.recorder._queue.empty()
