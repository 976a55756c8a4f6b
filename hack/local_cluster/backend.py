"""What a cluster is to the rest, whether kind made it or `node` did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from local_cluster.cache import Say


class Backend(Protocol):
    """Every method raises Unavailable with one line that says what is wrong."""

    name: str
    brings_dns: bool

    def is_up(self) -> bool:
        """It lives, and was `finished`."""

    def prepare(self, say: Say) -> None:
        """What an earlier one left is gone, and this machine can have one: asked before anything is built."""

    def up(self, say: Say) -> None:
        """Nodes are ready; whatever was started is taken down again when they do not get so."""

    def finished(self) -> None:
        """What belongs into it is there: one that was interrupted before is no cluster."""

    def down(self, say: Say) -> None:
        """Nothing of it is left but images; nothing happens where nothing is up."""

    def kubectl(self) -> Sequence[str]:
        """The words before a command of kubectl's, as administrator."""

    def load(self, archive: Path, *names: str) -> None:
        """The archive's one image is on every node, under these names."""

    def inside(self, command: Sequence[str]) -> Sequence[str]:
        """The words that run `command` where Services and pods can be reached by address, with KUBECONFIG set."""
