"""Runs over ONNX Runtime's I/O binding, as a device needs them.

    arrays --bind (copied to where the first operator wants them)--> run --> synchronise --> one copy back --> arrays

Device memory comes from the session's own arena, so its limit covers inputs and outputs too; an OrtValue made from
an array would take it from an arena of the process, which has none. Each run has a binding of its own: nothing is
shared between threads, and the arena gives the next run the same memory anyway. The CPU is a device like another here,
which is how this is tested where there is no GPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fairlead_server.models.signature import Signature

Array = np.ndarray[Any, np.dtype[Any]]


def bindable(signature: Signature) -> bool:
    """Whether all that goes in and out can be bound: text and what was a ZipMap cannot."""
    return not any(spec.datatype == "BYTES" or spec.labels for spec in (*signature.inputs, *signature.outputs))


class BoundRuns:
    """`session` is an onnxruntime.InferenceSession of tensors of numbers; `device` as ONNX Runtime names it."""

    def __init__(self, session: Any, device: str, number: int = 0) -> None:
        self._session = session
        self._where = (device, number)

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        """New arrays in ordinary memory, read after the device is done. Raises what ONNX Runtime raises."""
        binding = self._session.io_binding()
        try:
            return self._run(binding, outputs, inputs)
        except Exception as fault:  # ONNX Runtime's exceptions have no base of their own
            later = _settled(binding)
            if later not in str(fault):
                raise RuntimeError(f"{fault}; then {later}") from fault
            raise

    def _run(self, binding: Any, outputs: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        for name in outputs:
            binding.bind_output(name, *self._where)
        binding.synchronize_inputs()  # the copies may be on another stream than the run
        self._session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        results: list[Array] = binding.copy_outputs_to_cpu()
        return results


def _settled(binding: Any) -> str:
    """Wait for the device: a failed run's memory must not go back to the arena while a kernel may still use it. What
    the device says of itself, whatever library noticed first, or ""."""
    try:
        binding.synchronize_inputs()
        binding.synchronize_outputs()
    except Exception as fault:  # as above
        return str(fault)
    return ""
