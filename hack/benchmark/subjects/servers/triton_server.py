"""Triton's own server, started by pytriton, with its Python back end: an inference callable for each model."""

from __future__ import annotations

import os
import signal
import sysconfig
from collections.abc import Callable
from typing import Any

from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig
from session import MAX_BATCH_SIZE, OnnxModel, Spec, arguments, as_bytes, opened


def main() -> None:
    parser = arguments()
    parser.add_argument("--metrics_port", type=int, required=True)
    found = parser.parse_args()
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=found.http_port,
        grpc_address="127.0.0.1",
        grpc_port=found.grpc_port,
        metrics_address="127.0.0.1",
        metrics_port=found.metrics_port,
        allow_gpu_metrics=False,
    )
    how = ModelConfig(max_batch_size=MAX_BATCH_SIZE, batcher=DynamicBatcher())
    # Triton's stub is linked to libpython, which has to be this interpreter's.
    os.environ["LD_LIBRARY_PATH"] = sysconfig.get_config_var("LIBDIR")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # else its workspace would be left
    with Triton(config=config) as triton:
        for model in opened(found):
            inputs, outputs = [list(map(tensor, side)) for side in (model.inputs, model.outputs)]
            triton.bind(model.name, callable_of(model), inputs=inputs, outputs=outputs, config=how)
        triton.serve()


def tensor(spec: Spec) -> Any:
    """Triton has no output of rows alone: such a one is [rows, 1]."""
    dtype = bytes if spec.dtype is object else spec.dtype
    return Tensor(name=spec.name, dtype=dtype, shape=spec.shape or (1,))


def callable_of(model: OnnxModel) -> Callable[..., list[Any]]:
    @batch
    def infer(**inputs: Any) -> list[Any]:
        found = zip(model.outputs, model.run(inputs), strict=True)
        return [as_bytes(value) if spec.shape else as_bytes(value).reshape(-1, 1) for spec, value in found]

    return infer


if __name__ == "__main__":
    main()
