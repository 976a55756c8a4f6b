"""What differs between two wanted sets. Values in, values out; thousands of models are an ordinary case."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from fairlead_server.models.catalog import ModelEntry


class Changes(NamedTuple):
    """Names of models, each in the order of the document that holds them."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


def changed(old: Mapping[str, ModelEntry], new: Mapping[str, ModelEntry]) -> Changes:
    return Changes(
        added=tuple(name for name in new if name not in old),
        changed=tuple(name for name, entry in new.items() if name in old and differ(old[name], entry)),
        removed=tuple(name for name in old if name not in new),
    )


def differ(one: ModelEntry, other: ModelEntry) -> bool:
    """Most entries of a new document are the old ones (`parsing.parse`), and equal without a look inside."""
    return one is not other and one != other


def with_last_good(
    old: Mapping[str, ModelEntry], new: Mapping[str, ModelEntry], faulty: Collection[str]
) -> dict[str, ModelEntry]:
    """`new`, and for each faulty model the entry it had before (rule 13); none where it had none."""
    kept = {name: old[name] for name in faulty if name in old and name not in new}
    return {**new, **kept}
