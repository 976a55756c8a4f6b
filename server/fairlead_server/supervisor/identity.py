"""What makes a version itself: its resolved settings, and the uid that names bytes and settings together.

The same version number with other bytes or settings is another uid; the same bytes from elsewhere are not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from fairlead_server.models.settings import VersionSettings


class SettingsFault(Exception):  # noqa: N818 - told as a version's reason
    """What the model's folder says of its settings cannot be used."""


def resolve(catalog: Mapping[str, Any], folder: Mapping[str, Any]) -> VersionSettings:
    """The catalog first, then the model's folder, then the defaults."""
    try:
        return msgspec.convert({**folder, **catalog}, VersionSettings)
    except msgspec.ValidationError as fault:
        raise SettingsFault(f"the settings in the model's folder cannot be used: {fault}") from None


def uid_of(model: str, version: str, digest: str, settings: VersionSettings) -> str:
    """The first 32 hex digits of a sha256 over digest, canonical JSON of the settings, and name."""
    text = digest.encode() + msgspec.json.encode(settings, order="deterministic") + f"{model}/{version}".encode()
    return hashlib.sha256(text).hexdigest()[:32]
