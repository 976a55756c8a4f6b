"""`fairlead models`: which models a pool serves, from its control address or, with less to tell, its v2 address."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from fairlead_cli.errors import CommandError
from fairlead_cli.tables import ago, table

_Row = tuple[str, str, str, str, str, str]
_HEADS = ("MODEL", "VERSION", "STATE", "FOR", "ROUTE", "WHY")


def show(address: str, token_file: Path | None = None, transport: httpx.BaseTransport | None = None) -> str:
    """The table, and a line on the replica where something is to be said of it."""
    base = (address if "://" in address else f"http://{address}").rstrip("/")
    with httpx.Client(timeout=10.0, transport=transport, headers=_token(token_file)) as client:
        answer = _ask(client, "GET", f"{base}/control/status")
        if answer.status_code in (401, 403):
            raise CommandError(f"{base} wants the control API's token: name its file by --token-file")
        if answer.status_code == 200:
            return _read(answer, base, _from_status)
        index = _ask(client, "POST", f"{base}/v2/repository/index", json={})
        if index.status_code == 200:
            return _read(index, base, _from_index)
    raise CommandError(f"{base} is no pool's control address (port 8003 as a rule): it answers {answer.status_code}")


def rows(status: dict[str, Any]) -> Iterator[_Row]:
    """One row for each version of a status document."""
    for model, told in sorted(status.get("models", {}).items()):
        weights = told.get("route", {})
        total = sum(weights.values()) or 1.0
        for version, at in sorted(told.get("versions", {}).items(), key=_by_number):
            share = weights.get(version, 0.0) / total
            why = at.get("reason") or (told.get("reason", "") if share else "")
            yield (model, version, at["state"], ago(at["since"]), f"{share:.0%}" if share else "-", why)


def _from_status(status: dict[str, Any]) -> str:
    state = "draining" if status.get("draining") else "ready" if status.get("ready") else "not ready"
    head = f"{status['replica']}: {state}, generation {status['generation']}, applied {status['applied']}\n"
    conditions = "".join(f"{name}: {text}\n" for name, text in sorted(status.get("conditions", {}).items()))
    lines = list(rows(status))
    return head + conditions + (table(_HEADS, lines) if lines else "no models yet\n")


def _from_index(index: list[dict[str, Any]]) -> str:
    lines = [(entry["name"], str(entry.get("version", "")), str(entry.get("state", ""))) for entry in index]
    return table(_HEADS[:3], sorted(lines)) if lines else "no models yet\n"


def _by_number(entry: tuple[str, Any]) -> tuple[int, str]:
    return (int(entry[0]) if entry[0].isdecimal() else -1, entry[0])


def _ask(client: httpx.Client, method: str, url: str, **body: Any) -> httpx.Response:
    try:
        return client.request(method, url, **body)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CommandError(
            f"no answer from {url} ({error or type(error).__name__}): --pool names the address"
        ) from error


def _read(answer: httpx.Response, base: str, shown: Callable[[Any], str]) -> str:
    try:
        return shown(answer.json())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommandError(f"{base} answers, but not as a pool does") from error


def _token(file: Path | None) -> dict[str, str]:
    name = file or os.environ.get("FAIRLEAD_CONTROL_TOKEN_FILE")
    if not name:
        return {}
    try:
        return {"Authorization": f"Bearer {Path(name).read_text().strip()}"}
    except OSError as error:
        raise CommandError(f"cannot read the token in {name}: {error.strerror}") from error
