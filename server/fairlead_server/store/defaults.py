"""`fairlead.yaml` in a model's folder: settings that belong to the model. The catalog's own win over them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fairlead_server.models import from_yaml
from fairlead_server.models.settings import VersionSettings, resolve
from fairlead_server.store.failure import FetchFailure

NAME = "fairlead.yaml"
_LARGEST = 64 * 2**10


def defaults(folder: Path) -> dict[str, Any]:
    """What its `settings` sets; {} without the file. Unknown fields are left out, wrong ones fail the version."""
    file = folder / NAME
    if not file.exists():
        return {}
    if file.stat().st_size > _LARGEST:
        raise _wrong(f"is larger than {_LARGEST} bytes")
    try:
        document = from_yaml.read(file.read_bytes())
    except from_yaml.YamlFault as fault:
        raise _wrong(str(fault)) from None
    settings = document.get("settings", {}) if isinstance(document, dict) else None
    # A setting that stands one level too high would be passed over in silence.
    if not isinstance(settings, dict) or set(document) & set(VersionSettings.__struct_fields__):
        raise _wrong("write `settings:`, and the settings below it")
    try:
        resolve(settings)
    except ValueError as error:
        raise _wrong(str(error)) from None
    return {name: value for name, value in settings.items() if name in VersionSettings.__struct_fields__}


def _wrong(why: str) -> FetchFailure:
    return FetchFailure(f"{NAME} in the model's folder: {why}", retry=False)
