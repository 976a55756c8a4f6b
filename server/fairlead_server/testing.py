"""Fakes that sit on the same seams as the real parts. Tests use these, and no mocks.

Nothing that serves imports this module.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.inference import NO_TERMS, InferRequest, InferResponse, Tell, Terms
from fairlead_server.models.signature import Signature, TensorSpec
from fairlead_server.runtimes import RunFailure

Array = np.ndarray[Any, np.dtype[Any]]


class FakeService:
    """The seam of the worker's doors: answers every input as the output of the same name.

    One model, `MODEL`, in the versions "1" and "2" (alias "champion": "2"). What tests may set: how long an
    answer takes, an error to raise instead, whether it is ready.
    """

    MODEL = "digits 1.0"
    VERSIONS: ClassVar[dict[str, str]] = {"1": "1", "2": "2", "champion": "2"}

    def __init__(self, *, delay_s: float = 0.0, error: BaseException | None = None) -> None:
        self.delay_s = delay_s
        self.error = error
        self.is_ready = True
        self.requests: list[InferRequest] = []
        self.headers: Mapping[str, str] = {}
        self.terms = NO_TERMS
        self.cancelled = 0

    def live(self) -> bool:
        return True

    def ready(self) -> bool:
        return self.is_ready

    def server_metadata(self) -> dict[str, Any]:
        return {"name": "fairlead", "version": "0", "extensions": ["binary_tensor_data"]}

    def model_metadata(self, model: str, version: str | None) -> dict[str, Any]:
        tensor = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}
        return {
            "name": model,
            "versions": [self._version(model, version)],
            "platform": "onnxruntime_onnx",
            "inputs": [tensor],
            "outputs": [tensor],
        }

    def model_configuration(self, model: str, version: str | None) -> dict[str, Any]:
        self._version(model, version)
        tensor = {"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 4]}
        return {"name": model, "platform": "made_up", "max_batch_size": 0, "input": [tensor], "output": [tensor]}

    def model_ready(self, model: str, version: str | None) -> bool:
        return self.is_ready and bool(self._version(model, version))

    def submit(
        self,
        model: str,
        version: str | None,
        request: InferRequest,
        headers: Mapping[str, str],
        terms: Terms,
        tell: Tell,
    ) -> asyncio.Task[InferResponse]:
        self._version(model, version)
        task = asyncio.get_running_loop().create_task(self.infer(model, version, request, headers, terms))

        def done(_task: object) -> None:
            if not task.cancelled():
                tell(task.exception() or task.result())

        task.add_done_callback(done)
        return task

    async def infer(
        self,
        model: str,
        version: str | None,
        request: InferRequest,
        headers: Mapping[str, str],
        terms: Terms,
    ) -> InferResponse:
        answering = self._version(model, version)
        self.requests.append(request)
        self.headers, self.terms = headers, terms
        if self.error is not None:
            raise self.error
        try:
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        wanted = {output.name for output in request.outputs}
        outputs = [tensor for tensor in request.inputs if not wanted or tensor.name in wanted]
        return InferResponse(model, answering, request.id, outputs)

    def _version(self, model: str, version: str | None) -> str:
        if model != self.MODEL:
            raise ServingError(Kind.NOT_FOUND, f"no model is called {model!r}")
        if version is not None and version not in self.VERSIONS:
            raise ServingError(Kind.NOT_FOUND, f"model {model!r} has no version {version!r}")
        return self.VERSIONS[version or "1"]


class FakeSession:
    """The seam of the runtimes: one input "x" of rows of two numbers, one output "y" that holds `answer(x)`.

    What tests may set: how long a run takes, an answer of another kind, an example. A row that holds `POISON` fails its
    whole run, as a model does that cannot take one value. `runs` has the inputs' rows of every run, in start order.
    """

    POISON = -1.0
    SIGNATURE = Signature(
        (TensorSpec("x", "FP32", (-1, 2), ("rows", "")),),
        (TensorSpec("y", "FP32", (-1, 2), ("rows", "")),),
    )

    def __init__(
        self,
        *,
        delay_s: float = 0.0,
        answer: Callable[[Array], Array] = lambda x: x * 2,
        example: dict[str, Array] | None = None,
        signature: Signature = SIGNATURE,
    ) -> None:
        self.signature = signature
        self.example = example
        self.notes: tuple[str, ...] = ()
        self.delay_s = delay_s
        self.answer = answer
        self.runs: list[Array] = []
        self.closed = False

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        x = inputs["x"]
        self.runs.append(x)
        if self.delay_s:
            time.sleep(self.delay_s)
        if (x == self.POISON).any():
            raise RunFailure(Kind.REJECTED, "the model could not run on this input: poison")
        return {name: self.answer(x) for name in outputs}

    def close(self) -> None:
        self.closed = True
