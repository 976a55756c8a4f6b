"""`fairlead up`: MLflow, a pool and the operator on this machine, from start to end.

    take the data folder -> choose ports -> start MLflow and the pool -> MLflow answers: start the operator -> ready
    the end, by whatever cause: operator -> pool (it drains) -> MLflow

Each part is a `Part` with a session of its own, so that Ctrl-C reaches only this process, which ends the others
in order. This module must not know what the parts say to each other.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TypeVar

import httpx

from fairlead_cli import parts, ports, ray_folder, rollouts
from fairlead_cli.errors import CommandError, Interrupted
from fairlead_cli.extras import require
from fairlead_cli.folder import Addresses, Folder
from fairlead_cli.interrupts import Interrupts
from fairlead_cli.processes import Part
from fairlead_cli.progress import Progress, Voice

_T = TypeVar("_T")

_START_S = 120.0  # for a part to answer
_GRACE_S = {"MLflow": 5.0, "the operator": 10.0, "the pool": 45.0}  # the pool answers what it has accepted
_POLL_S = 0.1


class Up:
    """The running parts; a context manager that ends them. Waits stop when a part dies or the user wants an end.

    It is entered when MLflow answers; `ready` waits for the others, and can wait until there is nothing else to do.
    """

    def __init__(self, plan: parts.Plan, interrupts: Interrupts, voice: Voice) -> None:
        self.folder = Folder(plan.data)
        self._plan = plan
        self._interrupts = interrupts
        self.voice = voice
        self._parts: list[Part] = []
        self._ending: set[Part] = set()
        self._kept = ExitStack()  # the lock, the ports, Ray's folder: given back when the parts are gone
        self.at: Addresses
        self.environment: dict[str, str]

    def __enter__(self) -> Up:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def ready(self) -> None:
        """Waits until the pool answers and the operator sees the registry, and tells other commands the addresses."""
        self.wait("the pool to answer", lambda: self.answers(f"{self.at.control}/control/status"), _START_S)
        self.wait("the operator to see the registry", self._operating, _START_S)
        self._kept.callback(self.folder.forget)
        self.folder.tell(self.at)

    def start(self, name: str, command: Sequence[str], *, grace_s: float = 5.0, ends: bool = False) -> Part:
        """Starts one more process that lives no longer than this one; its log is `logs/NAME.log`.

        `ends`: it does its work and ends, see `finished`; any other part that ends is a fault.
        """
        log = self.folder.logs / f"{name.split()[-1].lower()}.log"
        part = Part(name, command, log, environment=self.environment, grace_s=grace_s, hold=self._lock)
        self._parts.append(part)
        if ends:
            self._ending.add(part)
        return part

    def end(self, part: Part) -> None:
        """Ends one part before the others."""
        self._parts.remove(part)
        asked_before, began = self._interrupts.count, time.monotonic()
        progress = Progress(f"ending {part.name} (log: {part.log})", self.voice)

        def waiting(passed_s: float) -> bool:
            progress.tick(passed_s)
            return self._interrupts.count > asked_before

        part.end(waiting)
        progress.done()
        self.voice.say(f"ended {part.name} ({time.monotonic() - began:.1f} s)")

    def finished(self, part: Part) -> bool:
        """Whether a part that does its work and ends has ended well (any other end is `check`'s)."""
        if part.status() != 0:
            return False
        self._parts.remove(part)
        return True

    def wait(self, what: str, probe: Callable[[], _T | None], limit_s: float) -> _T:
        """Calls `probe` until it gives something, and says so while it takes long."""
        progress = Progress(f"waiting for {what}", self.voice)
        began = time.monotonic()
        try:
            while (found := probe()) is None:
                self.check()
                passed_s = time.monotonic() - began
                if passed_s > limit_s:
                    raise CommandError(f"waited {limit_s:.0f} s for {what}; the logs are in {self.folder.logs}")
                progress.tick(passed_s)
                time.sleep(_POLL_S)
            return found
        finally:
            progress.done()

    def check(self) -> None:
        """Raises when the user wants an end, or a part has ended unasked."""
        self._interrupts.check()
        for part in self._parts:
            status = part.status()
            if status is not None and not (status == 0 and part in self._ending):
                self._parts.remove(part)
                raise CommandError(
                    f"{part.name} ended by itself (status {status}); the end of {part.log}:", details=part.tail()
                )

    def answers(self, url: str) -> bool | None:
        """True when `url` answers 200, None otherwise: a probe for `wait`."""
        try:
            return self._client.get(url).status_code == 200 or None
        except httpx.HTTPError:
            return None

    def _start(self) -> None:
        require("server", "operator")
        self._lock = self.folder.hold()
        self._kept.callback(os.close, self._lock)
        mlflow_ports = ports.reserve(self._plan.mlflow_port, 1, parts.HOST)
        self._kept.callback(mlflow_ports.close)
        pool_ports = ports.reserve(self._plan.pool_port, 4, parts.HOST)
        self._kept.callback(pool_ports.close)
        self._tell_ports(mlflow_ports, pool_ports)
        self.environment = parts.environment(ray_folder.make(self.folder.ray))
        self._kept.callback(ray_folder.close, self.folder.ray)
        self.at = parts.addresses(mlflow_ports.first, pool_ports.first)
        self._client = self._kept.enter_context(httpx.Client(timeout=2.0, trust_env=False))

        self._start_part("MLflow", parts.mlflow(self.folder, mlflow_ports.first))
        self._start_part("the pool", parts.pool(self.folder, self._plan, pool_ports.first))
        self.wait("MLflow to answer", lambda: self.answers(f"{self.at.registry}/health"), _START_S)
        self._operator_began = time.time()
        self._start_part("the operator", parts.operator(self.folder, self.at))

    def _operating(self) -> bool | None:
        """True once this operator has had a whole answer of the registry."""
        try:
            seen = rollouts.read(self.folder.operator)["registry"]["seen"]
        except (CommandError, KeyError):
            return None
        return (seen is not None and seen >= self._operator_began) or None

    def _start_part(self, name: str, command: Sequence[str]) -> None:
        part = self.start(name, command, grace_s=_GRACE_S[name])
        self.voice.say(f"started {name} (log: {part.log})")

    def _tell_ports(self, *reserved: ports.Reserved) -> None:
        for block in reserved:
            if not block.usual:
                last = f"-{block.first + block.count - 1}" if block.count > 1 else ""
                self.voice.say(f"the usual ports are taken: using {block.first}{last}")

    def _end(self) -> None:
        with self._kept:
            for part in self._parts[::-1]:
                self.end(part)


def run(plan: parts.Plan) -> int:
    """`fairlead up`: starts all, stays until Ctrl-C."""
    voice = Voice(sys.stdout)
    with Interrupts() as interrupts:
        try:
            with Up(plan, interrupts, voice) as up:
                up.ready()
                voice.say(welcome(up.at, up.folder))
                while True:
                    up.check()
                    time.sleep(_POLL_S)
        except Interrupted:
            voice.say(f"the data stays in {plan.data}")
            return 0


def welcome(at: Addresses, folder: Folder) -> str:
    """The addresses, and three commands to try."""
    return f"""
MLflow   {at.registry}
HTTP     {at.http}   (Open Inference Protocol, v2)
gRPC     {at.grpc}          (the same)
metrics  {at.metrics}/metrics
control  {at.control}/control/status
data     {folder.root}   (logs in logs/)

Register a model in MLflow as ONNX, tag it fairlead.serve=true, then try:
  fairlead promote NAME VERSION --registry {at.registry}
  fairlead models --pool {at.control}
  curl {at.http}/v2/models/NAME

Ctrl-C ends all of it."""
