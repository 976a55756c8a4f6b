"""What the GPU is, and how much of its memory is taken: asked of nvidia-smi."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

_PACKAGES = ("onnxruntime-gpu", "nvidia-cuda-runtime", "nvidia-cudnn-cu13", "nvidia-cublas", "numpy", "uvloop")


def facts() -> dict[str, str]:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    commit = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=False)
    return {
        "GPU, driver, memory": ask("name,driver_version,memory.total"),
        "cores": str(len(os.sched_getaffinity(0))),
        "Python": platform.python_version(),
        "packages": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES),
        "commit": commit.stdout.strip(),
    }


def used_mib() -> float:
    """Of the first GPU's memory, by whomever."""
    return float(ask("memory.used", "nounits"))


def ask(fields: str, *form: str) -> str:
    command = ["nvidia-smi", "--id=0", f"--query-gpu={fields}", f"--format={','.join(('csv', 'noheader', *form))}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()
