"""The name of a version that is about to be served, and the name under which the journal remembers it.

    key    its bytes, its settings and the attempt: what a trial proves, and what deaths condemn (rule 12)
    uid    the key and model and version: what a worker holds

The same version number with other bytes or settings is another uid; the same bytes from elsewhere are not. Models that
share bytes and settings share the key: one trial proves them all.
"""

from __future__ import annotations

import hashlib

import msgspec

from fairlead_server.models.settings import VersionSettings

_KEY = 32  # hex digits
_NAME = 16


def uid_of(model: str, version: str, digest: str, settings: VersionSettings, attempt: int = 0) -> str:
    """The key, and the first 16 hex digits of a sha256 over the name."""
    text = f"{digest}#{attempt}".encode() + msgspec.json.encode(settings, order="deterministic")
    return _hex(text, _KEY) + _hex(msgspec.json.encode((model, version)), _NAME)


def key_of(uid: str) -> str:
    """What the journal knows a version by."""
    return uid[:_KEY]


def _hex(text: bytes, digits: int) -> str:
    return hashlib.sha256(text).hexdigest()[:digits]
