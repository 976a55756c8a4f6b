"""The name of a version that is about to be served: its bytes, its settings, its number and the attempt together.

The same version number with other bytes or settings is another uid; the same bytes from elsewhere are not.
"""

from __future__ import annotations

import hashlib

import msgspec

from fairlead_server.models.settings import VersionSettings


def uid_of(model: str, version: str, digest: str, settings: VersionSettings, attempt: int = 0) -> str:
    """The first 32 hex digits of a sha256 over digest, canonical JSON of the settings, name, and attempt."""
    name = f"{model}/{version}" + (f"#{attempt}" if attempt else "")
    text = digest.encode() + msgspec.json.encode(settings, order="deterministic") + name.encode()
    return hashlib.sha256(text).hexdigest()[:32]
