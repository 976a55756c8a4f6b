"""A cluster by kind, where Docker works: the usual way on a developer's machine, with the internet at hand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from local_cluster import cache, modules, programs
from local_cluster.cache import Say
from local_cluster.images import called
from local_cluster.shell import call, succeeds

NAME = "fairlead"
READY = "300s"
UP_S = 1200.0
LOAD_S = 600.0
ASK_S = 20.0


def works() -> bool:
    """Whether a Docker answers."""
    return shutil.which("docker") is not None and succeeds(["docker", "info"], limit_s=ASK_S)


class Kind:
    name = "kind"
    brings_dns = True

    def is_up(self) -> bool:
        return self._finished().exists() and NAME in call([self._program(), "get", "clusters"]).split()

    def prepare(self, say: Say) -> None:
        self.down(say)

    def up(self, say: Say) -> None:
        say("creating a cluster: the first time, its image of 1 GB is fetched")
        self._kubeconfig().parent.mkdir(parents=True, exist_ok=True)
        where = ("--name", NAME, "--kubeconfig", str(self._kubeconfig()))
        call([self._program(say), "create", "cluster", *where, "--wait", READY], limit_s=UP_S)

    def finished(self) -> None:
        self._finished().touch()

    def down(self, say: Say) -> None:
        self._finished().unlink(missing_ok=True)
        where = ("--name", NAME, "--kubeconfig", str(self._kubeconfig()))
        call([self._program(say), "delete", "cluster", *where], limit_s=UP_S)

    def kubectl(self) -> Sequence[str]:
        return [str(_kubectl()), f"--kubeconfig={self._kubeconfig()}"]

    def load(self, archive: Path, *names: str) -> None:
        call([self._program(), "load", "image-archive", str(archive), "--name", NAME], limit_s=LOAD_S)
        found = _canonical(called(archive))
        for name in names:
            if name != found:
                tag = ["ctr", "--namespace=k8s.io", "images", "tag", "--force", found, name]
                call(["docker", "exec", f"{NAME}-control-plane", *tag])

    def inside(self, command: Sequence[str]) -> Sequence[str]:
        path = f"{_kubectl().parent}:{os.environ.get('PATH', '')}"
        return ["env", f"KUBECONFIG={self._kubeconfig()}", f"PATH={path}", *command]

    def _kubeconfig(self) -> Path:
        return cache.home() / "kind.kubeconfig"

    def _finished(self) -> Path:
        return cache.home() / "kind.finished"

    def _program(self, say: Say = lambda _: None) -> str:
        built = f"kind-{modules.pinned('kind')}"
        return shutil.which("kind") or str(
            cache.made(built, lambda into: modules.build("kind", ["sigs.k8s.io/kind"], into, say), say) / "kind"
        )


def _canonical(name: str) -> str:
    """As containerd calls what Docker calls `name`."""
    host, slash, _ = name.partition("/")
    if not slash:
        return f"docker.io/library/{name}"
    return name if "." in host or ":" in host or host == "localhost" else f"docker.io/{name}"


def _kubectl() -> Path:
    found = shutil.which("kubectl")
    return Path(found) if found else programs.api_server(lambda _: None) / "kubectl"
