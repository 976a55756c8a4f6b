"""The program `fairlead_server` over an ONNX Runtime whose CUDA is the CPU: its children serve sessions "on a GPU".

    python fake_cuda.py worker|trial|fetcher ...     as `python -m fairlead_server` would be called

What fails is ONNX Runtime's part, with its words, and so from there upwards all is the real code. An input that holds
one of FAULTS fails its run with that error; LOST ones lose the device to the whole process, as CUDA's do. A run on the
CPU that is given HANG never returns.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

COMMAND = (sys.executable, str(Path(__file__)))
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
ILLEGAL_ADDRESS, ECC, OUT_OF_MEMORY, CUBLAS, HANG = -700.0, -214.0, -2.0, -13.0, -1.0
_PLACE = " ; GPU=0 ; hostname=node ; file=cuda_stream_handle.cc ; line=214 ; expr=cudaStreamSynchronize(stream); "
FAULTS = {
    ILLEGAL_ADDRESS: f"CUDA failure 700: an illegal memory access was encountered{_PLACE}",
    ECC: f"CUDA failure 214: uncorrectable ECC error encountered{_PLACE}",
    OUT_OF_MEMORY: f"CUDA failure 2: out of memory{_PLACE}",
    CUBLAS: f"CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED{_PLACE}",
}
LOST = (ILLEGAL_ADDRESS, ECC)
_lost: list[str] = []


class FakeSession(ort.InferenceSession):  # type: ignore[misc]
    def __init__(self, model: str | bytes, options: Any, providers: list[Any], **more: Any) -> None:
        self._names = [one if isinstance(one, str) else one[0] for one in providers]
        assert self._names[-1] == CPU
        super().__init__(model, options, providers=providers[-1:], **more)

    def get_providers(self) -> list[str]:
        return self._names

    def get_provider_graph_assignment_info(self) -> list[Any]:
        return []

    def run(self, outputs: Any, inputs: Any, options: Any = None) -> Any:
        if any((array == HANG).any() for array in inputs.values()):
            time.sleep(3600)
        return super().run(outputs, inputs, options)

    def io_binding(self) -> FakeBinding:
        return FakeBinding(self)

    def run_with_iobinding(self, binding: FakeBinding, run_options: Any = None) -> None:
        assert threading.current_thread() is not threading.main_thread(), "a run on a device holds up the loop"
        _fail_if_lost()
        for value, text in FAULTS.items():
            if binding.holds(value):
                _lost.extend([text] if value in LOST else [])
                raise RuntimeError(text)
        super().run_with_iobinding(binding, run_options)


class FakeBinding(ort.IOBinding):  # type: ignore[misc]
    def __init__(self, session: FakeSession) -> None:
        super().__init__(session)
        self._arrays: list[np.ndarray] = []

    def holds(self, value: float) -> bool:
        return any((array == value).any() for array in self._arrays)

    def bind_cpu_input(self, name: str, array: np.ndarray) -> None:
        self._arrays.append(array)
        super().bind_cpu_input(name, array)

    def bind_output(self, name: str, device: str, number: int) -> None:
        assert (device, number) == ("cuda", 0)
        super().bind_output(name, "cpu")

    def synchronize_inputs(self) -> None:
        _fail_if_lost()

    def synchronize_outputs(self) -> None:
        _fail_if_lost()


def _fail_if_lost() -> None:
    if _lost:
        raise RuntimeError(_lost[0])


if __name__ == "__main__":
    ort.InferenceSession = FakeSession
    ort.get_available_providers = lambda: [CUDA, CPU]
    from fairlead_server.__main__ import main

    sys.exit(main(sys.argv[1:]))
