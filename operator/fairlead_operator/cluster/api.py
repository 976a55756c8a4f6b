"""The API server: plain JSON in and out, each call with a time limit. The only file with `kubernetes`.

Which objects there are, and what is done with them, is the other files' business; README.md lists the rights that
all of them need together.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio import client, config

from fairlead_operator.resource import GROUP, PLURAL, VERSION

LIMIT_S = 4.0  # of one call: less than what a lease leaves between giving it up and losing it
LIST_LIMIT_S = 60.0
WATCH_S = 300  # the API server ends a watch after so long, and it is begun again
SILENT_S = 90.0  # a bookmark comes about each minute: a watch that is silent for longer is broken
FAREWELL_S = 0.25  # aiohttp closes TLS connections in the loop's next rounds
MANAGER = "fairlead-operator"

JSON, MERGE, APPLY = "application/json", "application/merge-patch+json", "application/apply-patch+yaml"
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

Object = dict[str, Any]


class ApiFault(OSError):
    """The API server refused (`status` and `reason` as in metav1.Status), or gave no answer (`status` 0)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{message} ({status} {reason})" if status else message)
        self.status = status
        self.reason = reason

    @property
    def gone(self) -> bool:
        return self.status == 404

    @property
    def conflict(self) -> bool:
        """Somebody else was faster: the object changed, or exists already."""
        return self.status == 409


class Expired(Exception):
    """410: what a watch would go on from is not kept any more; list again."""


class Api:
    """One API server. `calls` counts what was asked of it, by verb."""

    def __init__(self, client_: client.ApiClient) -> None:
        self._client = client_
        self.calls: dict[str, int] = {}

    @classmethod
    async def connect(cls, kubeconfig: str | None) -> Api:
        """With a kubeconfig file, or as the pod's service account. Raises ValueError with what is missing."""
        settings = client.Configuration()
        try:
            if kubeconfig:
                await config.load_kube_config(kubeconfig, client_configuration=settings)
            else:
                config.load_incluster_config(client_configuration=settings)
        except (config.ConfigException, OSError) as error:
            where = f"--kubeconfig {kubeconfig}" if kubeconfig else "no pod's service account, and no --kubeconfig"
            raise ValueError(f"{where}: {error}") from None
        return cls(client.ApiClient(configuration=settings))

    async def close(self) -> None:
        await self._client.close()
        await asyncio.sleep(FAREWELL_S)

    async def get(self, path: str, **query: str) -> Object:
        return await self._call("GET", path, query)

    async def listed(self, path: str, accept: str = JSON, *, newest: bool = False, **query: str) -> Object:
        """A list from the API server's own cache: it costs etcd nothing, and its resourceVersion says how old it is.
        `newest`: what etcd has now."""
        if not newest:
            query = {"resourceVersion": "0", **query}
        return await self._call("GET", path, query, accept=accept, limit_s=LIST_LIMIT_S)

    async def create(self, path: str, body: Object) -> Object:
        return await self._call("POST", path, {"fieldManager": MANAGER}, body)

    async def replace(self, path: str, body: Object) -> Object:
        """The body's resourceVersion is the precondition."""
        return await self._call("PUT", path, {"fieldManager": MANAGER}, body)

    async def merge(self, path: str, body: Object) -> Object:
        return await self._call("PATCH", path, {"fieldManager": MANAGER}, body, MERGE)

    async def apply(self, path: str, body: Object) -> Object:
        """Server-side apply under our own field manager; ours are the fields that the body names."""
        return await self._call("PATCH", path, {"fieldManager": MANAGER, "force": "true"}, body, APPLY)

    async def delete(self, path: str, uid: str) -> None:
        """The object with this UID, and no other that has its name since."""
        await self._call("DELETE", path, {}, {"preconditions": {"uid": uid}})

    async def watch(self, path: str, since: str, **query: str) -> AsyncIterator[tuple[str, Object]]:
        """(ADDED, MODIFIED, DELETED or BOOKMARK, the object) until the API server ends it. Raises Expired,
        or ApiFault."""
        query = {
            "watch": "true", "allowWatchBookmarks": "true", "resourceVersion": since, "timeoutSeconds": str(WATCH_S),
            **query,
        }  # fmt: skip
        limit = aiohttp.ClientTimeout(total=WATCH_S + 30, connect=LIMIT_S, sock_read=SILENT_S)
        response = await self._send("GET", path, query, None, JSON, JSON, limit)
        rest = b""
        try:
            if response.status != 200:
                raise _fault(response.status, await response.read())
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield _event(line)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiFault(0, "NoAnswer", f"the watch broke: {error or type(error).__name__}") from None
        finally:
            response.close()

    async def _call(
        self, verb: str, path: str, query: Mapping[str, str], body: Any = None, content: str = JSON, *,
        accept: str = JSON, limit_s: float = LIMIT_S,
    ) -> Object:  # fmt: skip
        limit = aiohttp.ClientTimeout(total=limit_s)
        response = await self._send(verb, path, query, body, content, accept, limit)
        try:
            data = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiFault(0, "NoAnswer", f"half an answer: {error or type(error).__name__}") from None
        finally:
            response.release()
        if response.status >= 300:
            raise _fault(response.status, data)
        found: Object = json.loads(data) if data else {}
        return found

    async def _send(
        self, verb: str, path: str, query: Mapping[str, str], body: Any, content: str, accept: str,
        limit: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:  # fmt: skip
        self.calls[verb] = self.calls.get(verb, 0) + 1
        headers = {"Accept": accept, "Content-Type": content, "User-Agent": MANAGER}
        url = f"{self._client.configuration.host}{path}?{urlencode(query)}"
        try:
            await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, verb, None)
            answer = await self._client.rest_client.request(
                verb, url, headers=headers, body=body, _request_timeout=limit
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = str(error) or f"no answer within {limit.total or limit.connect:g} s"
            raise ApiFault(0, "NoAnswer", f"the API server: {why}") from None
        response: aiohttp.ClientResponse = answer.response
        return response


def _fault(status: int, data: bytes) -> ApiFault | Expired:
    told: Object = {}
    with contextlib.suppress(ValueError):
        told = json.loads(data)
    if status == 410:
        return Expired()
    return ApiFault(status, told.get("reason", ""), told.get("message") or data[:200].decode(errors="replace"))


def _event(line: bytes) -> tuple[str, Object]:
    found = json.loads(line)
    if found["type"] == "ERROR":
        told = found["object"]
        raise _fault(told.get("code", 500), json.dumps(told).encode())
    return found["type"], found["object"]


# --- where things are


def served_models(namespace: str = "", name: str = "", sub: str = "") -> str:
    return _path(f"/apis/{GROUP}/{VERSION}", namespace, PLURAL, name, sub)


def config_maps(namespace: str, name: str = "") -> str:
    return _path("/api/v1", namespace, "configmaps", name)


def endpoint_slices(namespace: str) -> str:
    return _path("/apis/discovery.k8s.io/v1", namespace, "endpointslices")


def leases(namespace: str, name: str = "") -> str:
    return _path("/apis/coordination.k8s.io/v1", namespace, "leases", name)


def events(namespace: str, name: str = "") -> str:
    return _path("/api/v1", namespace, "events", name)


def _path(root: str, namespace: str, plural: str, name: str = "", sub: str = "") -> str:
    parts = [root]
    parts += ["namespaces", quote(namespace, safe="")] if namespace else []
    parts += [plural, *(quote(part, safe="") for part in (name, sub) if part)]
    return "/".join(parts)


async def pause(seconds: float, wake: asyncio.Event) -> None:
    """Until somebody wakes, at most so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):  # wait_for would lose a cancellation that comes with the event
            await wake.wait()
    wake.clear()
