"""The digest of a version: one sha256 over a sorted manifest of its files. Published in docs/digest.md.

Anybody can compute it with `find`, `sort` and `sha256sum`, so that a digest can be checked without us.
It says nothing about times, owners, modes or empty folders: only which bytes lie under which name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from fairlead_server.store.limits import Limits
from fairlead_server.store.listing import list_folder


def digest_of(files: Mapping[str, str]) -> str:
    """`files` maps relative paths (with slashes) to the sha256 of their content, in lower-case hex."""
    lines = sorted((path.encode(), sha256.encode()) for path, sha256 in files.items())
    manifest = b"".join(sha256 + b"  " + path + b"\n" for path, sha256 in lines)
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"


def sha256_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def digest_folder(root: Path, limits: Limits | None = None) -> str:
    """Reads every file below `root`: as slow as the disk, so never on an event loop."""
    return digest_of({file.path: sha256_of(root / file.path) for file in list_folder(root, limits or Limits())})
