"""The program `fairlead_server` whose sessions lose the GPU for good on an input that holds TRAP.

    python trapped.py worker|trial|fetcher ...

No well-formed model makes ONNX Runtime fault on a device, so a kernel of ours does: one instruction, `trap`, launched
through the driver in the context that ONNX Runtime uses too. What CUDA and ONNX Runtime then say is their own.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

COMMAND = (sys.executable, str(Path(__file__)))
TRAP = -700.0
_PTX = b"""
.version 6.4
.target sm_75
.address_size 64
.visible .entry lose()
{
    trap;
    ret;
}
\0"""


def lose_the_device() -> None:
    """From here on every call of CUDA in this process fails."""
    cuda = ctypes.CDLL("libcuda.so.1")
    context, module, kernel = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    for status in (
        cuda.cuInit(0),
        cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0),
        cuda.cuCtxSetCurrent(context),
        cuda.cuModuleLoadData(ctypes.byref(module), _PTX),
        cuda.cuModuleGetFunction(ctypes.byref(kernel), module, b"lose"),
        cuda.cuLaunchKernel(kernel, 1, 1, 1, 1, 1, 1, 0, None, None, None),
    ):
        assert status == 0, f"the driver says {status}"
    cuda.cuCtxSynchronize()  # fails, as it should


class TrappedBinding(ort.IOBinding):  # type: ignore[misc]
    def bind_cpu_input(self, name: str, array: np.ndarray) -> None:
        if (array == TRAP).any():
            lose_the_device()
        super().bind_cpu_input(name, array)


class TrappedSession(ort.InferenceSession):  # type: ignore[misc]
    def io_binding(self) -> Any:
        return TrappedBinding(self)


if __name__ == "__main__":
    ort.InferenceSession = TrappedSession
    from fairlead_server.__main__ import main

    sys.exit(main(sys.argv[1:]))
