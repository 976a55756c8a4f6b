import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from fairlead_cli.errors import CommandError
from fairlead_cli.registry import RegisteredModel, Registry

MODEL = {
    "registered_model": {
        "name": "churn",
        "aliases": [{"alias": "champion", "version": "3"}],
        "tags": [{"key": "fairlead.serve", "value": "true"}],
    }
}


def registry(answer: Callable[[httpx.Request], httpx.Response]) -> Registry:
    return Registry("http://mlflow:5000/", httpx.MockTransport(answer))


def version(number: int) -> dict[str, Any]:
    return {"name": "churn", "version": str(number), "last_updated_timestamp": number, "tags": []}


def test_a_model_is_read_with_its_aliases_and_tags() -> None:
    """One GET at MLflow's REST path, with the name as it is."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json=MODEL)

    with registry(answer) as found:
        assert found.model("my model") == RegisteredModel("churn", {"champion": "3"}, {"fairlead.serve": "true"})
    assert asked[0].url.path == "/api/2.0/mlflow/registered-models/get"
    assert asked[0].url.params["name"] == "my model"


def test_a_model_without_aliases_or_tags_has_none() -> None:
    """MLflow leaves empty lists out."""
    answer = httpx.Response(200, json={"registered_model": {"name": "churn"}})
    assert registry(lambda _: answer).model("churn") == RegisteredModel("churn", {}, {})


def test_versions_are_read_page_by_page_with_the_name_quoted() -> None:
    """All pages; a quote in the name cannot end the filter."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.params["filter"] == "name='d''or'"
        if "page_token" not in request.url.params:
            return httpx.Response(200, json={"model_versions": [version(2)], "next_page_token": "t"})
        assert request.url.params["page_token"] == "t"
        return httpx.Response(200, json={"model_versions": [version(1)]})

    assert [found.version for found in registry(answer).versions("d'or")] == ["2", "1"]


def test_an_alias_is_set_by_a_post() -> None:
    """With the three names in the body."""
    bodies: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path) == ("POST", "/api/2.0/mlflow/registered-models/alias")
        bodies.append(json.loads(request.content))
        return httpx.Response(200, json={})

    registry(answer).set_alias("churn", "champion", "4")
    assert bodies == [{"name": "churn", "alias": "champion", "version": "4"}]


def test_artifacts_are_found_in_mlflows_own_store_only() -> None:
    """The path below the store; an artifact elsewhere is told."""
    uri = "mlflow-artifacts:/1/models/m-1/artifacts"
    found = registry(lambda _: httpx.Response(200, json={"artifact_uri": uri}))
    assert found.artifacts("churn", "1") == "1/models/m-1/artifacts"
    elsewhere = registry(lambda _: httpx.Response(200, json={"artifact_uri": "s3://bucket/1"}))
    with pytest.raises(CommandError, match="at s3://bucket/1"):
        elsewhere.artifacts("churn", "1")


def test_credentials_are_mlflows_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token, or a user and a password, from MLflow's environment variables."""
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return httpx.Response(200, json=MODEL)

    for name in ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    registry(answer).model("churn")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "anna")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "x")
    registry(answer).model("churn")
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t")
    registry(answer).model("churn")
    assert seen == [None, "Basic YW5uYTp4", "Bearer t"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (httpx.Response(404, json={"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no churn"}), "no churn"),
        (httpx.Response(502, text="<html>"), "answers, but not as MLflow does (status 502)"),
        (httpx.Response(500, json={"detail": "x"}), "MLflow refuses: {'detail': 'x'}"),
        (httpx.Response(200, json=["x"]), "answers, but not as MLflow does (status 200)"),
        (httpx.Response(200, json={}), "answers, but not as MLflow does (status 200)"),
    ],
)
def test_what_goes_wrong_is_one_line(answer: httpx.Response, told: str) -> None:
    """MLflow's own message where it has one."""
    with pytest.raises(CommandError) as caught:
        registry(lambda _: answer).model("churn")
    assert told in str(caught.value)


def test_no_answer_says_where_another_is_named() -> None:
    """The address that was tried, and the two ways to give another."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(CommandError, match=r"no answer from MLflow at http://mlflow:5000 \(refused\).*--registry"):
        registry(refuse).model("churn")


def test_an_address_that_cannot_be_asked_is_refused() -> None:
    """A database's address is a registry for MLflow's own client only."""
    with pytest.raises(CommandError, match="give http://HOST:PORT by --registry"):
        Registry("sqlite:///mlflow.db")
