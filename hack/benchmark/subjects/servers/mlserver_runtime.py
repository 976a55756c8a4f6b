"""MLServer's custom runtime for an ONNX model, written as its documents show one: MLServer ships none for ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse
from session import OnnxModel


class OnnxRuntime(MLModel):
    async def load(self) -> bool:
        parameters = self.settings.parameters
        self._model = OnnxModel(self.name, parameters.uri, parameters.extra["threads"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        values = self._model.run({one.name: decoded(one) for one in payload.inputs})
        names = [spec.name for spec in self._model.outputs]
        outputs = [encoded(name, value) for name, value in zip(names, values, strict=True)]
        return InferenceResponse(id=payload.id, model_name=self.name, outputs=outputs)


def decoded(found: Any) -> Any:
    if found.datatype == "BYTES":
        return np.array(StringCodec.decode_input(found), dtype=object).reshape(found.shape)
    return NumpyCodec.decode_input(found)


def encoded(name: str, value: Any) -> Any:
    if value.dtype.kind == "O":
        return StringCodec.encode_output(name, value.ravel().tolist())
    return NumpyCodec.encode_output(name, value)
