"""kubectl and helm as a person calls them, against the cluster that `hack/cluster exec` names."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LIMIT_S = 180.0

Object = dict[str, Any]


def run(command: Sequence[str] | str, limit_s: float = LIMIT_S, stdin: str = "") -> str:
    """What it printed, from the repository's root; a text is a line for bash. A failure is the test's."""
    words = ["bash", "-c", command] if isinstance(command, str) else list(command)
    done = subprocess.run(words, cwd=ROOT, input=stdin, capture_output=True, text=True, timeout=limit_s, check=False)
    assert done.returncode == 0, f"{command}: exit status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def kubectl(*words: str, limit_s: float = LIMIT_S, stdin: str = "") -> str:
    return run(["kubectl", *words], limit_s, stdin)


def rolled_out(deployment: str, namespace: str) -> None:
    words = ("rollout", "status", f"deployment/{deployment}", f"--namespace={namespace}", f"--timeout={LIMIT_S:g}s")
    kubectl(*words, limit_s=LIMIT_S + 20)


def get(*words: str) -> Object:
    """One object, or none ({}), as `kubectl get` finds it."""
    text = kubectl("get", *words, "--output=json", "--ignore-not-found")
    found: Object = json.loads(text) if text else {}
    return found


def listed(*words: str) -> list[Object]:
    items: list[Object] = get(*words).get("items", [])
    return items


def true(conditioned: Object, condition: str) -> bool:
    """Whether an object, a pod say, has this condition."""
    found = conditioned.get("status", {}).get("conditions", [])
    return any(entry["type"] == condition and entry["status"] == "True" for entry in found)
