"""A stand-in for the API server on the seam of api.Api: objects by path, with resource versions as preconditions.

It knows nothing of schemas, rights or watches: what depends on those is tested against a real API server.
"""

from __future__ import annotations

import copy
import itertools
from typing import Any

from fairlead_operator.cluster.api import JSON, Api, ApiFault, Object


class FakeApi(Api):
    """`down` is what every call fails with; `refuse` what calls to one path fail with; `cached` what lists tell where
    the API server's own cache lags behind."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.objects: dict[str, Object] = {}
        self.down: ApiFault | None = None
        self.refuse: dict[str, ApiFault] = {}
        self.cached: dict[str, Object] | None = None
        self._versions = itertools.count(1)

    async def get(self, path: str, **_: str) -> Object:
        self._answer("GET", path)
        if path not in self.objects:
            raise ApiFault(404, "NotFound", f"{path} not found")
        return copy.deepcopy(self.objects[path])

    async def listed(self, path: str, accept: str = JSON, *, newest: bool = False, **_: str) -> Object:
        """Whole objects, whatever is accepted; labels choose nothing."""
        self._answer("GET", path)
        objects = self.objects if newest or self.cached is None else self.cached
        items = [copy.deepcopy(found) for where, found in objects.items() if where.startswith(f"{path}/")]
        version = max((int(found["metadata"]["resourceVersion"]) for found in objects.values()), default=0)
        return {"apiVersion": "v1", "items": items, "metadata": {"resourceVersion": str(version)}}

    async def create(self, path: str, body: Object) -> Object:
        self._answer("POST", path)
        path = f"{path}/{body['metadata']['name']}"
        if path in self.objects:
            raise ApiFault(409, "AlreadyExists", f"{path} already exists")
        return self._store(path, body)

    async def replace(self, path: str, body: Object) -> Object:
        self._answer("PUT", path)
        if path not in self.objects:
            raise ApiFault(404, "NotFound", f"{path} not found")
        if self.objects[path]["metadata"]["resourceVersion"] != body["metadata"].get("resourceVersion"):
            raise ApiFault(409, "Conflict", f"{path} has been modified")
        return self._store(path, body)

    async def merge(self, path: str, body: Object) -> Object:
        self._answer("PATCH", path)
        if path not in self.objects:
            raise ApiFault(404, "NotFound", f"{path} not found")
        self._same(path, body)
        return self._store(path, _merged(self.objects[path], body))

    async def apply(self, path: str, body: Object) -> Object:
        """Fields of the first level; a status only where the object is there."""
        self._answer("PATCH", path)
        if path.endswith("/status") and path.removesuffix("/status") not in self.objects:
            raise ApiFault(404, "NotFound", f"{path} not found")
        path = path.removesuffix("/status")
        self._same(path, body)
        old = self.objects.get(path, {"metadata": {}})
        return self._store(path, {**old, **body, "metadata": {**old["metadata"], **body["metadata"]}})

    async def delete(self, path: str, uid: str) -> None:
        self._answer("DELETE", path)
        if self.objects.get(path, {"metadata": {}})["metadata"].get("uid") != uid:
            raise ApiFault(409, "Conflict", f"{path} is another object")
        del self.objects[path]

    def edit(self, path: str, **fields: Any) -> None:
        """What a person does with kubectl."""
        self._store(path, {**self.objects[path], **fields})

    def _store(self, path: str, body: Object) -> Object:
        version = next(self._versions)
        body = copy.deepcopy(body)
        body["metadata"] = {"uid": f"uid-{version}", **body["metadata"], "resourceVersion": str(version)}
        self.objects[path] = body
        return copy.deepcopy(body)

    def _same(self, path: str, body: Object) -> None:
        """An UID in a patch is a precondition."""
        uid = body.get("metadata", {}).get("uid")
        if uid and self.objects.get(path, {"metadata": {}})["metadata"].get("uid") != uid:
            raise ApiFault(409, "Conflict", f"{path} is another object")

    def _answer(self, verb: str, path: str) -> None:
        self.calls[verb] = self.calls.get(verb, 0) + 1
        if self.down is not None:
            raise self.down
        if path in self.refuse:
            raise self.refuse[path]


def _merged(old: Any, patch: Any) -> Any:
    """RFC 7386: null takes a field away."""
    if not isinstance(patch, dict):
        return patch
    old = old if isinstance(old, dict) else {}
    kept = {key: value for key, value in old.items() if key not in patch}
    return kept | {key: _merged(old.get(key), value) for key, value in patch.items() if value is not None}
