"""`serve`: the command line of the server. Faults of the user are one line and exit status 2.

serve --catalog FILE | --models DIR | model.onnx   [--engine ray|process] [--workers N] ...
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from fairlead_server.log import LEVELS
from fairlead_server.settings import Drain, ReplicaSettings
from fairlead_server.supervisor.blocks import StateTaken, default_state_dir
from fairlead_server.supervisor.reception import open_to_all
from fairlead_server.supervisor.sockets import LAST_PORT, PortTaken

BALANCER_S = 2.0
_PORTS = ("http_port", "grpc_port", "metrics_port", "control_port")
_DRAIN = Drain()
_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "ki": 2**10, "mi": 2**20, "gi": 2**30}


class Unusable(Exception):
    """What the user asked for cannot be done; the text says what to do instead."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Unusable(f"{message} (see --help)")


@dataclasses.dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    engine: str
    settings: ReplicaSettings
    replicas: int
    ray_address: str
    verbose: bool


def main(argv: Sequence[str]) -> int:
    try:
        request = read(argv)
        return _run(request)
    except (Unusable, PortTaken, StateTaken) as fault:
        if "-v" in argv or "--verbose" in argv:
            traceback.print_exc()
        sys.stderr.write(f"fairlead serve: {fault}\n")
        return 2


def _run(request: Request) -> int:
    if request.engine == "process":
        from fairlead_server.app.process import run

        return run(request.settings)
    try:
        from fairlead_server.app.ray_pool import run as run_pool
    except ImportError as fault:
        raise Unusable(f"Ray cannot be imported ({fault}): install it, or use --engine process") from fault
    return run_pool(request.settings, request.replicas, request.ray_address)


def read(argv: Sequence[str]) -> Request:
    """Raises Unusable; ends the process for --help."""
    found = _parser().parse_args(argv)
    if sum(map(bool, (found.catalog, found.models, found.model))) != 1:
        raise Unusable("say what to serve: --catalog FILE, --models DIR, or a model.onnx")
    if found.engine == "process" and (found.replicas != 1 or found.ray_address):
        raise Unusable("--replicas and --ray-address belong to --engine ray: this process is one replica")
    if found.workers < 1 or found.replicas < 1:
        raise Unusable("--workers and --replicas are at least 1")
    _check_numbers(found)
    settings = _settings(found)
    refused = open_to_all(settings)
    if refused:
        raise Unusable(refused)
    return Request(found.engine, settings, found.replicas, found.ray_address, found.verbose)


def _check_numbers(found: argparse.Namespace) -> None:
    ports = [getattr(found, name) for name in _PORTS]
    fixed = [port for port in ports if port]
    if not all(0 <= port <= LAST_PORT for port in ports):
        raise Unusable(f"a port is a number from 0 to {LAST_PORT}")
    if len(set(fixed)) < len(fixed):
        raise Unusable("the four ports are four different ones")
    if found.port_step < 0 or found.cores < 0:
        raise Unusable("--port-step and --cores are not negative")
    if not (math.isfinite(found.gpus) and found.gpus >= 0):
        raise Unusable("--gpus is a number, and not negative")
    if found.gpus and found.engine == "process":
        raise Unusable("--gpus belongs to --engine ray: this process sees what CUDA_VISIBLE_DEVICES leaves it")
    times = (found.drain_balancer or 0.0, found.drain_grace, found.drain_idle)
    if not all(math.isfinite(seconds) and seconds >= 0 for seconds in times):
        raise Unusable("--drain-balancer, --drain-grace and --drain-idle are seconds, and not negative")


def _settings(found: argparse.Namespace) -> ReplicaSettings:
    models = found.models or found.model
    if not found.state_dir:
        raise Unusable("--state-dir is empty: name a folder that outlives the process")
    if models and not Path(models).exists():
        raise Unusable(f"there is no {models}")
    if found.model and not found.model.endswith(".onnx"):
        raise Unusable(f"{found.model} is no .onnx file: give a folder with --models, or a catalog with --catalog")
    if found.control_token_file and not Path(found.control_token_file).is_file():
        raise Unusable(f"there is no token in {found.control_token_file}")
    return ReplicaSettings(
        state_dir=_absolute(found.state_dir),
        replica=found.replica,
        pool=found.pool,
        host=found.host,
        http_port=found.http_port,
        grpc_port=found.grpc_port,
        metrics_port=found.metrics_port,
        control_port=found.control_port,
        port_step=found.port_step,
        control_token_file=_absolute(found.control_token_file),
        catalog_file=_absolute(found.catalog),
        models=_absolute(models),
        workers=found.workers,
        cores=found.cores,
        memory_limit_bytes=found.memory_limit,
        gpus=found.gpus,
        gpu_memory_bytes=found.gpu_memory,
        log_level=found.log_level,
        drain=Drain(_balancer_s(found), found.drain_grace, found.drain_idle),
    )


def _balancer_s(found: argparse.Namespace) -> float:
    """A pool has several replicas, so something before it chooses among them, and needs time to see one leave."""
    if found.drain_balancer is not None:
        return float(found.drain_balancer)
    return BALANCER_S if found.engine == "ray" else _DRAIN.balancer_s


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute()) if path else ""


def size(text: str) -> int:
    """Bytes: 2147483648, 2Gi, 1500M."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKmMgG]?i?)B?", text)
    if match is None or match[2].lower() not in _UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write bytes, or 512Mi, 2Gi")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fairlead serve", description="Serve a catalog of models.")
    what = parser.add_argument_group("what to serve (one of these)")
    what.add_argument("model", nargs="?", default="", help="one .onnx file")
    what.add_argument("--catalog", default="", metavar="FILE", help="a catalog, watched; it may come later")
    what.add_argument("--models", default="", metavar="DIR", help="a folder of models, watched")
    how = parser.add_argument_group("how")
    how.add_argument("--engine", choices=("ray", "process"), default="ray", help="default: ray")
    how.add_argument("--workers", type=int, default=1, metavar="N", help="of each replica (default 1)")
    how.add_argument("--replicas", type=int, default=1, metavar="N", help="one to a Ray node (default 1)")
    how.add_argument("--ray-address", default="", metavar="ADDR", help="a running Ray; without it one is started")
    how.add_argument("--cores", type=int, default=0, metavar="N", help="for all workers together (default: all)")
    how.add_argument("--memory-limit", type=size, default=0, metavar="SIZE", help="default: the container's")
    how.add_argument("--gpus", type=float, default=0.0, metavar="N", help="of one replica on Ray, 0.5 for half of one")
    how.add_argument("--gpu-memory", type=size, default=0, metavar="SIZE", help="for sessions on a GPU (default: any)")
    how.add_argument("--pool", default="default", help="the pool's name")
    how.add_argument("--replica", default="", help="this replica's name (default: the host's)")
    how.add_argument("--state-dir", default=default_state_dir(), metavar="DIR", help="default: %(default)s")
    _add_ports(parser)
    parser.add_argument(
        "--drain-balancer", type=float, metavar="S", help="from not ready to the drain (default: 0; 2 on Ray)"
    )
    parser.add_argument("--drain-grace", type=float, default=_DRAIN.grace_s, metavar="S", help="default: 30")
    parser.add_argument("--drain-idle", type=float, default=_DRAIN.idle_s, metavar="S", help="default: 5")
    parser.add_argument("--log-level", choices=tuple(LEVELS), default="info")
    parser.add_argument("-v", "--verbose", action="store_true", help="show where a fault came from")
    return parser


def _add_ports(parser: argparse.ArgumentParser) -> None:
    ports = parser.add_argument_group("addresses (port 0: any free one)")
    ports.add_argument("--host", default="127.0.0.1")
    ports.add_argument("--http-port", type=int, default=8000)
    ports.add_argument("--grpc-port", type=int, default=8001)
    ports.add_argument("--metrics-port", type=int, default=8002)
    ports.add_argument("--control-port", type=int, default=8003)
    ports.add_argument(
        "--port-step", type=int, default=0, metavar="N", help="several replicas on this machine: N further for each"
    )
    ports.add_argument("--control-token-file", default="", metavar="FILE", help="needed beyond the loopback address")
