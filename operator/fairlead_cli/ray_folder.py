"""Where the Ray of one `up` keeps its session: a short path of its own, whose logs outlive it.

Ray finds a running cluster by a file in this folder, so with one for each `up` two pools never meet. The data
folder holds a link to it (`logs/ray`), which becomes the logs themselves when `up` ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "fairlead-"
_LONGEST = 30  # characters of the path above it: Ray puts Unix sockets deep below, whose paths may have 107 bytes


def make(link: Path) -> Path:
    """A new folder, to which `link` leads; what an earlier run left there is removed."""
    _remove(link)
    above = tempfile.gettempdir()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=above if len(above) <= _LONGEST else "/tmp"))  # noqa: S108
    link.symlink_to(folder)
    return folder


def close(link: Path) -> None:
    """Puts Ray's logs where the link was, and removes the rest."""
    logs = Path(os.readlink(link)) / "ray" / "session_latest" / "logs"
    kept = link.with_name(link.name + ".new")
    shutil.rmtree(kept, ignore_errors=True)
    with contextlib.suppress(OSError, shutil.Error):
        shutil.copytree(logs, kept)
    _remove(link)
    if kept.is_dir():
        kept.rename(link)


def _remove(link: Path) -> None:
    """The logs of an earlier run, or, where it was killed, the folder that its link leads to."""
    if not link.is_symlink():
        shutil.rmtree(link, ignore_errors=True)
        return
    folder = Path(os.readlink(link))
    link.unlink()
    if folder.name.startswith(_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)
