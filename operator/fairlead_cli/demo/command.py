"""`fairlead demo` as a command: where its data lies, what is printed at the end, the exit status."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from fairlead_cli import parts
from fairlead_cli.demo import report
from fairlead_cli.demo.story import MODEL, Story
from fairlead_cli.errors import CommandError, Interrupted
from fairlead_cli.extras import require
from fairlead_cli.interrupts import Interrupts
from fairlead_cli.progress import Voice
from fairlead_cli.up import Up


def run(asked: argparse.Namespace) -> int:
    """Tells the story; 1 when a request was lost or an answer was wrong."""
    require("server", "operator", "dev")
    if asked.summary and not asked.summary.absolute().parent.is_dir():  # two minutes later would be too late
        raise CommandError(f"there is no folder for {asked.summary}: make it, or name another --summary")
    temporary = None if asked.data else Path(tempfile.mkdtemp(prefix="fairlead-demo-"))
    data: Path = temporary or asked.data
    try:
        outcome = _tell(parts.plan(asked, data))
    except CommandError:
        if temporary:
            print(f"what was written so far stays in {temporary}", file=sys.stderr)
        raise
    except Interrupted:
        _remove(temporary)
        raise
    _remove(temporary)
    if asked.summary:
        asked.summary.write_text(json.dumps(report.document(outcome), indent=1) + "\n")
    return 0 if outcome.good else 1


def _tell(plan: parts.Plan) -> report.Outcome:
    began = time.monotonic()
    voice = Voice(sys.stdout)
    with Interrupts() as interrupts, Up(plan, interrupts, voice) as up:
        outcome = Story(up).tell()
        voice.say("the story is told; ending all parts")
    voice.say(f"\n{report.summary(outcome)}\nall of it in {time.monotonic() - began:.0f} s\n\n{_NEXT}")
    return outcome


def _remove(folder: Path | None) -> None:
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


_NEXT = f"""What to try next:
  .venv/bin/fairlead demo --data FOLDER      the same, and MLflow with its three versions stays in FOLDER
  .venv/bin/fairlead up --data FOLDER        all of it again, for you to promote by hand
  .venv/bin/fairlead rollback {MODEL} --data FOLDER     (in another terminal) back to the first version"""
