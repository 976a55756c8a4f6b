"""The system packages of the node: what is missing is installed where the system is a Debian, and said."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from local_cluster.cache import Say
from local_cluster.errors import Unavailable
from local_cluster.shell import call

WANTED = {
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "sysctl": "procps",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
}
INSTALL_S = 900.0


def missing() -> list[str]:
    """Names of Debian packages whose program is not here."""
    there = {name: Path(name).exists() if name.startswith("/") else shutil.which(name) for name in WANTED}
    return sorted({WANTED[name] for name, found in there.items() if not found})


def install(say: Say) -> None:
    """Does nothing where all is there. Raises Unavailable."""
    lacking = missing()
    if not lacking:
        return
    if shutil.which("apt-get") is None:
        raise Unavailable(f"install these (their names on Debian): {' '.join(lacking)}")
    say(f"installing with apt-get, for good: {' '.join(lacking)}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    call(["apt-get", "-qq", "update"], limit_s=INSTALL_S, environment=quiet)
    wanted = ["apt-get", "-qq", "install", "--yes", "--no-install-recommends", *lacking]
    call(wanted, limit_s=INSTALL_S, environment=quiet)
