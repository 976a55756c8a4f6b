"""Writes docs/schemas/*.json, the published schemas of the two documents, from the types that read and write them.

    python hack/generate_schemas.py [FOLDER]    writes them into the repository, or below FOLDER

What a setting means is its comment in models/settings.py, as in docs/settings.md. What a schema cannot say (a route
names versions of its entry, weights are not all zero) is said in docs/catalog.md and checked by models/parsing.py.
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from fairlead_server.models.catalog import API_VERSION as CATALOG
from fairlead_server.models.catalog import Catalog
from fairlead_server.models.settings import Padding, VersionSettings
from fairlead_server.models.status import API_VERSION as STATUS
from fairlead_server.models.status import Status
from generate_settings import meanings

ROOT = Path(__file__).resolve().parent.parent
PLACE = Path("docs", "schemas")


def catalog() -> dict[str, Any]:
    """A version's `settings` are loose in the type (the folder's settings come below them) and strict here."""
    schema = _schema(Catalog, CATALOG, VersionSettings)
    schema["$defs"]["VersionEntry"]["properties"]["settings"] = {"$ref": "#/$defs/VersionSettings"}
    for struct in (VersionSettings, Padding):
        for field, meaning in meanings(struct).items():
            schema["$defs"][struct.__name__]["properties"][field]["description"] = meaning
    return schema


def status() -> dict[str, Any]:
    return _schema(Status, STATUS)


def _schema(document: type, api_version: str, *others: type) -> dict[str, Any]:
    (root, *_), parts = msgspec.json.schema_components((document, *others), ref_template="#/$defs/{name}")
    parts[document.__name__]["properties"]["apiVersion"] = {"const": api_version}
    for part in parts.values():
        if "description" in part:
            part["description"] = " ".join(inspect.cleandoc(part["description"]).split())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{document.__name__}, {api_version}",
        **root,
        "$defs": parts,
    }


def main(into: Path) -> None:
    (into / PLACE).mkdir(parents=True, exist_ok=True)
    for name, schema in (("catalog.v1.json", catalog()), ("status.v1.json", status())):
        text = json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False)
        (into / PLACE / name).write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
