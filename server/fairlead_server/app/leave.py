"""`drain`: asks the replica on this machine to leave, and waits until it has. What a pod's preStop hook runs.

A pod's deletion tells Ray nothing in time: without this its requests would die with it.
"""

from __future__ import annotations

import argparse
import http.client
import sys
from collections.abc import Sequence
from pathlib import Path

ANSWER_S = 300.0


def main(argv: Sequence[str]) -> int:
    found = _parser().parse_args(argv)
    try:
        token = Path(found.token_file).read_text(encoding="utf-8").split() if found.token_file else []
        status, said = _post(found.host, found.control_port, token, found.limit)
    except ConnectionRefusedError:
        sys.stderr.write("fairlead drain: no replica listens here, so there is nothing to drain\n")
        return 0
    except (OSError, http.client.HTTPException) as fault:
        sys.stderr.write(f"fairlead drain: {fault or type(fault).__name__}\n")
        return 1
    if status != http.client.OK:
        sys.stderr.write(f"fairlead drain: the replica answered {status}: {said}\n")
        return 1
    return 0


def _post(host: str, port: int, token: Sequence[str], limit_s: float) -> tuple[int, str]:
    connection = http.client.HTTPConnection(host, port, timeout=limit_s)
    try:
        headers = {"authorization": f"Bearer {token[0]}"} if token else {}
        connection.request("POST", "/control/drain", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(300).decode(errors="replace")
    finally:
        connection.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fairlead drain", description="Drain the replica on this machine.")
    parser.add_argument("--host", default="127.0.0.1", help="where its control API listens (default: %(default)s)")
    parser.add_argument("--control-port", type=int, default=8003, metavar="PORT", help="default: %(default)s")
    parser.add_argument("--token-file", default="", metavar="FILE", help="the control API's token")
    parser.add_argument("--limit", type=float, default=ANSWER_S, metavar="S", help="wait no longer (default: 300)")
    return parser
