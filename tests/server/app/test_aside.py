"""A supervisor on a thread of its own: how long its host waits for it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onnx_models import build_linear
from server.supervisor.replicas import settings

from fairlead_server.app.aside import Aside


@contextmanager
def started(state: Path, **more: Any) -> Iterator[Aside]:
    aside = Aside(settings(state, **more))
    aside.start()
    try:
        yield aside
    finally:
        asyncio.run(aside.leave())


def catalog(folder: Path) -> dict[str, Any]:
    build_linear(folder / "m" / "1" / "model.onnx")
    entry = {"versions": {"1": {"source": str(folder / "m" / "1")}}, "route": {"weights": {"1": 1.0}}}
    return {"apiVersion": "fairlead.dev/catalog/v1", "generation": 1, "models": {"m": entry}}


def test_a_catalog_is_waited_for_until_it_is_ready(tmp_path: Path) -> None:
    """However long that takes: a replica that counts as started is one that answers."""
    file = tmp_path / "catalog.json"
    file.write_text(json.dumps(catalog(tmp_path)))
    with started(tmp_path / "state", catalog_file=str(file)) as aside:
        while not aside._started.result().has_catalog:
            time.sleep(0.01)
        assert aside.wait_ready(0.0)


def test_no_catalog_is_not_waited_for(tmp_path: Path) -> None:
    """None is on its way; or one that cannot be read, which has its time."""
    with started(tmp_path / "state") as aside:
        assert not aside.wait_ready(60.0)
    file = tmp_path / "catalog.json"
    file.write_text("{")
    with started(tmp_path / "other", catalog_file=str(file)) as aside:
        start = time.monotonic()
        assert not aside.wait_ready(0.5)
        assert 0.5 <= time.monotonic() - start < 20.0


def test_a_replica_that_has_left_is_not_waited_for(tmp_path: Path) -> None:
    """Its host is to see that it ended."""
    with started(tmp_path / "state") as aside:
        asyncio.run(aside.leave())
        assert not aside.wait_ready(60.0)
