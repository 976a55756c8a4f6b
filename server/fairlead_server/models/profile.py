"""What was measured of a version when it was tried: its proof, handed from the trial to all workers."""

from __future__ import annotations

import msgspec

from fairlead_server.models import latency


class Smoke(msgspec.Struct, frozen=True, omit_defaults=True):
    """The prediction made before the version was ready.

    `source` is "example" (the logged input example), "made-up" or "none".
    A made-up input that fails leaves the version "unprofiled"; only an example may condemn it.
    """

    source: str = "none"
    passed: bool = False
    detail: str = ""


class Profile(msgspec.Struct, frozen=True, omit_defaults=True):
    """Measured once per (digest, settings, runtime version) on this replica.

    `latency_us` maps a batch size in rows (powers of two, and the limit) to microseconds of one run;
    empty means unprofiled. It speaks for rows of one shape; `latency_by_length` does so for each length that was
    measured, where rows have one. `batching` tells whether rows may be batched; `batching_reason` why not. `padding`
    and `padding_reason` tell the same of rows that differ in length, where padding is set; `length_step` is how
    many places wide the buckets are in which they may meet (0: unknown, powers of two then).
    `bytes` is the resident memory that loading and warming added. `notes` are facts that fail nothing and should be
    known, such as operators that run on the CPU inside a CUDA session.
    """

    bytes: int = 0
    latency_us: dict[int, float] = {}
    batching: bool = False
    batching_reason: str = ""
    smoke: Smoke = Smoke()
    notes: tuple[str, ...] = ()
    latency_by_length: dict[int, dict[int, float]] = {}
    padding: bool = False
    padding_reason: str = ""
    length_step: int = 0

    def microseconds(self, rows: int, length: int = 0) -> float | None:
        """Of one run of so many rows, each of `length` (0: the model's rows have none); None where it is unknown."""
        if not length:
            return latency.of_rows(self.latency_us, rows)
        return latency.of_length(self.latency_by_length, rows, length)
