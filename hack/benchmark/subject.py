"""The seam between what is measured and what measures: a subject serves models, and says where.

Knows neither generators nor figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Wire = Literal["json", "binary", "grpc"]
Role = Literal["fairlead", "peer", "limit"]


class Model(NamedTuple):
    """`folder` holds model.onnx. `inputs` and `outputs` are one request and ONNX Runtime's own answer to it."""

    name: str
    folder: Path
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


class Endpoint(NamedTuple):
    """Where a subject serves, as HOST:PORT on a loopback address ("" where it does not), and the processes it
    consists of: the roots of their trees, for whoever wants to know their memory."""

    http: str
    grpc: str
    pids: tuple[int, ...]


class Subject(Protocol):
    """`name` as it stands in the report; `settings` says in a line what was set, and after which document."""

    name: str
    role: Role
    settings: str
    protocols: frozenset[Wire]

    def missing(self) -> str:
        """Why it cannot run on this machine; "" where it can. Installs nothing."""
        ...

    def prepare(self) -> None:
        """Install what is missing, once."""
        ...

    def serve(self, models: Sequence[Model], threads: int) -> AbstractContextManager[Endpoint]:
        """Serve all of them, with so many ONNX Runtime threads a run, until left; ready when entered."""
        ...
