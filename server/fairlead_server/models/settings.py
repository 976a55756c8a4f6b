"""The settings of one version, as the catalog carries them.

The reference table in docs/settings.md is generated from this file (`hack/generate`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

Positive = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]
Tolerance = Annotated[float, msgspec.Meta(ge=0.0)]
Provider = Literal["cpu", "cuda"]
Providers = Annotated[tuple[Provider, ...], msgspec.Meta(min_length=1)]
Level = Literal["none", "basic", "extended", "all"]


class Padding(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One input whose rows may differ in length along `axis`: shorter ones are filled up, so that they share a run.

    `mask` names an input of the same shape that tells real (1) from filled (0): what a request brings of it is
    filled with 0, and what it leaves out is made. `trim` names the outputs that have that length again, and where:
    they are cut back to each request's own.
    """

    axis: Positive = 1  # the dimension whose length may differ
    value: float = 0.0  # what fills it up
    mask: str = ""  # the input that tells real from filled; empty: there is none
    multiple: Positive = 1  # lengths are rounded up to a multiple of it, so that fewer shapes are run
    trim: dict[str, Positive] = {}  # by output: the dimension that is cut back to the request's own length


class VersionSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """Every field is optional in the catalog; the defaults stand here.

    What is not set in the catalog is taken from `fairlead.yaml` in the model's folder, then from here.
    """

    max_batch_size: Positive = 64  # rows in one run; 1 turns batching off
    max_queue_delay_us: NotNegative = 0  # how long a batch may wait to fill, microseconds; 0: never wait
    instances: Positive = 1  # runs that may be under way at once in one worker
    threads: NotNegative = 0  # intra-op threads of one instance; 0: the worker's share of cores, or one for short runs
    providers: Providers = ("cpu",)  # cpu, cuda, in order of preference
    graph_optimization: Level = "all"  # none, basic, extended, all
    warmup: bool = True  # run made-up or logged inputs before the version is ready
    warmup_budget_ms: Positive = 2000  # time that warm-up and profiling may take
    max_queue_rows: Positive = 4096  # rows that may wait, in each priority; beyond it requests are refused with 503
    slo_ms: NotNegative = 0  # deadline of requests that bring none, milliseconds; 0: none
    preferred_batch_sizes: tuple[Positive, ...] = ()  # a batch is cut to the largest of these that it reaches
    priority_levels: NotNegative = 0  # queues, of which 1 goes first; 0: one, and requests' priorities are ignored
    default_priority_level: NotNegative = 0  # of requests that bring none, or one that there is not; 0: the lowest
    padding: dict[str, Padding] = {}  # by input: lengths that may differ within a batch
    gpu_mem_limit_bytes: NotNegative = 0  # what one session may take of a GPU's memory; 0: no limit of its own
    tolerance: Tolerance = 1e-4  # relative and absolute, between rows run alone and together

    @property
    def on_gpu(self) -> bool:
        return "cuda" in self.providers


def resolve(*layers: Mapping[str, Any]) -> VersionSettings:
    """The settings that the layers make, later ones winning field by field: first the model folder's, then the
    catalog's. Unknown fields are ignored, for a newer writer may know more. A bad value raises ValueError, which
    names the field."""
    merged: dict[str, Any] = {}
    for layer in layers:
        merged.update(layer)
    try:
        return msgspec.convert(merged, VersionSettings)
    except msgspec.ValidationError as fault:
        raise ValueError(_located(str(fault))) from None


def _located(text: str) -> str:
    """msgspec's "Expected ... - at `$.field`" with the field in front."""
    match = re.fullmatch(r"(?s)(.*) - at `\$\.?([^`]*)`", text)
    return f"{match[2]}: {match[1]}" if match and match[2] else text
