"""What the replica should serve: the newest document, and what must stay until that is in effect.

A model has up to two entries: the newest, and the last good one, which was in effect in every accepting worker.
Until the newest is, the versions of the good one stay loaded, and a new worker starts from it: so neither a worker's
nor the replica's death in the middle of a change loses the version that served. The same holds for a model whose
newest entry has a fault (rule 13). What only older documents hold is kept in a file of its own.
"""

from __future__ import annotations

import msgspec

from fairlead_server.models.catalog import Catalog, ModelEntry
from fairlead_server.models.compare import changed, differ, with_last_good
from fairlead_server.models.parsing import Parsed


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """Entries that the stored document does not hold: good ones, and those before a fault."""

    good: dict[str, ModelEntry] = {}
    before_fault: dict[str, ModelEntry] = {}


class Wanted:
    def __init__(self, kept: Kept | None = None) -> None:
        self.catalog: Catalog | None = None
        self.entries: dict[str, ModelEntry] = dict(kept.before_fault) if kept is not None else {}
        self.faults: dict[str, str] = {}
        self._good: dict[str, ModelEntry] = dict(kept.good) if kept is not None else {}

    @property
    def generation(self) -> int:
        return self.catalog.generation if self.catalog is not None else 0

    @property
    def owner(self) -> str:
        return self.catalog.owner if self.catalog is not None else ""

    def slo_ms(self, model: str, version: str) -> float:
        """As the catalog sets it; 0 where it does not."""
        entry = self.entries.get(model)
        held = entry.versions.get(version) if entry is not None else None
        return float(held.settings.get("slo_ms", 0)) if held is not None else 0.0

    def good(self, model: str) -> ModelEntry | None:
        """The last good entry, where it is another than the newest."""
        good = self._good.get(model)
        return good if good is not self.entries.get(model) else None

    def is_settled(self, model: str) -> bool:
        return model in self.entries and self._good.get(model) is self.entries[model]

    def settle(self, model: str) -> None:
        """The newest entry is in effect everywhere."""
        self._good[model] = self.entries[model]

    def take(self, parsed: Parsed) -> list[str]:
        """The newest document. The names of the models that differ from before, gone ones too."""
        after = with_last_good(self.entries, parsed.catalog.models, parsed.faults)
        for name, entry in after.items():
            old = self.entries.get(name)
            if old is not None and old is not entry and old == entry:
                after[name] = old  # the same object: still settled
        changes = changed(self.entries, after)
        refaulted = [name for name in self.faults.keys() | parsed.faults if name in after or name in parsed.faults]
        for name in self._good.keys() - after.keys():
            del self._good[name]
        self.catalog, self.entries, self.faults = parsed.catalog, after, parsed.faults
        return [*dict.fromkeys([*changes.added, *changes.changed, *changes.removed, *refaulted])]

    def kept_after(self, parsed: Parsed) -> Kept:
        """What has to be on disk before this document is stored."""
        after = parsed.catalog.models
        good = {name: entry for name, entry in self._good.items() if name in after and differ(after[name], entry)}
        faulty = {name: self.entries[name] for name in parsed.faults if name in self.entries}
        good |= {name: self._good[name] for name in faulty if name in self._good}
        return Kept(good, faulty)
