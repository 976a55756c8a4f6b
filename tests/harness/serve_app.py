"""A pool on a running Ray as Serve's config files name it, by `fairlead_server.app.builder:pool`.

    python tests/harness/serve_app.py ADDRESS ARGS_AS_JSON

Runs until its standard input ends.
"""

import json
import sys

import ray
from ray import serve

from fairlead_server.app.builder import pool


def main() -> None:
    address, args = sys.argv[1:]
    ray.init(address=address, log_to_driver=False, logging_level="error")
    serve.start(proxy_location="Disabled")
    target = serve.RunTarget(pool(json.loads(args)), name="pool", route_prefix=None)
    serve.run_many([target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)
    try:
        sys.stdin.read()
    finally:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main()
