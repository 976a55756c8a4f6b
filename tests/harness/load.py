"""Open-loop load on both protocols, from unmodified clients, in a process of its own.

    python tests/harness/load.py PLAN.json OUT.json

The plan (see `Plan`) names the replicas' addresses, the rate and the expected answers. Requests start
at fixed times, whatever the earlier ones do; latency counts from the time a request was due. The
client spreads over the addresses and leaves one that is not ready, as a Kubernetes Service would
(readiness is asked of the metrics port every 100 ms; an address without one is a Service already).
Ends when standard input ends, finishes what is under way, and writes one record for each request.

A request is lost when the client saw an error of any kind; it is wrong when the answer differs from
what the version that it names answers by itself.
"""

import asyncio
import dataclasses
import json
import sys
import time
from typing import Any

import grpc
import httpx
import numpy as np
import tritonclient.grpc.aio as triton_grpc
import tritonclient.http.aio as triton_http
from retry_policy import RETRY_POLICY


@dataclasses.dataclass
class Plan:
    """`replicas`: base addresses {"http": "host:port", "grpc": ..., "metrics": ...}, with a "client" where several
    kept clients call one address. `inputs`: rows of
    the one FP32 input `input`; `expected`: version -> the output row of each input row. `kinds`: which
    of http, http-new, grpc, grpc-new, grpc-retry run, each at `rate` requests a second."""

    replicas: list[dict[str, str]]
    model: str
    input: str
    output: str
    inputs: list[list[float]]
    expected: dict[str, list[list[float]]]
    kinds: list[str]
    rate: float = 50.0
    tolerance: float = 1e-4
    timeout_s: float = 15.0


class Readiness:
    """Which replicas a balancer would send to now."""

    def __init__(self, plan: Plan) -> None:
        self.ready: list[dict[str, str]] = []
        self.returns: dict[str, int] = {}  # how often a replica became ready: a balancer's connections end with it
        self._all = plan.replicas
        self._turn = 0

    async def watch(self, seen: asyncio.Event) -> None:
        async with httpx.AsyncClient(timeout=1.0) as client:
            while True:
                ready = [replica for replica in self._all if await self._is_ready(client, replica)]
                for replica in ready:
                    if replica not in self.ready:
                        self.returns[replica["http"]] = self.returns.get(replica["http"], 0) + 1
                self.ready = ready
                seen.set()
                await asyncio.sleep(0.1)

    async def _is_ready(self, client: httpx.AsyncClient, replica: dict[str, str]) -> bool:
        if "metrics" not in replica:
            return True
        try:
            answer = await client.get(f"http://{replica['metrics']}/readyz")
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    def next(self) -> dict[str, str]:
        # A Service without a ready endpoint refuses; a client would retry elsewhere: take any.
        candidates = self.ready or self._all
        self._turn += 1
        return candidates[self._turn % len(candidates)]


class Caller:
    """One kind of client. Kept clients are one for each replica; new ones are made for each request."""

    def __init__(self, plan: Plan, kind: str) -> None:
        self.plan = plan
        self.kind = kind
        self.protocol = kind.partition("-")[0]
        self.api = triton_http if self.protocol == "http" else triton_grpc
        self._kept: dict[tuple[str, str, int], Any] = {}

    def _open(self, address: str) -> Any:
        if self.protocol == "http":
            return triton_http.InferenceServerClient(address, conn_limit=32, conn_timeout=self.plan.timeout_s)
        retry = self.kind == "grpc-retry"
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", int(retry))]
        if retry:
            options.append(("grpc.service_config", json.dumps(RETRY_POLICY)))
        return triton_grpc.InferenceServerClient(address, channel_args=options)

    async def call(self, replica: dict[str, str], row: int, returns: int) -> tuple[str, list[float]]:
        """The version that answered, and its output row. `returns`: how often that replica came back."""
        address = replica[self.protocol]
        kept = (address, replica.get("client", ""), returns)
        values = np.array([self.plan.inputs[row]], dtype=np.float32)
        tensor = self.api.InferInput(self.plan.input, list(values.shape), "FP32")
        tensor.set_data_from_numpy(values)
        fresh = self.kind in ("http-new", "grpc-new", "grpc-retry")
        client = self._open(address) if fresh else self._kept.get(kept)
        if client is None:
            client = self._kept[kept] = self._open(address)
        try:
            timeout = {"client_timeout": self.plan.timeout_s} if self.protocol == "grpc" else {}
            result = await client.infer(self.plan.model, [tensor], **timeout)
        finally:
            if fresh:
                await client.close()
        response = result.get_response()
        version = response["model_version"] if self.protocol == "http" else response.model_version
        return version, result.as_numpy(self.plan.output)[0].tolist()

    async def close(self) -> None:
        for client in self._kept.values():
            await client.close()


class Run:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.readiness = Readiness(plan)
        self.records: list[dict[str, Any]] = []
        self.stop = asyncio.Event()

    async def one(self, caller: Caller, number: int, due: float) -> None:
        row = number % len(self.plan.inputs)
        replica = self.readiness.next()
        record: dict[str, Any] = {"kind": caller.kind, "replica": replica["http"], "due": due}
        try:
            returns = self.readiness.returns.get(replica["http"], 0)
            call = caller.call(replica, row, returns)
            version, values = await asyncio.wait_for(call, self.plan.timeout_s)
        except (Exception, asyncio.CancelledError) as error:  # whatever the client shows is what was lost
            record["error"] = describe(error)
        else:
            expected = self.plan.expected.get(version)
            near = expected is not None and np.allclose(
                values, expected[row], rtol=self.plan.tolerance, atol=self.plan.tolerance
            )
            record |= {"version": version, "wrong": not near}
        record["done"] = time.time()
        self.records.append(record)

    async def feed(self, kind: str, offset: float) -> None:
        caller = Caller(self.plan, kind)
        tasks: set[asyncio.Task[None]] = set()
        start = time.time() + offset
        number = 0
        while not self.stop.is_set():
            due = start + number / self.plan.rate
            await asyncio.sleep(max(0.0, due - time.time()))
            task = asyncio.create_task(self.one(caller, number, due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
        if tasks:
            await asyncio.wait(tasks, timeout=self.plan.timeout_s + 1)
        await caller.close()

    async def run(self) -> None:
        seen = asyncio.Event()
        watcher = asyncio.create_task(self.readiness.watch(seen))
        await seen.wait()
        ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        ended.add_done_callback(lambda _: self.stop.set())
        print("started", flush=True)
        gap = 1 / self.plan.rate / len(self.plan.kinds)
        await asyncio.gather(*(self.feed(kind, i * gap) for i, kind in enumerate(self.plan.kinds)))
        watcher.cancel()


def describe(error: BaseException) -> str:
    code = error.code().name if isinstance(error, grpc.RpcError) else ""
    return f"{type(error).__name__} {code} {error}"[:300]


def main() -> None:
    with open(sys.argv[1]) as file:
        plan = Plan(**json.load(file))
    run = Run(plan)
    asyncio.run(run.run())
    with open(sys.argv[2], "w") as file:
        json.dump(run.records, file)


if __name__ == "__main__":
    main()
