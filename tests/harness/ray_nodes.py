"""A real Ray of several nodes on this machine: a head without workload and N worker nodes.

    python tests/harness/ray_nodes.py N

Prints one line of JSON ({"address": ...}) when all nodes are up, and ends them when its standard
input ends, so that they never outlive the test that started this.
"""

import json
import sys

import ray
from ray.cluster_utils import Cluster

MEMORY = 100 * 2**20


def main() -> None:
    nodes = int(sys.argv[1])
    head = {"num_cpus": 0, "object_store_memory": MEMORY, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, connect=False, head_node_args=head)
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=2, object_store_memory=MEMORY)
        cluster.wait_for_nodes(timeout=60)
        print(json.dumps({"address": cluster.address}), flush=True)
        sys.stdin.read()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    if not ray.__version__.startswith("2."):
        raise SystemExit(f"ray {ray.__version__}: this harness knows ray 2")
    main()
