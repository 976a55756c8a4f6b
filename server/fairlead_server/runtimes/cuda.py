"""What ONNX Runtime's CUDA provider is asked for, and what its failures mean. Text and values: no GPU is needed here.

Sources: onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html for the options; the CUDA runtime's
cudaError enumeration for the numbers, and for which of them end the process ("to continue using CUDA, the process
must be terminated and relaunched").
"""

from __future__ import annotations

import dataclasses
import re

from fairlead_server.models.settings import VersionSettings

DEVICE = 0  # the first of those that CUDA_VISIBLE_DEVICES leaves: Ray and Kubernetes choose by that variable

_BY_MODEL = {
    700: ("cudaErrorIllegalAddress", "an illegal memory access was encountered"),
    702: ("cudaErrorLaunchTimeout", "the launch timed out and was terminated"),
    710: ("cudaErrorAssert", "device-side assert triggered"),
    714: ("cudaErrorHardwareStackError", "hardware stack error"),
    715: ("cudaErrorIllegalInstruction", "an illegal instruction was encountered"),
    716: ("cudaErrorMisalignedAddress", "misaligned address"),
    717: ("cudaErrorInvalidAddressSpace", "operation not supported on global/shared address space"),
    718: ("cudaErrorInvalidPc", "invalid program counter"),
    719: ("cudaErrorLaunchFailure", "unspecified launch failure"),
}
_BY_DEVICE = {
    46: ("cudaErrorDevicesUnavailable", "CUDA-capable device(s) is/are busy or unavailable"),
    100: ("cudaErrorNoDevice", "no CUDA-capable device is detected"),
    201: ("cudaErrorDeviceUninitialized", "invalid device context"),
    214: ("cudaErrorECCUncorrectable", "uncorrectable ECC error encountered"),
    220: ("cudaErrorNvlinkUncorrectable", "uncorrectable NVLink error detected during the execution"),
    709: ("cudaErrorContextIsDestroyed", "context is destroyed"),
    999: ("cudaErrorUnknown", "unknown error"),
}
_NUMBER = re.compile(r"\bCUDA (?:failure|error):? (\d+)")
_RESET = "DEVICE_RESET"  # ONNX Runtime's own status


@dataclasses.dataclass(frozen=True)
class Breakage:
    """The CUDA context of this process is lost. `by_model`: a kernel did it, and not the device or its driver."""

    reason: str
    by_model: bool


def options(settings: VersionSettings) -> dict[str, str]:
    """The provider's options for one session.

    No user stream: each run has ONNX Runtime's own, which is synchronised before the run returns. TF32 is off, so
    that float32 is float32 and the tolerance between rows alone and together means something; who wants speed exports
    float16. Convolution algorithms come from the heuristic: the exhaustive search runs anew for every batch size.
    """
    limit = {"gpu_mem_limit": str(settings.gpu_mem_limit_bytes)} if settings.gpu_mem_limit_bytes else {}
    return {
        "device_id": str(DEVICE),
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "do_copy_in_default_stream": "1",
        "use_tf32": "0",
        **limit,
    }


def breakage(text: str) -> Breakage | None:
    """What a failure's text says of the whole process; None where only this run failed."""
    for table, by_model in ((_BY_MODEL, True), (_BY_DEVICE, False)):
        for number, (name, words) in table.items():
            if _says(text, number, name, words):
                return Breakage(f"CUDA error {number} ({name})", by_model)
    return Breakage("the device was reset", by_model=False) if _RESET in text else None


def _says(text: str, number: int, name: str, words: str) -> bool:
    found = _NUMBER.search(text)
    return (found is not None and int(found[1]) == number) or name in text or ("CUDA" in text and words in text)
