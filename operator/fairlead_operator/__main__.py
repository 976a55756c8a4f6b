"""`python -m fairlead_operator operate --config FILE | --standalone ...`: puts the parts together, and ends on SIGTERM
or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from fairlead_operator import log
from fairlead_operator.carrier import FileCarrier
from fairlead_operator.config import Config, read
from fairlead_operator.fleet import HttpFleet, address
from fairlead_operator.plan import Limits
from fairlead_operator.reconcile import Reconciler
from fairlead_operator.records import FileRecords
from fairlead_operator.registry import MlflowRegistry
from fairlead_operator.spec import DEFAULT_ALIAS, DEFAULT_HOLD_S, SpecFault, Tags
from fairlead_operator.standalone import Asking, Standalone
from fairlead_operator.state import CatalogConflict


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fairlead", description="The operator: it decides what is served.")
    operate = parser.add_subparsers(dest="command", required=True).add_parser(
        "operate", help="watch a registry, and keep a pool's catalog as its aliases say"
    )
    add = operate.add_argument
    add("--config", metavar="FILE", type=Path, help="on Kubernetes: operator.yaml, which says all the rest")
    add("--kubeconfig", metavar="FILE", type=Path, help="how to reach the cluster (default: as the pod it runs in)")
    add("--standalone", action="store_true", help="without Kubernetes: what follows is for this")
    add("--registry", metavar="URI", help="MLflow's tracking address (default: MLFLOW_TRACKING_URI)")
    add("--pool", metavar="ADDRESS", nargs="+", action="extend", help="control address of every replica, HOST:PORT")
    add("--catalog", metavar="FILE", type=Path, help="the stored catalog, which the replicas start from")
    add("--models-from", metavar="tags|DIR", default="tags", help="who asks: the registry's tags, or ServedModel files")
    add("--state-dir", metavar="DIR", type=Path, help="the rollouts' memory (default: beside the catalog)")
    add("--interval", metavar="SECONDS", type=_seconds, default=2.0, help="between polls of the registry (default: 2)")
    add("--hold", metavar="SECONDS", type=_seconds, default=DEFAULT_HOLD_S, help="an old version is kept warm so long")
    add("--limit", metavar="SECONDS", type=_seconds, default=600.0, help="a new version may make no progress so long")
    add("--installation", metavar="NAME", default="default", help="this installation's name, in catalogs and tags")
    add("--takeover", action="store_true", help="take over a catalog that another installation wrote")
    add("--token-file", metavar="F", type=Path, help="bearer token of the control APIs")
    add("--alias", metavar="NAME", default=DEFAULT_ALIAS, help="what a promotion moves (default: champion)")
    add("-v", "--verbose", action="store_true", help="log every tag written, too")
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e9:
        raise ValueError(text)
    return value


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return _operate(options)
    except (SpecFault, CatalogConflict, ValueError, OSError) as error:
        print(f"fairlead operate: {error}", file=sys.stderr)  # noqa: T201
        return 2


def _operate(options: argparse.Namespace) -> int:
    if options.config is not None:
        return _operate_cluster(options)
    if not options.standalone:
        raise ValueError("say --config FILE on Kubernetes, or --standalone without it")
    if not options.catalog:
        raise ValueError("name the file of the stored catalog with --catalog FILE")
    registry = _registry(options.registry or os.environ.get("MLFLOW_TRACKING_URI", ""))
    if not options.pool:
        raise ValueError("name the control address of each replica with --pool HOST:PORT")
    keys = Tags(options.installation)
    folder = None if options.models_from == "tags" else Path(options.models_from)
    if folder is not None and not folder.is_dir():
        raise ValueError(f"--models-from {folder} is no folder")
    log.configure(options.installation, options.verbose)
    catalog = options.catalog.absolute()
    catalog.parent.mkdir(parents=True, exist_ok=True)
    carrier = FileCarrier(catalog, options.installation, options.takeover)
    asyncio.run(carrier.read())
    records = FileRecords(options.state_dir or catalog.parent / f"{catalog.name}.operator")
    fleet = HttpFleet([address(text) for text in options.pool], options.token_file, options.takeover)
    reconciler = Reconciler(fleet, carrier, records, Limits(options.hold, options.limit), time.time())
    asking = Asking(keys, options.alias, folder)
    asyncio.run(_run(MlflowRegistry(registry, keys), asking, reconciler, records, options.interval, fleet))
    return 0


def _operate_cluster(options: argparse.Namespace) -> int:
    if options.standalone:
        raise ValueError("say --config FILE or --standalone, not both")
    config = read(options.config)
    if options.kubeconfig and not options.kubeconfig.is_file():
        raise ValueError(f"--kubeconfig {options.kubeconfig} is no file")
    uri = _registry(config.registry.uri or os.environ.get("MLFLOW_TRACKING_URI", ""))
    asyncio.run(_run_cluster(config, uri, str(options.kubeconfig) if options.kubeconfig else None, options.verbose))
    return 0


async def _run_cluster(config: Config, uri: str, kubeconfig: str | None, verbose: bool) -> None:
    # Imported here: without a cluster nobody waits for these libraries.
    from fairlead_operator.cluster.api import Api
    from fairlead_operator.cluster.operator import Operator

    api = await Api.connect(kubeconfig)
    registry = MlflowRegistry(uri, Tags(config.installation))
    operator = Operator(config, api, registry, kubeconfig)
    log.configure(f"{config.installation}/{operator.lease.identity}", verbose)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, operator.stop)
    await operator.run()


def _registry(uri: str) -> str:
    """MLflow silently uses a local database where it is told nothing: so it must be told."""
    if not uri:
        raise ValueError("name the registry with --registry URI (or MLFLOW_TRACKING_URI)")
    if "://" not in uri:
        raise ValueError(f"--registry {uri!r} is no address: write http://HOST:PORT, or sqlite:///FILE")
    if urlsplit(uri).scheme in ("http", "https") and not urlsplit(uri).hostname:
        raise ValueError(f"--registry {uri!r} names no host")
    return uri


async def _run(
    registry: MlflowRegistry,
    asking: Asking,
    reconciler: Reconciler,
    records: FileRecords,
    interval_s: float,
    fleet: HttpFleet,
) -> None:
    operator = Standalone(registry, asking, reconciler, records, interval_s)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, operator.stop)
    log.info("started", why="asked to", pool=list(fleet.addresses))
    try:
        await operator.run()
    finally:
        await fleet.close()
    log.info("ended", why="asked to")


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # A call to the registry may still hang on its thread: nobody waits for it.
    os._exit(status)
