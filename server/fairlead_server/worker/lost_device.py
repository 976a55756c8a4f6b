"""Notices that a device is lost to this process, on whatever thread a run of it fails first.

run --DeviceFailure--> the versions marked as running, at that moment --> the loop, once
                  \\--> the batch, which fails as any other
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from fairlead_server.batching.execute import Array, RunModel
from fairlead_server.batching.marks import Marks
from fairlead_server.runtimes import DeviceFailure

Lost = Callable[[DeviceFailure, tuple[str, ...]], None]


def watched(run: RunModel, marks: Marks, lost: Lost) -> RunModel:
    """`run`, whose loss of the device is told to `lost` on this thread's loop, with the uids that were running: an
    error of the device comes out of whatever waits for it next, so each of them may have done it."""
    loop = asyncio.get_running_loop()

    def watching(inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        try:
            return run(inputs, outputs)
        except DeviceFailure as failure:
            loop.call_soon_threadsafe(lost, failure, marks.running())
            raise

    return watching
