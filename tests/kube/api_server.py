"""A real API server for tests: one etcd and one kube-apiserver on loopback, without root.

    api_server.kubectl("get", "pods", namespace=namespace)     what it wrote; raises Refused with its complaint
    api_server.kubectl("get", "pods", user="system:serviceaccount:ns:name")     impersonation
    api_server.apply(document, ...)                            server-side apply of dicts
    api_server.get("servedmodels", "digits", namespace)        the object as a dict
    api_server.http                                            httpx.Client as administrator, for everything else
    api_server.kubeconfig                                      a file, as administrator
    api_server.kubeconfig_of(namespace, "fairlead-operator")   a file, as this service account, with a real token
    api_server.install(folder)                                 CRDs, waited for
    api_server.restart() / .kill() / .stop() / .start()        the same address, the same etcd
    api_server.compact()                                       etcd forgets all revisions but the newest

There are no controllers: nothing makes pods, EndpointSlices are whatever a test writes, an owner's deletion takes
nothing along, and a pod needs no service account. RBAC is on; the administrator is in system:masters.
Every process stands under a keeper: it ends when the test run dies, however it dies.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from benchmark.processes import Process, ports, running
from local_cluster import commands
from local_cluster.kubeconfigs import write_kubeconfig, write_signing_key, write_users

HOST = "127.0.0.1"
TOKEN = "administrator"
READY_S = 180.0  # two busy cores; alone it is a few seconds
CALL_S = 60.0
MORE = (
    "--authorization-mode=RBAC",
    "--disable-admission-plugins=ServiceAccount",  # nobody makes the service account that every pod would have
    "--endpoint-reconciler-type=none",  # a loopback address is no endpoint
    "--feature-gates=WatchCacheInitializationPostStartHook=true",  # ready: it answers no list with 429 any more
)


class Refused(Exception):
    """kubectl ended with an error; the text is what it said."""


class ApiServer:
    """Use the fixture `api_server`, or `with ApiServer(programs, folder) as server` for one of your own."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.folder = folder
        self.kubeconfig = folder / "administrator.kubeconfig"
        self._programs = programs
        self._ports = range(0)
        self._life = contextlib.ExitStack()  # etcd, the client, and the ports: what outlives a restart
        self._run = contextlib.ExitStack()  # the API server's process
        self._process: Process | None = None
        self._client: httpx.Client | None = None
        self._starts = 0

    def __enter__(self) -> ApiServer:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_users(self.folder / "tokens.csv", {TOKEN: ("administrator", "system:masters")})
        write_signing_key(self.folder / "service-accounts.key")
        with contextlib.ExitStack() as undo:
            undo.callback(self._life.close)
            self._ports = self._life.enter_context(ports(3))
            self._start_etcd()
            self.start()
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._life.close()

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self._ports[0]}"

    @property
    def etcd_url(self) -> str:
        return f"http://{HOST}:{self._ports[1]}"

    @property
    def authority(self) -> Path:
        """The certificate that the API server signed itself at its first start."""
        return self.folder / "certs" / "apiserver.crt"

    @property
    def http(self) -> httpx.Client:
        """As administrator; paths are relative to the server's address."""
        assert self._client is not None, "the API server was not started"
        return self._client

    def start(self) -> None:
        """Returns when it is ready to answer, its own roles included."""
        assert self._process is None, "it is running"
        self._starts += 1
        program = self._programs / "kube-apiserver"
        command = commands.api_server(program, self.etcd_url, HOST, self._ports[0], self.folder, more=MORE)
        log = self.folder / f"kube-apiserver.{self._starts}.log"
        self._process = self._run.enter_context(running("kube-apiserver", command, log))
        with contextlib.ExitStack() as undo:
            undo.callback(self.kill)
            self._process.wait(self._ready, READY_S)
            undo.pop_all()

    def stop(self) -> None:
        """SIGTERM: it finishes what it has in hand, and ends the watches."""
        self._process = None
        self._run.close()

    def kill(self) -> None:
        """SIGKILL: whoever watches sees the connection end."""
        for pid in self._process.pids() if self._process is not None else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.stop()

    def restart(self) -> None:
        """Killed and started again: the same address, the same objects."""
        self.kill()
        self.start()

    def compact(self) -> int:
        """etcd forgets what was before; the revision that is the oldest from now on."""
        head = self._etcd("kv/range", {"key": "AA==", "limit": 1})["header"]
        self._etcd("kv/compaction", {"revision": head["revision"], "physical": True})
        return int(head["revision"])

    def kubectl(
        self,
        *arguments: str,
        namespace: str | None = None,
        stdin: str | None = None,
        user: str | None = None,
        limit_s: float = CALL_S,
    ) -> str:
        """What it wrote; `user` is impersonated. Raises Refused."""
        options = [f"--kubeconfig={self.kubeconfig}"]
        options += [f"--namespace={namespace}"] if namespace else []
        options += [f"--as={user}"] if user else []
        done = subprocess.run(
            [str(self._programs / "kubectl"), *options, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=limit_s,
            env={**os.environ, "HOME": str(self.folder)},  # where it caches what the server knows
        )
        if done.returncode:
            raise Refused(done.stderr.strip() or done.stdout.strip())
        return done.stdout

    def apply(self, *documents: Mapping[str, Any], manager: str = "test", user: str | None = None) -> None:
        """Server-side apply, as this field manager. Raises Refused."""
        text = yaml.safe_dump_all([dict(one) for one in documents])
        self.kubectl("apply", "--server-side", f"--field-manager={manager}", "-f", "-", stdin=text, user=user)

    def get(self, kind: str, name: str, namespace: str | None = None) -> dict[str, Any]:
        """The object, managed fields and all; raises Refused where there is none."""
        whole = ("--output=json", "--show-managed-fields")
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, *whole, namespace=namespace))
        return found

    def install(self, crds: Path) -> None:
        """The definitions of a file or a folder; returns when all of them are served."""
        where = ("-f", str(crds))
        self.kubectl("apply", "--server-side", "--force-conflicts", *where, limit_s=READY_S)
        limit = f"--timeout={READY_S:g}s"
        self.kubectl("wait", "--for=condition=Established", limit, *where, limit_s=2 * READY_S)

    def kubeconfig_of(self, namespace: str, service_account: str) -> Path:
        """As this service account, which must be there; the token is good for an hour."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        token = self.http.post(path, json=body).raise_for_status().json()["status"]["token"]
        file = self.folder / f"{namespace}.{service_account}.kubeconfig"
        return write_kubeconfig(file, self.url, self.authority, token, namespace)

    def _start_etcd(self) -> None:
        peers = f"http://{HOST}:{self._ports[2]}"
        command = commands.etcd(self._programs / "etcd", self.folder / "etcd", self.etcd_url, peers)
        etcd = self._life.enter_context(running("etcd", command, self.folder / "etcd.log"))
        etcd.wait(lambda: httpx.get(f"{self.etcd_url}/health", trust_env=False).is_success, READY_S)

    def _ready(self) -> bool:
        if self._client is None:
            if not self.authority.with_suffix(".key").exists():  # written after the certificate
                return False
            self._client = self._life.enter_context(self._connected())
            write_kubeconfig(self.kubeconfig, self.url, self.authority, TOKEN)
        return self._client.get("/readyz").is_success

    def _connected(self) -> httpx.Client:
        trust = ssl.create_default_context(cafile=str(self.authority))
        headers = {"authorization": f"Bearer {TOKEN}"}
        return httpx.Client(base_url=self.url, verify=trust, headers=headers, timeout=CALL_S, trust_env=False)

    def _etcd(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        answer = httpx.post(f"{self.etcd_url}/v3/{path}", json=body, timeout=CALL_S, trust_env=False)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found
