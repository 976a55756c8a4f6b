"""What is asked of CUDA, and which of its failures end the process: the texts, as CUDA and ONNX Runtime word them."""

import numpy as np
import pytest

from fairlead_server.models.settings import VersionSettings
from fairlead_server.runtimes import DeviceFailure, cuda, warm
from fairlead_server.testing import FakeSession

# cuda_call.cc of ONNX Runtime, with its place left out
TEXT = "CUDA failure {}: {} ; GPU=0 ; hostname=node ; file=a.cc ; line=29 ; expr=cudaStreamSynchronize(stream); "


def test_the_limit_is_handed_on() -> None:
    """In bytes where the version has one; without, the provider has none of its own."""
    assert cuda.options(VersionSettings(gpu_mem_limit_bytes=2**30))["gpu_mem_limit"] == "1073741824"
    assert "gpu_mem_limit" not in cuda.options(VersionSettings())


def test_what_is_asked_of_every_session() -> None:
    """The first visible device, no data races between copies and runs, and float32 as it is written."""
    asked = cuda.options(VersionSettings())
    assert (asked["device_id"], asked["do_copy_in_default_stream"], asked["use_tf32"]) == ("0", "1", "0")
    assert asked["arena_extend_strategy"] == "kSameAsRequested"


@pytest.mark.parametrize(
    ("text", "name", "by_model"),
    [
        (TEXT.format(700, "an illegal memory access was encountered"), "cudaErrorIllegalAddress", True),
        (TEXT.format(710, "device-side assert triggered"), "cudaErrorAssert", True),
        (TEXT.format(719, "unspecified launch failure"), "cudaErrorLaunchFailure", True),
        (TEXT.format(214, "uncorrectable ECC error encountered"), "cudaErrorECCUncorrectable", False),
        (TEXT.format(999, "unknown error"), "cudaErrorUnknown", False),
        ("CUDA error cudaErrorMisalignedAddress:misaligned address", "cudaErrorMisalignedAddress", True),
        ("CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED ; GPU=0; then " + TEXT.format(700, "-"), "700", True),
        ("[ONNXRuntimeError] : 20 : DEVICE_RESET : the device is gone", "reset", False),
    ],
)
def test_errors_that_end_the_process(text: str, name: str, by_model: bool) -> None:
    """A kernel's fault is told apart from the device's own."""
    found = cuda.breakage(text)
    assert found is not None
    assert name in found.reason
    assert found.by_model is by_model


def test_a_device_lost_in_warm_up_is_no_verdict_on_the_inputs() -> None:
    """Made-up inputs that fail leave a version unprofiled; a lost device ends its process."""

    def lose(x: np.ndarray) -> np.ndarray:
        raise DeviceFailure("CUDA error 700", by_model=True)

    with pytest.raises(DeviceFailure):
        warm.measure(FakeSession(answer=lose), VersionSettings())
    once = iter([np.zeros((2, 2), np.float32)])
    with pytest.raises(DeviceFailure):
        warm.measure(FakeSession(answer=lambda x: next(once, None) if len(x) == 2 else lose(x)), VersionSettings())


@pytest.mark.parametrize(
    "text",
    [
        TEXT.format(2, "out of memory"),
        TEXT.format(1, "invalid argument"),
        "CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED ; GPU=0 ; hostname=node",
        "Available memory of 8347648 is smaller than requested bytes of 16777216",
        "Non-zero status code returned while running Gather node. idx=700 must be within [-3,2]",
        "unknown error",
    ],
)
def test_errors_of_one_run(text: str) -> None:
    """The next run may succeed: the process stays."""
    assert cuda.breakage(text) is None
