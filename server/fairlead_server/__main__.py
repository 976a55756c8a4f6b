"""`python -m fairlead_server ROLE ...`: one program, and each role imports only what it needs.

serve                      a replica, or the driver of a pool on Ray: what a person starts
drain                      asks the replica on this machine to leave: what a pod's preStop hook runs
worker, trial, fetcher     children of a supervisor: nobody else starts them
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

ROLES = ("serve", "drain", "worker", "trial", "fetcher")


def main(argv: Sequence[str]) -> int:
    role, arguments = (argv[0], argv[1:]) if argv else ("", ())
    if role == "worker":
        from fairlead_server.worker.main import run_worker

        run_worker(arguments)
    if role == "trial":
        from fairlead_server.worker.main import run_trial

        run_trial(arguments)
    if role == "fetcher":
        _fetch(arguments)
        return 0
    if role == "serve":
        from fairlead_server.app.command import main as serve

        return serve(arguments)
    if role == "drain":
        from fairlead_server.app.leave import main as drain

        return drain(arguments)
    sys.stderr.write(f"fairlead_server: the roles are {', '.join(ROLES)}; try `serve --help`\n")
    return 2


def _fetch(arguments: Sequence[str]) -> None:
    from fairlead_server import log
    from fairlead_server.supervisor.fetcher import run_fetcher
    from fairlead_server.worker.arguments import parse
    from fairlead_server.worker.process import become_child

    become_child()
    found = parse(arguments)
    log.configure(found.settings.log_level, replica=found.settings.replica, boot=found.boot, worker="fetcher")
    run_fetcher(found.settings, found.link_fd)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
