"""The command lines and surroundings of the parts: MLflow, the pool, the operator.

Pure but for the environment it copies: what is started is said here, starting it is `up`'s.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from fairlead_cli.extras import program
from fairlead_cli.folder import Addresses, Folder

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Plan:
    """What the user chose. Ports are the first choice: the next free ones are taken otherwise."""

    data: Path
    engine: str = "ray"
    workers: int = 1
    pool_port: int = 8000  # the first of four: HTTP, gRPC, metrics, control
    mlflow_port: int = 5000


def plan(asked: argparse.Namespace, data: Path) -> Plan:
    """From the command line's arguments."""
    return Plan(data.absolute(), asked.engine, asked.workers, asked.pool_port, asked.mlflow_port)


def addresses(mlflow_port: int, pool_port: int) -> Addresses:
    """Where the parts are on these ports."""
    return Addresses(
        registry=f"http://{HOST}:{mlflow_port}",
        http=f"http://{HOST}:{pool_port}",
        grpc=f"{HOST}:{pool_port + 1}",
        metrics=f"http://{HOST}:{pool_port + 2}",
        control=f"http://{HOST}:{pool_port + 3}",
    )


def mlflow(folder: Folder, port: int) -> list[str]:
    """One worker: with SQLite more of them gain nothing, and each takes 0.3 GB."""
    return [
        *(sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder.mlflow / 'mlflow.db'}"),
        *("--artifacts-destination", str(folder.mlflow / "artifacts")),
    ]


def pool(folder: Folder, plan: Plan, first: int) -> list[str]:
    """A pool of one replica on the four ports from `first`."""
    ports = zip(
        ("--http-port", "--grpc-port", "--metrics-port", "--control-port"), range(first, first + 4), strict=True
    )
    return program(
        "serve",
        [
            *("--engine", plan.engine, "--workers", str(plan.workers), "--host", HOST),
            *("--catalog", str(folder.catalog), "--state-dir", str(folder.pool)),
            *(word for option, port in ports for word in (option, str(port))),
        ],
    )


def operator(folder: Folder, at: Addresses) -> list[str]:
    """The operator without a cluster, on this registry and this pool."""
    return program(
        "operate",
        [
            *("--standalone", "--registry", at.registry, "--pool", at.control),
            *("--catalog", str(folder.catalog), "--state-dir", str(folder.operator)),
        ],
    )


def environment(ray_folder: Path) -> dict[str, str]:
    """What all parts inherit: nothing reports home, loopback goes through no proxy, and Ray keeps to its own folder."""
    inherited = dict(os.environ)
    around = ",".join(filter(None, (inherited.get("NO_PROXY", inherited.get("no_proxy", "")), HOST, "localhost")))
    inherited.pop("RAY_ADDRESS", None)  # a cluster that is there for something else
    return inherited | {
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": around,
        "no_proxy": around,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # 3.1 GB become 0.5 GB
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_raylet_start_wait_time_s": "110",  # a busy machine needs more than the usual 60
        "RAY_TMPDIR": str(ray_folder),
    }
