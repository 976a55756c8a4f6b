from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from fairlead_cli import models
from fairlead_cli.errors import CommandError

STATUS: dict[str, Any] = {
    "replica": "node-1",
    "generation": 7,
    "applied": 6,
    "ready": True,
    "draining": False,
    "conditions": {"DiskFull": "no room for the model cache"},
    "models": {
        "digits": {
            "applied": 6,
            "route": {"9": 1.0, "10": 3.0},
            "reason": "the last good entry is in effect",
            "versions": {
                "10": {"state": "ready", "since": 0},
                "9": {"state": "ready", "since": 0},
                "11": {"state": "failed", "since": 0, "reason": "the file is damaged"},
            },
        }
    },
}


def pool(routes: dict[str, httpx.Response]) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        return routes.get(f"{request.method} {request.url.path}", httpx.Response(404))

    return httpx.MockTransport(answer)


def test_a_status_becomes_a_row_for_each_version() -> None:
    """In order of number, with the share of the requests and the reason."""
    shown = models.show("h:8003", transport=pool({"GET /control/status": httpx.Response(200, json=STATUS)}))
    head, condition, *lines = shown.splitlines()
    assert head == "node-1: ready, generation 7, applied 6"
    assert condition == "DiskFull: no room for the model cache"
    cells = [line.split() for line in lines[1:]]
    assert [(row[1], row[2]) for row in cells] == [("9", "ready"), ("10", "ready"), ("11", "failed")]
    assert "25%" in lines[1]
    assert "75%" in lines[2]
    assert lines[3].endswith("the file is damaged")
    assert lines[2].endswith("the last good entry is in effect")


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"ready": False}, "not ready"), ({"draining": True}, "draining"), ({"models": {}}, "no models")],
)
def test_the_state_of_the_replica_is_told(changes: dict[str, Any], word: str) -> None:
    """Not ready, draining, and a pool without models."""
    shown = models.show("h", transport=pool({"GET /control/status": httpx.Response(200, json=STATUS | changes)}))
    assert word in shown


def test_a_v2_address_tells_what_its_index_has() -> None:
    """Where there is no control API the repository index is asked."""
    index = [{"name": "digits", "version": "2", "state": "READY"}]
    shown = models.show(
        "http://h:8000/", transport=pool({"POST /v2/repository/index": httpx.Response(200, json=index)})
    )
    assert shown.splitlines()[1].split() == ["digits", "2", "READY"]


def test_a_token_is_sent_from_its_file(tmp_path: Path) -> None:
    """The control API of a pool beyond loopback wants one."""
    file = tmp_path / "token"
    file.write_text("secret\n")

    def answer(request: httpx.Request) -> httpx.Response:
        good = request.headers.get("authorization") == "Bearer secret"
        return httpx.Response(200, json=STATUS) if good else httpx.Response(401)

    assert "digits" in models.show("h", file, httpx.MockTransport(answer))
    with pytest.raises(CommandError, match="--token-file"):
        models.show("h", None, httpx.MockTransport(answer))
    with pytest.raises(CommandError, match="cannot read the token"):
        models.show("h", tmp_path / "none", httpx.MockTransport(answer))


def _broken(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda _: httpx.Response(404), "is no pool's control address"),
        (lambda _: httpx.Response(200, text="<html>"), "answers, but not as a pool does"),
        (lambda _: httpx.Response(200, json={"a": 1}), "answers, but not as a pool does"),
        (_broken, "no answer from http://h/control/status (refused)"),
    ],
)
def test_what_is_no_pool_is_told(answer: Callable[[httpx.Request], httpx.Response], told: str) -> None:
    """One line that names the address."""
    with pytest.raises(CommandError) as caught:
        models.show("h", transport=httpx.MockTransport(answer))
    assert told in str(caught.value)
