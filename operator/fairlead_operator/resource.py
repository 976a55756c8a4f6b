"""The `.status` of a ServedModel, as the operator writes it; its `.spec` stands in spec.py.

The custom resource's schema is generated from both (hack/generate). Field names are what people type in
`kubectl get -o jsonpath`. This module must not know the cluster.
"""

from __future__ import annotations

from typing import Any

import msgspec

KIND, PLURAL, GROUP, VERSION = "ServedModel", "servedmodels", "fairlead.dev", "v1alpha1"
PREFIX = "fairlead.dev/"  # of annotations and labels


class Pinned(msgspec.Struct, frozen=True, omit_defaults=True):
    """A version, and the digest of its files once it is pinned."""

    version: str
    digest: str = ""


class Replicas(msgspec.Struct, frozen=True):
    """`ready`: those in which the routed version is ready; `total`: those that the pool has."""

    ready: int
    total: int


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of the last candidate: `Pass` or `Fail`. `time` in RFC 3339."""

    result: str
    version: str
    reason: str
    time: str
    digest: str = ""


class Condition(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """As in metav1.Condition: `status` is True, False or Unknown, `reason` one word in CamelCase."""

    type: str
    status: str
    reason: str
    message: str
    last_transition_time: str
    observed_generation: int = 0


class Status(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """`memory` is the Rollout, for the operator alone: lost, it is rebuilt from the stored catalog."""

    observed_generation: int
    phase: str
    reason: str
    served_name: str
    pool: str
    stable: Pinned | None = None
    candidate: Pinned | None = None
    weights: dict[str, float] = {}
    step: str = ""
    replicas: Replicas | None = None
    conditions: tuple[Condition, ...] = ()
    last_verdict: Verdict | None = None
    memory: dict[str, Any] = {}
