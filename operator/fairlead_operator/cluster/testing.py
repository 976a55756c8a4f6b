"""A stand-in for the API server on the seam of api.Api: objects by path, with resource versions as preconditions.

It knows nothing of schemas, rights or watches: what depends on those is tested against a real API server.
"""

from __future__ import annotations

import copy
import itertools
from typing import Any

from fairlead_operator.cluster.api import Api, ApiFault, Object


class FakeApi(Api):
    """`down` is what every call fails with; `refuse` what calls to one path fail with."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.objects: dict[str, Object] = {}
        self.down: ApiFault | None = None
        self.refuse: dict[str, ApiFault] = {}
        self._versions = itertools.count(1)

    async def get(self, path: str, **_: str) -> Object:
        self._answer("GET", path)
        if path not in self.objects:
            raise ApiFault(404, "NotFound", f"{path} not found")
        return copy.deepcopy(self.objects[path])

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
        found = await self.get(path)
        return self._store(path, {**found, **body})

    async def apply(self, path: str, body: Object) -> Object:
        """Fields of the first level; a status only where the object is there."""
        self._answer("PATCH", path)
        path = path.removesuffix("/status")
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

    def _answer(self, verb: str, path: str) -> None:
        self.calls[verb] = self.calls.get(verb, 0) + 1
        if self.down is not None:
            raise self.down
        if path in self.refuse:
            raise self.refuse[path]
