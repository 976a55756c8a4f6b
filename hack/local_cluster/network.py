"""Network and mount namespaces of the node's own, so that nothing of the host's changes and no traffic leaves.

A process that only sleeps holds both open; everything else of the node enters them. Its mounts are shared among the
node's processes (volumes want that) and private to them: when the last one ends, the kernel takes the mounts away.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from local_cluster import daemons
from local_cluster.errors import Unavailable
from local_cluster.layout import ADDRESS, BRIDGE, NETWORK, SERVICES
from local_cluster.shell import call, succeeds

HOLDER = "namespaces"
NETWORKS = Path("/run/netns")
BRIDGED = Path("/proc/sys/net/bridge")
OPEN_S = 10.0


def enter() -> list[str]:
    """The words before a command that make it run inside. Raises Unavailable when there is no inside."""
    holder = daemons.pid(HOLDER)
    if holder is None:
        raise Unavailable("the cluster is not up: hack/cluster up")
    return ["nsenter", f"--target={holder}", "--net", "--mount", "--"]


def inside(*command: str) -> str:
    return call([*enter(), *command])


def make() -> None:
    """The namespaces and the bridge that pods hang on; the node's address is there at once."""
    if not BRIDGED.exists() and not (shutil.which("modprobe") and succeeds(["modprobe", "br_netfilter"])):
        raise Unavailable("the kernel has no br_netfilter, without which Services do not work")
    call(["ip", "netns", "add", NETWORK])
    hold = ["nsenter", f"--net={NETWORKS / NETWORK}", "unshare", "--mount", "--propagation", "private"]
    daemons.start(HOLDER, [*hold, "sh", "-c", "mount --make-rshared / && echo ready && exec sleep infinity"])
    daemons.wait(HOLDER, lambda: daemons.tail(HOLDER).endswith("ready"), OPEN_S)
    for command in _commands():
        inside(*command)


def remove() -> None:
    """Whatever of it is there, the network namespaces of pods first."""
    holder = daemons.pid(HOLDER)
    if holder is not None:
        for name in sorted(_networks(str(holder)) - _networks("self")):
            inside("ip", "netns", "delete", name)
    daemons.end(HOLDER)
    if (NETWORKS / NETWORK).exists():
        call(["ip", "netns", "delete", NETWORK])


def _networks(process: str) -> set[str]:
    """The named network namespaces that this process sees mounted; those of pods are seen inside alone."""
    places = (line.split()[4] for line in Path(f"/proc/{process}/mountinfo").read_text().splitlines())
    return {Path(place).name for place in places if Path(place).parent == NETWORKS}


def _commands() -> Sequence[Sequence[str]]:
    width = "/24"
    return (
        ("ip", "link", "set", "lo", "up"),
        ("ip", "link", "add", BRIDGE, "type", "bridge"),
        ("ip", "address", "add", ADDRESS + width, "dev", BRIDGE),
        ("ip", "link", "set", BRIDGE, "up"),
        ("ip", "route", "add", SERVICES, "dev", BRIDGE),  # Services are reached from outside a pod, too
        ("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1"),
    )
