"""The release before this one beside the one that is checked out: the same programs, out of two trees.

    release_before(folder)     unpacked from the history; with `without`, it knows less of the catalog than it did
    TODAY                      the checkout

Both run with the packages that are installed here. What is installed of Fairlead itself does not win: PYTHONPATH comes
first, and the children of a replica inherit it. `check` and `runs` look whether that is so.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

from harness.parts import Part, Replica, fairlead, port_flags, until

ROOT = Path(__file__).resolve().parents[2]
# Nothing is released yet: this is the last commit before the work on Kubernetes began, so all of that work lies between
# it and today. At each release it moves to the commit that was released before.
BEFORE = "29f9874a504bb57bfa44dedba5ff8f6e9a461f1d"
FEATURES = 'FEATURES = frozenset({"weights", "aliases", "sticky", "match"})'  # in the tree of BEFORE
FOLDERS = ("server", "operator")
PACKAGES = {"fairlead_server": "server", "fairlead_operator": "operator", "fairlead_cli": "operator"}


@dataclasses.dataclass(frozen=True)
class Release:
    """`tree` holds the folders `server` and `operator`."""

    name: str
    tree: Path

    @property
    def path(self) -> str:
        return os.pathsep.join(str(self.tree / folder) for folder in FOLDERS)

    def check(self) -> None:
        """Its own packages are what a process of it imports."""
        code = "".join(f"import {package}; print({package}.__file__);" for package in PACKAGES)
        found = subprocess.run(
            [sys.executable, "-c", code], env=self._env(), capture_output=True, text=True, timeout=60
        )
        own = [str(self.tree / folder / package / "__init__.py") for package, folder in PACKAGES.items()]
        assert found.stdout.splitlines() == own, found

    def runs(self, pid: int) -> bool:
        """Whether this process, or child of one, was started to import this release."""
        environ = Path(f"/proc/{pid}/environ")
        # Popen returns in the middle of exec: for a moment the old environment is gone and the new one not there yet.
        found = until(f"process {pid} to have an environment", environ.read_bytes, 10, every_s=0.01)
        return f"PYTHONPATH={self.path}".encode() in found.split(b"\0")

    def serve(self, replica: Replica, folder: Path, catalog: Path) -> Part:
        """A replica without Ray, which leaves as one behind a balancer does."""
        command = fairlead(
            "serve", "--engine", "process", "--catalog", str(catalog), "--replica", folder.name,
            "--state-dir", str(folder), "--drain-balancer", "0.5", "--drain-idle", "1", *port_flags(replica.base),
        )  # fmt: skip
        return self._start(command, folder.with_suffix(".log"))

    def operate(self, replicas: list[Replica], folder: Path, catalog: Path, registry: str, *more: str) -> Part:
        command = fairlead(
            "operate", "--standalone", "--registry", registry, "--catalog", str(catalog), "--interval", "1",
            "--state-dir", str(folder), *more, "--pool", *(replica.control for replica in replicas),
        )  # fmt: skip
        return self._start(command, folder.with_suffix(".log"))

    def _start(self, command: list[str], log: Path) -> Part:
        return Part(self.name, command, log, env={"PYTHONPATH": self.path})

    def _env(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": self.path}


TODAY = Release("today", ROOT)


def release_before(folder: Path, *, without: tuple[str, ...] = ()) -> Release:
    """`without`: features that its server then neither tells nor takes. All of the history knows the same ones, so this
    line of it is what an older release would have had."""
    packed = folder / "before.tar"
    command = ["git", "-C", str(ROOT), "archive", "--output", str(packed), BEFORE, *FOLDERS]
    git = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert git.returncode == 0, (
        f"the release before, commit {BEFORE}, is not in this repository ({git.stderr.strip()}). "
        "These tests run its code: fetch the whole history with `git fetch --unshallow`"
    )
    tree = folder / "before"
    tree.mkdir()
    subprocess.run(["tar", "-x", "-f", str(packed), "-C", str(tree)], check=True, timeout=60)
    packed.unlink()
    if without:
        _unlearn(tree / "server" / "fairlead_server" / "models" / "catalog.py", without)
    release = Release("before", tree)
    for one in (release, TODAY):
        one.check()
    return release


def _unlearn(file: Path, features: tuple[str, ...]) -> None:
    text = file.read_text()
    assert FEATURES in text, f"{file.name} of {BEFORE} says otherwise what it knows"
    less = FEATURES
    for feature in features:
        less = less.replace(f', "{feature}"', "")
    file.write_text(text.replace(FEATURES, less))
