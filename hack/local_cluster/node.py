"""A cluster of one node: control plane, containerd, kubelet and kube-proxy as processes, from pinned Go modules.

    programs -> namespaces -> etcd, API server -> controllers, scheduler -> containerd -> kubelet, kube-proxy -> ready

No Docker, no systemd, no image registry, no PKI: the API server signs itself, and a file of tokens says who is who.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from local_cluster import built_images, commands, containers, daemons, network, packages, programs
from local_cluster.cache import Say
from local_cluster.errors import Unavailable
from local_cluster.kubeconfigs import write_kubeconfig, write_signing_key, write_users
from local_cluster.layout import ADDRESS, API, API_PORT, ETCD, ETCD_PEERS, NODE, PODS, RUN, SERVICES, filled, store
from local_cluster.layout import kubeconfig as kubeconfig_of
from local_cluster.shell import succeeds

ADMINISTRATOR = "administrator"
USERS = {  # the name of the kubeconfig: the user and its group
    ADMINISTRATOR: (ADMINISTRATOR, "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kube-proxy": ("system:kube-proxy", ""),
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
}
FIRST_ENDED = ("kubelet", "kube-proxy", "kube-scheduler", "kube-controller-manager")  # before the containers
LAST_ENDED = ("containerd", "kube-apiserver", "etcd")
START_S = 180.0
READY_S = 300.0
CGROUPS = Path("/sys/fs/cgroup")
KUBECTL_CACHE = RUN / "kubectl"
FINISHED = RUN / "finished"


class Node:
    name = "a node of its own"
    brings_dns = False

    def __init__(self) -> None:
        self._server: Path | None = None
        self._node = Path()

    def is_up(self) -> bool:
        return FINISHED.exists() and daemons.pid(network.HOLDER) is not None

    def prepare(self, say: Say) -> None:
        if os.geteuid() != 0:
            raise Unavailable("no Docker answers here, and a node without it needs root (namespaces, mounts, iptables)")
        self.down(say)
        if list(_pod_cgroups()):
            raise Unavailable("another kubelet runs on this machine (there are cgroups called kubepods)")
        packages.install(say)

    def up(self, say: Say) -> None:
        self._server, self._node = programs.kept_api_server(say), programs.node(say)
        pause = built_images.archive(built_images.POD, say)
        RUN.mkdir(mode=0o711, parents=True)
        say("starting etcd, API server, controllers, scheduler")
        network.make()
        self._control_plane()
        say("starting containerd, kubelet, kube-proxy")
        self._containerd()
        containers.load(pause, built_images.POD.name)
        self._kubelet()

    def finished(self) -> None:
        FINISHED.touch()

    def down(self, say: Say) -> None:
        if not RUN.exists():
            return  # and whatever else runs on this machine is not ours
        if os.geteuid() != 0:
            raise Unavailable("root started the node, and only root can take it down")
        for name in FIRST_ENDED:
            daemons.end(name)
        if daemons.pid(network.HOLDER) is not None and containers.answers():
            say("ending containers")
            containers.clear()
        for name in LAST_ENDED:
            daemons.end(name)
        network.remove()
        with contextlib.suppress(OSError):  # something still runs in one of them: the next `up` says so
            for folder in _pod_cgroups():
                folder.rmdir()
        for place in (store() / "kubelet", RUN):
            _remove(place)

    def kubectl(self) -> Sequence[str]:
        options = [f"--kubeconfig={kubeconfig_of(ADMINISTRATOR)}", f"--cache-dir={KUBECTL_CACHE}"]
        return [*network.enter(), str(self._programs() / "kubectl"), *options]

    def load(self, archive: Path, *names: str) -> None:
        containers.load(archive, *names)

    def inside(self, command: Sequence[str]) -> Sequence[str]:
        into = network.enter()
        path = f"{self._programs()}:{os.environ.get('PATH', '')}"
        set_up = [f"KUBECONFIG={kubeconfig_of(ADMINISTRATOR)}", f"KUBECACHEDIR={KUBECTL_CACHE}", f"PATH={path}"]
        # nsenter leaves the folder that it is called in.
        return [*into, "env", *set_up, "sh", "-c", 'cd "$0" && exec "$@"', str(Path.cwd()), *command]

    def _programs(self) -> Path:
        """Where kube-apiserver, etcd and kubectl lie."""
        if self._server is None:
            self._server = programs.kept_api_server(lambda _: None)
        return self._server

    def _control_plane(self) -> None:
        tokens = {name: secrets.token_hex(16) for name in USERS}
        write_users(RUN / "tokens.csv", {tokens[name]: user for name, user in USERS.items()})
        key = write_signing_key(RUN / "service-accounts.key")
        for name, token in tokens.items():
            write_kubeconfig(kubeconfig_of(name), API, _authority(), token)
        self._start("etcd", commands.etcd(self._programs() / "etcd", RUN / "etcd", ETCD, ETCD_PEERS))
        more = [
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--kubelet-preferred-address-types=InternalIP",
        ]
        server = self._programs() / "kube-apiserver"
        self._start("kube-apiserver", commands.api_server(server, ETCD, ADDRESS, API_PORT, RUN, more=more))
        daemons.wait("kube-apiserver", lambda: succeeds([*self.kubectl(), "get", "--raw=/readyz"]), START_S)
        self._start("kube-controller-manager", _controller_manager(self._node, key))
        self._start("kube-scheduler", _scheduler(self._node))

    def _containerd(self) -> None:
        _write("network/10-pods.conflist", filled("network.conflist"))
        _write("containerd.toml", filled("containerd.toml"))
        self._start("containerd", ["containerd", f"--config={RUN / 'containerd.toml'}"])
        daemons.wait("containerd", containers.answers, START_S)

    def _kubelet(self) -> None:
        _write("kubelet.yaml", filled("kubelet.yaml"))
        _write("kube-proxy.yaml", filled("kube-proxy.yaml"))
        _write("resolv.conf", "")  # no name server of the host's is to be asked
        kubelet = [
            str(self._node / "kubelet"),
            f"--kubeconfig={kubeconfig_of('kubelet')}",
            f"--config={RUN / 'kubelet.yaml'}",
            f"--root-dir={store() / 'kubelet'}",
            f"--cert-dir={RUN / 'kubelet-certs'}",
            f"--hostname-override={NODE}",
            f"--node-ip={ADDRESS}",
        ]
        self._start("kubelet", kubelet)
        self._start("kube-proxy", [str(self._node / "kube-proxy"), f"--config={RUN / 'kube-proxy.yaml'}"])
        ready = [*self.kubectl(), "wait", "--for=condition=Ready", f"node/{NODE}", "--timeout=1s"]
        daemons.wait("kubelet", lambda: succeeds(ready), READY_S)

    def _start(self, name: str, command: Sequence[str]) -> None:
        daemons.start(name, [*network.enter(), *command])


def _authority() -> Path:
    return RUN / "certs" / "apiserver.crt"


def _controller_manager(programs: Path, key: Path) -> list[str]:
    return [
        str(programs / "kube-controller-manager"),
        f"--kubeconfig={kubeconfig_of('kube-controller-manager')}",
        "--bind-address=127.0.0.1",
        f"--cert-dir={RUN / 'certs'}",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={key}",
        f"--root-ca-file={_authority()}",
        f"--cluster-cidr={PODS}",
        f"--service-cluster-ip-range={SERVICES}",
        "--leader-elect=false",
    ]


def _scheduler(programs: Path) -> list[str]:
    own = kubeconfig_of("kube-scheduler")
    return [
        str(programs / "kube-scheduler"),
        f"--kubeconfig={own}",
        f"--authentication-kubeconfig={own}",
        f"--authorization-kubeconfig={own}",
        "--bind-address=127.0.0.1",
        f"--cert-dir={RUN / 'certs'}",
        "--leader-elect=false",
    ]


def _write(name: str, text: str) -> None:
    file = RUN / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def _pod_cgroups() -> Sequence[Path]:
    """What a kubelet leaves behind, innermost first."""
    roots = [*CGROUPS.glob("kubepods"), *CGROUPS.glob("*/kubepods")]
    inner = [folder for root in roots for folder in root.rglob("*") if folder.is_dir()]
    return [*sorted(inner, key=lambda folder: -len(folder.parts)), *roots]


def _remove(place: Path) -> None:
    """Its mounts ended with the namespace that they were in; what is mounted here is not ours to delete."""
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    if any(Path(where).is_relative_to(place) for where in mounted):
        raise Unavailable(f"something is still mounted below {place}: end what uses it")
    shutil.rmtree(place, ignore_errors=True)
