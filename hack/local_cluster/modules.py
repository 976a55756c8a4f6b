"""Programs and files out of pinned Go modules: modules/NAME holds a go.mod and a go.sum, and Go does the rest.

Go's own settings are respected (GOPROXY, GONOSUMDB, GOMODCACHE, ...): nothing here names an address, and go.sum makes
whatever comes the same files.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from local_cluster.cache import Say, key
from local_cluster.errors import Unavailable

MODULES = Path(__file__).parent / "modules"
BUILD_S = 3000.0
FETCH_S = 600.0
SPOKEN_S = 15.0  # between two lines of progress
TAIL = 3  # lines of Go's own complaint


def pinned(name: str) -> str:
    """A key of what the module pins and of the sources that stand beside it."""
    return key(*sorted(path for path in (MODULES / name).iterdir() if path.is_file()))


def build(name: str, packages: Sequence[str], into: Path, say: Say, *, link: Mapping[str, str] | None = None) -> None:
    """Compiles the module's `packages` (static, for this machine) to programs in `into`.

    `link` sets string variables by their full names. Raises Unavailable with the end of what Go said.
    """
    flags = " ".join(["-s", "-w", *(f"-X {variable}={value}" for variable, value in (link or {}).items())])
    command = [_go(), "build", "-v", "-mod=readonly", "-trimpath", "-ldflags", flags, "-o", f"{into}/", *packages]
    started = spoken = time.monotonic()
    last: list[str] = []
    count = 0
    with subprocess.Popen(
        command, cwd=MODULES / name, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                last = [*last, line.strip()][-TAIL:]
                count += 1
                now = time.monotonic()
                if now - spoken > SPOKEN_S:
                    spoken = now
                    say(f"building {name}: {count} packages after {now - started:.0f} s")
                if now - started > BUILD_S:
                    raise Unavailable(f"{name} was not built within {BUILD_S:g} s")
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise Unavailable(f"{name} could not be built from its Go module: {'; '.join(last)}")


def folder(name: str, module: str) -> Path:
    """Where Go keeps the sources of `module`, which modules/`name` pins; read-only. Raises Unavailable."""
    try:
        done = subprocess.run(
            [_go(), "mod", "download", "-json", module],
            cwd=MODULES / name,
            env=_environment() | {"GOFLAGS": "-mod=readonly"},
            capture_output=True,
            text=True,
            timeout=FETCH_S,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"the Go module {module} did not come within {FETCH_S:g} s") from None
    answer: dict[str, str] = json.loads(done.stdout or "{}")
    if done.returncode or "Dir" not in answer:
        said = answer.get("Error") or done.stderr.strip().splitlines()[-1:] or "no answer"
        raise Unavailable(f"the Go module {module} is not to be had: {said}")
    return Path(answer["Dir"])


def _go() -> str:
    found = shutil.which("go")
    if found is None:
        raise Unavailable("there is no Go in PATH (1.25 or newer: https://go.dev/dl/; Debian 12's own is too old)")
    return found


def _environment() -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
