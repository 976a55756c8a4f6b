"""What Fairlead must show: every goal of the benchmark, and how it is judged. A table and arithmetic, nothing else.

A goal names one figure by its measure and part, and bounds it: by a number, by another subject's figure of the same
name, or by other parts of its own measure. A measure without a goal is only told.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

FAIRLEAD = "fairlead"
FAIRLEAD_RAY = "fairlead, Ray"
PEERS = "the best peer"
CONSTANT = "the fastest constant answer"
IN_PROCESS = "ONNX Runtime in process"


class Goal(NamedTuple):
    """`subject`'s figure is `kind` `factor` times what `against` or `parts` come to, or `factor` itself where neither
    is given. `worst`: the worst round counts, not the median. `strict`: equal is not enough."""

    measure: str
    kind: Literal["at least", "at most"]
    factor: float
    against: str = ""  # PEERS, CONSTANT, or a subject
    parts: tuple[str, ...] = ()  # of the same measure and subject: their sum
    part: str = ""
    subject: str = FAIRLEAD
    worst: bool = False
    strict: bool = False


GOALS = (
    Goal("tiny-json-c32", "at least", 6, PEERS),
    Goal("tiny-json-c1", "at most", 0.4, PEERS),
    Goal("mlp-binary-c32", "at least", 5, PEERS),
    Goal("mlp-grpc-c32", "at least", 1, PEERS, strict=True),
    Goal("mlp-grpc-c32", "at least", 0.8, CONSTANT),
    Goal("resnet-c8", "at least", 0.9, IN_PROCESS),
    Goal("bert-c8", "at least", 0.9, IN_PROCESS),
    Goal("engine-ray", "at least", 0.95, FAIRLEAD, subject=FAIRLEAD_RAY),
    *(
        goal
        for which in ("another model", "the same model")
        for goal in (
            Goal("load-under-load", "at most", 0, part=f"lost, {which}", worst=True),
            Goal("load-under-load", "at most", 1, parts=("p99 quiet", "warm-up run"), part=f"p99, {which}"),
        )
    ),
    Goal("catalog-change", "at most", 50, part="p99"),
    Goal("catalog-change-5000", "at most", 50, part="p99"),
    Goal("overload", "at least", 0.9, parts=("capacity",), part="goodput at 2.0"),
    Goal("overload", "at least", 99.9, part="in time at 0.8"),
    Goal("beside", "at most", 3, parts=("p99 alone",), part="p99 beside"),
    Goal("memory", "at most", 1.2, parts=("replica",), part="after unloading"),
    Goal("ready-edge", "at most", 3),
    Goal("ready-ray", "at most", 25, subject=FAIRLEAD_RAY),
)
"""Parts are spelt as here by whoever measures them; what a measure tells beyond them is its own."""

TITLES: Mapping[str, str] = {
    "tiny-json-c32": "tiny, HTTP JSON, 32 connections",
    "tiny-json-c1": "tiny, HTTP JSON, 1 connection, p50",
    "mlp-binary-c32": "MLP, HTTP binary, 32 connections",
    "mlp-grpc-c32": "MLP, gRPC, 32 calls in flight",
    "resnet-c8": "ResNet-18, 8 connections",
    "bert-c8": "BERT, 8 connections, equal lengths",
    "bert-mixed": "BERT, 8 connections, mixed lengths, padded",
    "pipeline-json": "scikit-learn pipeline with text columns, HTTP JSON, 32 connections",
    "perf-analyzer-tiny": "tiny, perf_analyzer as an unmodified client",
    "engine-ray": "engine `ray` against engine `process`, one worker",
    "workers": "two workers against one",
    "load-under-load": "a version loaded under load of 0.7 capacity",
    "catalog-change": "catalog change, 4 workers in 2 replicas",
    "catalog-change-5000": "catalog change with 5,000 models in the document",
    "overload": "overload, a deadline of 50 ms on each request",
    "beside": "a tiny model beside a big one at overload",
    "memory": "memory of a replica",
    "ready-edge": "ready: edge",
    "ready-ray": "ready: Ray, local",
}
"""Every row that there can be, in the report's order."""


def text(goal: Goal, unit: str) -> str:
    """The goal as a person reads it: "at least 6 times the best peer"."""
    bound = ("more than" if goal.kind == "at least" else "less than") if goal.strict else goal.kind
    whose = goal.against or " + ".join(goal.parts)
    if not whose:
        return f"{bound} {goal.factor:g} {unit}"
    return f"{bound} {whose}" if goal.factor == 1 else f"{bound} {goal.factor:g} times {whose}"


def judge(goal: Goal, value: float, reference: float | None) -> bool | None:
    """Whether the value meets the goal; None where there is nothing to compare it with."""
    if reference is None:
        return None
    return _OPERATORS[goal.kind, goal.strict](value, goal.factor * reference)


_OPERATORS: Mapping[tuple[str, bool], Callable[[float, float], bool]] = {
    ("at least", False): operator.ge,
    ("at least", True): operator.gt,
    ("at most", False): operator.le,
    ("at most", True): operator.lt,
}
