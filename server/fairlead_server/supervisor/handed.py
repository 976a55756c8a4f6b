"""What is handed over to the workers, model by model, and how much memory all of it takes in one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from fairlead_server.link.messages import Load
from fairlead_server.models.profile import Profile
from fairlead_server.supervisor.held import Held
from fairlead_server.supervisor.memory import Taken

NOTHING: Mapping[str, Load] = MappingProxyType({})


class Handed:
    """`taken` as it was measured in the trials, and as the settings limit it on a GPU."""

    def __init__(self) -> None:
        self._models: dict[str, dict[str, Load]] = {}
        self._loads: dict[str, Load] = {}
        self.taken = Taken()

    def of(self, model: str) -> Mapping[str, Load]:
        """By uid."""
        return self._models.get(model, NOTHING)

    def models(self) -> Iterable[str]:
        return self._models

    def load(self, uid: str) -> Load | None:
        return self._loads.get(uid)

    def taken_beside(self, uid: str) -> Taken:
        """By all the others."""
        load = self._loads.get(uid)
        return self.taken - _taken(load) if load is not None else self.taken

    def set(self, model: str, versions: Iterable[tuple[Held, Profile]]) -> None:
        """All of one model, with what was measured of them."""
        before = self._models.pop(model, {})
        for uid in before:
            self.taken -= _taken(self._loads.pop(uid))
        after: dict[str, Load] = {}
        for held, profile in versions:
            uid = held.life.uid
            if uid not in after:  # two sources of the same bytes are one version
                after[uid] = self._loads[uid] = before.get(uid) or _load(held, profile)
                self.taken += _taken(after[uid])
        if after:
            self._models[model] = after


def _load(held: Held, profile: Profile) -> Load:
    want, life = held.want, held.life
    return Load(life.uid, want.model, want.version, life.path, life.digest, life.settings, profile)


def _taken(load: Load) -> Taken:
    settings = load.settings
    gpu = settings.gpu_mem_limit_bytes if settings.on_gpu else 0
    return Taken(load.profile.bytes if load.profile is not None else 0, gpu)
