"""The node's addresses, names and folders: values that its configuration files and its command lines share."""

from __future__ import annotations

import string
from pathlib import Path

from local_cluster import cache

TEMPLATES = Path(__file__).parent / "templates"

NETWORK = "fairlead-cluster"  # the network namespace
BRIDGE = "cni0"
NODE = "node1"
ADDRESS = "10.244.0.1"  # the bridge's: the API server and the kubelet listen here, and pods reach them
PODS = "10.244.0.0/24"
FIRST_POD = "10.244.0.10"
SERVICES = "10.96.0.0/16"
DNS = "10.96.0.10"
API_PORT = 26443
API = f"https://{ADDRESS}:{API_PORT}"
ETCD = "http://127.0.0.1:26379"
ETCD_PEERS = "http://127.0.0.1:26380"

RUN = Path("/run/fairlead-cluster")  # short: sockets lie in it
POD_IMAGE = "localhost/fairlead/pod:1"
COREDNS_IMAGE = "localhost/coredns:1.13.1"
KUBERAY_IMAGE = "localhost/kuberay/operator:v1.6.0"


def store() -> Path:
    """Where images are kept from one cluster to the next; the kubelet's folder, too, which is not kept."""
    return cache.home() / "store"


def kubeconfig(who: str = "administrator") -> Path:
    return RUN / f"{who}.kubeconfig"


def filled(template: str) -> str:
    """The text of templates/`template` with the values of this file."""
    values = {
        "run": RUN,
        "store": store(),
        "address": ADDRESS,
        "bridge": BRIDGE,
        "node": NODE,
        "pods": PODS,
        "first_pod": FIRST_POD,
        "dns": DNS,
        "pod_image": POD_IMAGE,
        "coredns_image": COREDNS_IMAGE,
        "kuberay_name": KUBERAY_IMAGE.rpartition(":")[0],
        "kuberay_tag": KUBERAY_IMAGE.rpartition(":")[2],
    }
    return string.Template((TEMPLATES / template).read_text()).substitute(values)
