"""Network and mount namespaces of the node's own, so that nothing of the host's changes and no traffic leaves.

A process that only sleeps holds both open; everything else of the node enters them. Its mounts are shared among the
node's processes (volumes want that) and private to them: when the last one ends, the kernel takes the mounts away.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from local_cluster import daemons
from local_cluster.errors import Unavailable
from local_cluster.layout import ADDRESS, BRIDGE, NETWORK, RUN, SERVICES
from local_cluster.shell import call, succeeds

HOLDER = "namespaces"
NETWORKS = Path("/run/netns")
BRIDGED = Path("/proc/sys/net/bridge")
OPEN_S = 10.0
MACHINE_WIDE = {
    # What a kubelet sets, and no namespace has for itself: inside, a file above each says that it is so already.
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1000000,
    "kernel/keys/root_maxbytes": 25000000,
}
PLACES = (  # where the node's programs write, whatever they are told
    Path("/etc/cni"),
    Path("/run/containerd"),
    Path("/usr/libexec/kubernetes"),
    Path("/var/lib/cni"),
    Path("/var/lib/kubelet"),
    Path("/var/log/containers"),
)
MADE = RUN / "made"  # those of them that were not there
LOADED = RUN / "loaded"  # the kernel's module was not there either


def enter() -> list[str]:
    """The words before a command that make it run inside. Raises Unavailable when there is no inside."""
    holder = daemons.pid(HOLDER)
    if holder is None:
        raise Unavailable("the cluster is not up: hack/cluster up")
    return ["nsenter", f"--target={holder}", "--net", "--mount", "--"]


def inside(*command: str) -> str:
    return call([*enter(), *command])


def make() -> None:
    """The namespaces, and in them the bridge that pods hang on and the settings that a kubelet wants."""
    if not BRIDGED.exists():
        if not (shutil.which("modprobe") and succeeds(["modprobe", "br_netfilter"])):
            raise Unavailable("the kernel has no br_netfilter, without which Services do not work")
        LOADED.touch()
        call(["sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0"])  # as if it were not there, for other bridges
    call(["ip", "netns", "add", NETWORK])
    hold = ["nsenter", f"--net={NETWORKS / NETWORK}", "unshare", "--mount", "--propagation", "private"]
    daemons.start(HOLDER, [*hold, "sh", "-c", "mount --make-rshared / && echo ready && exec sleep infinity"])
    daemons.wait(HOLDER, lambda: daemons.tail(HOLDER).endswith("ready"), OPEN_S)
    for command in _commands():
        inside(*command)
    _cover()


def remove() -> None:
    """Whatever of it is there, the network namespaces of pods first."""
    holder = daemons.pid(HOLDER)
    if holder is not None:
        for name in sorted(_networks(str(holder)) - _networks("self")):
            inside("ip", "netns", "delete", name)
    daemons.end(HOLDER)
    if (NETWORKS / NETWORK).exists():
        call(["ip", "netns", "delete", NETWORK])
    if LOADED.exists():
        succeeds(["modprobe", "--remove", "br_netfilter"])  # or somebody else uses it by now
    for place in MADE.read_text().splitlines() if MADE.exists() else ():
        with contextlib.suppress(OSError):  # somebody else uses it by now
            Path(place).rmdir()


def _cover() -> None:
    """Puts something of the node's own above all of the host's that the node would change."""
    for number, (name, value) in enumerate(MACHINE_WIDE.items()):
        file = RUN / f"machine-wide-{number}"
        file.write_text(f"{value}\n")
        inside("mount", "--bind", str(file), f"/proc/sys/{name}")
    MADE.write_text("".join(f"{place}\n" for place in PLACES if not place.exists()))
    for place in PLACES:
        place.mkdir(parents=True, exist_ok=True)
        inside("mount", "-t", "tmpfs", "tmpfs", str(place))


def _networks(process: str) -> set[str]:
    """The named network namespaces that this process sees mounted; those of pods are seen inside alone."""
    places = (line.split()[4] for line in Path(f"/proc/{process}/mountinfo").read_text().splitlines())
    return {Path(place).name for place in places if Path(place).parent == NETWORKS}


def _commands() -> Sequence[Sequence[str]]:
    return (
        ("ip", "link", "set", "lo", "up"),
        ("ip", "link", "add", BRIDGE, "type", "bridge"),
        ("ip", "address", "add", f"{ADDRESS}/24", "dev", BRIDGE),
        ("ip", "link", "set", BRIDGE, "up"),
        ("ip", "route", "add", SERVICES, "dev", BRIDGE),  # Services are reached from outside a pod, too
        ("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1"),
    )
