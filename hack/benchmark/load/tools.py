"""The load generators: where they are, and how they come there.

Go's modules are built by name and version into a cache outside the repository; Go checks their sums. wrk and h2load
come with the distribution. perf_analyzer lies in an old wheel of tritonclient, the newest that runs on Debian 12; it
wants CUDA's run-time library, too, also where there is no GPU.
This module starts none of them.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

_INSTALL_S = 900
_BASE64 = "libb64.so.0d"


class ToolMissing(Exception):
    """A generator that is not there and cannot be had; the text says what to do."""


class GoTool(NamedTuple):
    module: str
    version: str
    package: str


GO_TOOLS = {
    "vegeta": GoTool("github.com/tsenart/vegeta/v12", "v12.12.0", "github.com/tsenart/vegeta/v12"),
    "ghz": GoTool("github.com/bojand/ghz", "v0.121.0", "github.com/bojand/ghz/cmd/ghz"),
}
PERF_ANALYZER = "2.41.0"  # of tritonclient
CUDA_RUNTIME = "12.3.101"  # of nvidia-cuda-runtime-cu12
PACKAGES = {"wrk": "wrk", "h2load": "nghttp2-client"}  # of Debian
NAMES = (*PACKAGES, *GO_TOOLS, "perf_analyzer")


def tool(name: str) -> str:
    """The path of a generator, which is installed when it is not there. Raises ToolMissing."""
    if name in PACKAGES:
        return _packaged(name)
    if name == "perf_analyzer":
        return _perf_analyzer()
    wanted = GO_TOOLS[name]
    return _cached(f"{name}-{wanted.version}", lambda path: _build(wanted, path))


def version(name: str) -> str:
    """For the report."""
    if name in PACKAGES:
        said = subprocess.run([tool(name), "--version"], capture_output=True, text=True, timeout=10).stdout
        return said.split(" [")[0].strip()
    return f"{name} {GO_TOOLS[name].version}" if name in GO_TOOLS else f"{name} of tritonclient {PERF_ANALYZER}"


def cache_folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "fairlead-bench"


def _packaged(name: str) -> str:
    if shutil.which(name) is None:
        _from_distribution(PACKAGES[name])
    return shutil.which(name) or name


def _from_distribution(package: str) -> None:
    if os.geteuid() or not shutil.which("apt-get"):
        raise ToolMissing(f"{package} is not installed: on Debian and Ubuntu, apt install {package}")
    _run(package, ["apt-get", "install", "--yes", "--quiet", package])


def _perf_analyzer() -> str:
    """Its two libraries lie beside it, or in the system."""
    try:
        ctypes.CDLL(_BASE64)
    except OSError:
        _from_distribution("libb64-0d")
    _cached(
        "libcudart.so.12", lambda path: _unpack(f"nvidia-cuda-runtime-cu12=={CUDA_RUNTIME}", "libcudart.so.12", path)
    )
    return _cached(
        f"perf_analyzer-{PERF_ANALYZER}",
        lambda path: _unpack(f"tritonclient=={PERF_ANALYZER}", "bin/perf_analyzer", path),
    )


def _cached(name: str, make: Callable[[Path], None]) -> str:
    """The file is complete once it has its name."""
    path = cache_folder() / "bin" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{name}.{os.getpid()}")
        try:
            make(fresh)
            fresh.chmod(0o755)
            fresh.rename(path)
        finally:
            fresh.unlink(missing_ok=True)
    return str(path)


def _build(wanted: GoTool, path: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise ToolMissing(f"{wanted.package} is built by Go, which is not in PATH: install it (https://go.dev/dl)")
    # In a module of its own: `go install NAME@VERSION` asks the proxy for the list of all versions, which not every
    # mirror has.
    with tempfile.TemporaryDirectory() as folder:
        module = Path(folder, "go.mod")
        module.write_text(f"module generators\n\nrequire {wanted.module} {wanted.version}\n")
        _run(wanted.package, [go, "build", "-mod=mod", "-o", str(path), wanted.package], cwd=folder)


def _unpack(wanted: str, file: str, path: Path) -> None:
    """One file out of a wheel."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        _run(wanted, [*pip, "--dest", folder, wanted])
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (member,) = [name for name in archive.namelist() if name.endswith(f"/{file}")]
            path.write_bytes(archive.read(member))


def _run(what: str, command: Sequence[str], cwd: str | None = None) -> None:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=_INSTALL_S)
    except subprocess.TimeoutExpired:
        raise ToolMissing(f"{what} could not be installed within {_INSTALL_S} s") from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise ToolMissing(f"{what} could not be installed: {' '.join(last)}")
