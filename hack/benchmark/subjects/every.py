"""Everybody that the benchmark knows, by the name that is typed."""

from __future__ import annotations

from pathlib import Path

from benchmark.subject import Subject
from benchmark.subjects.constants import limits
from benchmark.subjects.fairlead import Fairlead
from benchmark.subjects.kserve import KServe
from benchmark.subjects.mlserver import MLServer
from benchmark.subjects.ray_serve import RayServe
from benchmark.subjects.triton import PyTriton, Triton


def every(scratch: Path) -> dict[str, Subject]:
    """Logs and states go below `scratch`."""
    return {
        "fairlead": Fairlead(scratch),
        "triton": Triton(scratch),
        "pytriton": PyTriton(scratch),
        "kserve": KServe(scratch),
        "mlserver": MLServer(scratch),
        "ray-serve": RayServe(scratch),
        **limits(scratch),
    }
