"""The KServe SDK's model server with a predictor of ONNX Runtime, written as its documents show a custom model."""

from __future__ import annotations

import asyncio
from typing import Any

import uvloop
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve import model_server as sdk
from kserve.utils.utils import generate_uuid
from session import DATATYPES, OnnxModel, Spec, arguments, opened


class Predictor(Model):
    """Runs in the event loop: a hop to a thread would cost a small model more than its run."""

    def __init__(self, model: OnnxModel) -> None:
        super().__init__(model.name)
        self._model = model
        self.enable_latency_logging = False
        self.ready = True

    async def predict(
        self, payload: InferRequest, headers: dict[str, str] | None = None, response_headers: Any = None
    ) -> InferResponse:
        values = self._model.run({one.name: one.as_numpy() for one in payload.inputs})
        pairs = zip(self._model.outputs, values, strict=True)
        outputs = [told(spec, value, in_grpc=payload.from_grpc) for spec, value in pairs]
        return InferResponse(
            response_id=payload.id or generate_uuid(),  # the SDK answers no request without one
            model_name=self.name,
            infer_outputs=outputs,
            from_grpc=payload.from_grpc,
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )


def told(spec: Spec, value: Any, *, in_grpc: bool) -> InferOutput:
    """An array is left to the SDK, which knows whether it goes into the JSON or behind it; to gRPC it has to be set."""
    kind = {"name": spec.name, "shape": list(value.shape), "datatype": DATATYPES[spec.dtype]}
    output = InferOutput(**kind, data=None if in_grpc else value)
    if in_grpc:
        output.set_data_from_numpy(value)
    return output


def main() -> None:
    parser = arguments()
    parser.add_argument("--log_config_file")  # read by the SDK itself
    found = parser.parse_args()
    assert sdk.args.log_config_file == found.log_config_file
    # The SDK's own `--event-loop auto` does not reach the loop that it runs in.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.set_event_loop(asyncio.new_event_loop())  # which the SDK looks for before it runs its own
    server = ModelServer(http_port=found.http_port, grpc_port=found.grpc_port, workers=1, enable_latency_logging=False)
    server.start([Predictor(model) for model in opened(found)])


if __name__ == "__main__":
    main()
