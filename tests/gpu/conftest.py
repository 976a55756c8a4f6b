"""The tests that need an NVIDIA GPU. `hack/gpu-check` runs them, in an environment with ONNX Runtime's GPU wheel; where
there is no GPU they fail, and never skip: nobody can take their absence for a pass."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairlead_server.models.settings import VersionSettings
from fairlead_server.runtimes import Session
from fairlead_server.runtimes.onnx import open_session

Open = Callable[..., Session]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            item.add_marker(pytest.mark.timeout(180))


@pytest.fixture(scope="session")
def gpu_bytes() -> Callable[[], int]:
    """How much of the first GPU's memory is taken, by whomever; asked of its driver (NVML)."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError as fault:
        pytest.fail(f"there is no NVIDIA driver here, and these tests need a GPU: {fault}", pytrace=False)
    handle = ctypes.c_void_p()
    assert nvml.nvmlInit_v2() == 0
    assert nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(handle)) == 0

    def used() -> int:
        memory = (ctypes.c_ulonglong * 3)()  # total, free, used
        assert nvml.nvmlDeviceGetMemoryInfo(handle, memory) == 0
        return int(memory[2])

    return used


@pytest.fixture
def on_gpu(gpu_bytes: Callable[[], int]) -> Open:
    """Opens a model on the GPU."""

    def opened(path: Path, **settings: Any) -> Session:
        return open_session(path, VersionSettings(providers=("cuda",), **settings), 1)

    return opened


@pytest.fixture
def on_cpu() -> Open:
    def opened(path: Path, **settings: Any) -> Session:
        return open_session(path, VersionSettings(**settings), 1)

    return opened
