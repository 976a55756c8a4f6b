"""What was measured of a version when it was tried: its proof, handed from the trial to all workers."""

from __future__ import annotations

import msgspec


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
    empty means unprofiled. `batching` tells whether rows may be batched; `batching_reason` why not.
    `bytes` is the resident memory that loading and warming added. `notes` are facts that fail nothing and should be
    known, such as operators that run on the CPU inside a CUDA session.
    """

    bytes: int = 0
    latency_us: dict[int, float] = {}
    batching: bool = False
    batching_reason: str = ""
    smoke: Smoke = Smoke()
    notes: tuple[str, ...] = ()
