"""The settings of one version, as the catalog carries them.

The reference table in docs/settings.md is generated from this file (`hack/generate`).
"""

from __future__ import annotations

from typing import Annotated

import msgspec

Positive = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]


class VersionSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """Every field is optional in the catalog; the defaults stand here.

    What is not set in the catalog is taken from `fairlead.yaml` in the model's folder, then from here.
    """

    max_batch_size: Positive = 64  # rows in one run; 1 turns batching off
    max_queue_delay_us: NotNegative = 0  # how long a batch may wait to fill, microseconds; 0: never wait
    instances: Positive = 1  # runs that may be under way at once in one worker
    threads: NotNegative = 0  # intra-op threads of one instance; 0: the worker's share of the cores
    providers: tuple[str, ...] = ("cpu",)  # cpu, cuda, in order of preference
    graph_optimization: str = "all"  # none, basic, extended, all
    warmup: bool = True  # run made-up or logged inputs before the version is ready
    warmup_budget_ms: Positive = 2000  # time that warm-up and profiling may take
    max_queue_rows: Positive = 4096  # rows that may wait; beyond it requests are refused with 503
    slo_ms: NotNegative = 0  # deadline of requests that bring none, milliseconds; 0: none
    tolerance: float = 1e-4  # relative and absolute, between rows run alone and together
