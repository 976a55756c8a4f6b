"""The seam between the server and whatever runs a model.

    directory --open_session--> Session --run--> arrays
        |                          |
        LoadFailure                RunFailure, DeviceFailure

`onnx` is the one runtime so far, and the only file that imports onnxruntime. Nothing here knows of
queues, requests or workers; a runtime is given a verified directory and arrays of the right type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from fairlead_server.errors import ServingError

if TYPE_CHECKING:
    import numpy as np

    from fairlead_server.models.signature import Signature

    Array = np.ndarray[Any, np.dtype[Any]]


class LoadFailure(Exception):
    """A version that cannot be served. `reason` is a sentence for its owner; `final` says that trying
    again unasked would fail again."""

    def __init__(self, reason: str, *, final: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final


class RunFailure(ServingError):
    """A run that gave no answer. REJECTED: the input caused it; OVERLOADED: memory was short; INTERNAL else."""


class DeviceFailure(Exception):
    """The accelerator is lost to this process: every later run on it fails too, so the process has to be replaced. No
    RunFailure, for it says nothing of the run's inputs. `cause` is for the log; `by_model`: a kernel of some model did
    it, and not the device or its driver."""

    def __init__(self, cause: str, *, by_model: bool) -> None:
        super().__init__(cause)
        self.cause = cause
        self.by_model = by_model


class Session(Protocol):
    """An open model. `run` blocks, may be called from several threads at once, and returns arrays that
    nobody writes again. `signature` holds MLmodel's narrower shapes where there is one; `example` is
    the logged input example as input arrays; `notes` are facts its owner should be told."""

    signature: Signature
    example: dict[str, Array] | None
    notes: tuple[str, ...]

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]: ...

    def close(self) -> None: ...
