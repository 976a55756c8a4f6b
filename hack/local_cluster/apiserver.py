"""`hack/apiserver`: finds or makes the API server that the tests start, and prints the folder of its programs."""

from __future__ import annotations

import sys
from functools import partial

from local_cluster import programs
from local_cluster.crds import PLACES, crds
from local_cluster.errors import Unavailable
from local_cluster.shell import call

say = partial(print, file=sys.stderr, flush=True)


def main() -> int:
    """0: it is there; 1: it cannot be had, and one line says why."""
    try:
        folder = programs.api_server(lambda line: say(f"apiserver: {line}"))
        for name in PLACES:
            crds(name, lambda line: say(f"apiserver: {line}"))
        say(f"apiserver: {call([str(folder / 'kube-apiserver'), '--version']).strip()}")
    except Unavailable as why:
        say(f"apiserver: {why}")
        return 1
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
