"""The KServe SDK's model server with ONNX Runtime behind it. Its batcher is a sidecar of its Kubernetes agent, for the
v1 protocol alone: here it has none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmark.environments import Environment
from benchmark.subject import Model, Wire
from benchmark.subjects.peer import SERVERS, Peer, server_flags

QUIET = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"all": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["all"], "level": "WARNING"},
    "loggers": {name: {"level": "WARNING"} for name in ("kserve", "kserve.trace", "uvicorn", "uvicorn.access")},
}


class KServe(Peer):
    name = "KServe SDK"
    settings = (
        "kserve 0.21.0, custom model after its Python runtime SDK's documents; one worker, run in the event loop, "
        "uvloop, latency and access log off; no batcher outside of Kubernetes"
    )
    protocols: frozenset[Wire] = frozenset({"json", "binary", "grpc"})

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch, Environment("kserve"))

    def command(self, base: int, models: Sequence[Model], threads: int, folder: Path) -> Sequence[str]:
        log = folder / "logging.json"
        log.write_text(json.dumps(QUIET))
        server = [str(self.environment.python), str(SERVERS / "kserve_server.py"), "--log_config_file", str(log)]
        return server + server_flags(base, models, threads)
