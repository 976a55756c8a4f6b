"""The engine `ray`: a pool as one deployment of Ray Serve. The only file with ray.

Serve owns the replicas (placement, health, restarts, replacement); each is an actor that runs a supervisor on a
thread of its own, and serves the pool's own ports. Requests do not pass through Serve, whose proxy is off.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from typing import Any

import msgspec

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told that this pool exists
# Ray runs actors at the nice value 15. A replica's children would inherit it, and then neither runs nor loads could
# stand below the loop that answers everybody: nothing that is lower already is raised.
os.environ.setdefault("RAY_worker_niceness", "0")

import ray
from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

from fairlead_server.app.aside import Aside
from fairlead_server.app.process import addresses
from fairlead_server.app.scaling import Span
from fairlead_server.settings import ReplicaSettings

CATALOG_S = 120.0  # a catalog that is on the way has so long to come
HEALTH_PERIOD_S = 2.0
HEALTH_TIMEOUT_S = 10.0
MARGIN_S = 10.0  # between a drain's own limits and Serve's patience
OBJECT_STORE_BYTES = 100 * 2**20  # the least that Ray takes: nothing is stored there
POLL_S = 0.5


class Replica:
    """The actor. `settings` is ReplicaSettings as JSON."""

    def __init__(self, settings: str) -> None:
        wanted = msgspec.json.decode(settings, type=ReplicaSettings)
        self._aside = Aside(msgspec.structs.replace(wanted, replica=wanted.replica or _node_name()))
        self._aside.start()
        # It counts as started when it is ready, however long that takes: then Serve replaces the next one, and KubeRay
        # takes the old cluster away. Serve has no limit of its own for this, and asks for no health before it ends.
        self._aside.wait_ready(CATALOG_S)

    def reconfigure(self, config: Mapping[str, Any]) -> None:
        self._aside.reconfigure(config)

    def check_health(self) -> None:
        dead = self._aside.dead()
        if dead:
            raise RuntimeError(dead)

    async def record_autoscaling_stats(self) -> dict[str, float]:
        return await self._aside.usage()

    async def __del__(self) -> None:
        await self._aside.leave()


def _node_name() -> str:
    """The same for every actor on this node, and another on the next node of the same machine."""
    return f"{socket.gethostname()}-{ray.get_runtime_context().get_node_id()[:8]}"


def application(settings: ReplicaSettings, replicas: int | Span) -> Any:
    """The deployment, for `serve.run` and for a RayService's `import_path` alike."""
    drain = settings.drain
    deployment = serve.deployment(Replica).options(
        name="Pool",
        **_number(replicas),
        max_replicas_per_node=1,
        # Ray names the GPUs that are the actor's in CUDA_VISIBLE_DEVICES, which its children inherit
        ray_actor_options={"num_cpus": settings.cores or 1, "num_gpus": settings.gpus},
        health_check_period_s=HEALTH_PERIOD_S,
        health_check_timeout_s=HEALTH_TIMEOUT_S,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=drain.balancer_s + drain.grace_s + MARGIN_S,
    )
    return deployment.bind(msgspec.json.encode(settings).decode())


def _number(replicas: int | Span) -> dict[str, Any]:
    """Serve's own delays (30 s up, 10 min down) are none: the policy knows when. Serve sets the pool to
    `initial_replicas` at a first deployment, and at each one that changes anything."""
    if isinstance(replicas, int):
        return {"num_replicas": replicas}
    policy = AutoscalingPolicy(
        policy_function="fairlead_server.app.scaling:Scaling", policy_kwargs=dataclasses.asdict(replicas.targets)
    )
    return {
        "autoscaling_config": AutoscalingConfig(
            min_replicas=replicas.least,
            initial_replicas=replicas.first,
            max_replicas=replicas.most,
            metrics_interval_s=replicas.look_s,
            look_back_period_s=2 * replicas.look_s,
            upscale_delay_s=0.0,
            downscale_delay_s=0.0,
            policy=policy,
        )
    }


def run(settings: ReplicaSettings, replicas: int, address: str) -> int:
    """The driver: until a signal, which drains the replicas and ends what was started here."""
    _connect(address)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    name = f"fairlead-{settings.pool}"
    ours = not _serve_runs()
    try:
        serve.start(proxy_location="Disabled")
        pool = serve.RunTarget(application(settings, replicas), name=name, route_prefix=None)
        serve.run_many([pool], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)
        if not _wait_running(name, stop):
            return 2
        if not stop.is_set():
            _tell(settings, replicas)
        stop.wait()
        return 0
    finally:
        _shut_down(name, ours)


def _connect(address: str) -> None:
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    quiet = {"log_to_driver": False, "logging_level": "error"}  # the actors' lines are in Ray's own session folder
    if address:
        ray.init(address=address, **quiet)
    else:
        ray.init(
            address="local",
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            **quiet,
        )


def _serve_runs() -> bool:
    try:
        return serve.context._get_global_client(raise_if_no_controller_running=False) is not None
    except Exception:
        return False


def _wait_running(name: str, stop: threading.Event) -> bool:
    """Tell where the pool answers once Serve says that it runs. False when it will not."""
    while not stop.wait(POLL_S):
        status = serve.status().applications.get(name)
        if status is None:
            continue
        if status.status == "DEPLOY_FAILED":
            sys.stderr.write(f"fairlead serve: the pool cannot be started: {_last_line(status)}\n")
            return False
        if status.status == "RUNNING":
            return True
    return True


def _tell(settings: ReplicaSettings, replicas: int) -> None:
    """Where the replicas of this machine answer; on other machines it is the same ports."""
    names = ("http_port", "grpc_port", "metrics_port", "control_port")
    for index in range(replicas if settings.port_step else 1):
        shift = index * settings.port_step
        moved = {name: getattr(settings, name) + shift for name in names}
        sys.stdout.write(addresses(msgspec.structs.replace(settings, **moved)))
    sys.stdout.flush()


def _last_line(status: Any) -> str:
    messages = [status.message, *(held.message for held in status.deployments.values())]
    lines = [line for message in messages for line in message.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "Ray Serve does not say why"


def _shut_down(name: str, ours: bool) -> None:
    """A second signal ends it at once: the actors' children end with them."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(1))
    serve.delete(name)
    if ours:
        serve.shutdown()
    ray.shutdown()
