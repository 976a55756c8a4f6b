"""The console script `fairlead`: finds the command, and turns what goes wrong into one line.

`serve`, `drain` and `operate` are handed over before anything is parsed: their arguments are their programs' own.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from fairlead_cli import extras, models, parts, promotion, rollouts, up
from fairlead_cli.demo import command as demo
from fairlead_cli.errors import CommandError, Interrupted
from fairlead_cli.folder import Addresses, Folder, default_folder
from fairlead_cli.registry import Registry

_Run = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    asked = None
    try:
        if given and given[0] in extras.PROGRAMS:
            extras.hand_over(given[0], given[1:])
        asked = parser().parse_args(given)
        run: _Run = asked.run
        return run(asked)
    except CommandError as error:
        if asked is not None and asked.verbose:
            traceback.print_exc()
        sys.stdout.flush()
        print(f"fairlead: {error}", file=sys.stderr)
        if error.details:
            print(error.details, file=sys.stderr)
        return 1
    except (Interrupted, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
        return 141
    except Exception as error:
        if asked is None or asked.verbose:
            raise
        print(f"fairlead: {type(error).__name__}: {error} (-v shows where)", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """All commands, those that are handed over too, so that the help tells them."""
    root = argparse.ArgumentParser(
        prog="fairlead", description="Serve many models; follow the MLflow registry.", allow_abbrev=False
    )
    commands = root.add_subparsers(metavar="COMMAND", required=True)
    always = argparse.ArgumentParser(add_help=False)
    always.add_argument("-v", "--verbose", action="store_true", help="show where an error came from")

    def command(name: str, run: _Run, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, parents=[always], help=text, description=text, allow_abbrev=False)
        added.set_defaults(run=run)
        return added

    everything = command("up", _up, "everything on this machine: MLflow, a pool, the operator; Ctrl-C ends it")
    _plan_arguments(everything)
    told = command("demo", demo.run, "the whole story on `up`, with live requests")
    _plan_arguments(told)
    told.add_argument("--summary", type=Path, metavar="FILE", help="write the figures as JSON")
    for name in extras.PROGRAMS:
        text = {
            "serve": "one pool (see fairlead serve --help)",
            "drain": "ask the replica on this machine to leave (see fairlead drain --help)",
            "operate": "the operator (see fairlead operate --help)",
        }
        commands.add_parser(name, help=text[name], add_help=False)

    shown = command("models", _models, "which models and versions a pool serves")
    shown.add_argument("--pool", metavar="ADDRESS", help="its control address (default: that of the running `up`)")
    shown.add_argument("--token-file", type=Path, help="the control API's token, where it wants one")
    moved = command("rollouts", _rollouts, "how far each promotion got")
    moved.add_argument("--state-dir", type=Path, help="the operator's (default: that of `up`)")
    promoted = command("promote", _promote, "point a model's alias at a version, in MLflow")
    promoted.add_argument("name", metavar="NAME")
    promoted.add_argument("version", metavar="VERSION")
    returned = command("rollback", _rollback, "point a model's alias back at the version that was served before")
    returned.add_argument("name", metavar="NAME")
    for added in (promoted, returned):
        added.add_argument("--alias", help=f"default: the model's tag {promotion.ALIAS_TAG}, else champion")
        added.add_argument(
            "--registry", metavar="URI", help="default: MLFLOW_TRACKING_URI, else that of the running `up`"
        )
    for added in (shown, moved, promoted, returned):
        added.add_argument("--data", type=Path, metavar="FOLDER", help="the data folder of the running `up`")
    return root


def _plan_arguments(command: argparse.ArgumentParser) -> None:
    usual = parts.Plan(default_folder())
    command.add_argument("--data", type=Path, metavar="FOLDER", help="kept between runs (demo: a temporary one)")
    command.add_argument("--engine", choices=("ray", "process"), default=usual.engine, help="default: %(default)s")
    command.add_argument("--workers", type=int, default=usual.workers, help="of the pool, default: %(default)s")
    command.add_argument(
        "--pool-port",
        type=int,
        default=usual.pool_port,
        help="first of four: HTTP, gRPC, metrics, control; the next free ones if taken (default: %(default)s)",
    )
    command.add_argument("--mlflow-port", type=int, default=usual.mlflow_port, help="default: %(default)s")


def _up(asked: argparse.Namespace) -> int:
    return up.run(parts.plan(asked, asked.data or default_folder()))


def _models(asked: argparse.Namespace) -> int:
    address = asked.pool or _running(asked, "--pool ADDRESS").control
    print(models.show(address, asked.token_file), end="")
    return 0


def _rollouts(asked: argparse.Namespace) -> int:
    print(rollouts.show(asked.state_dir or Folder(asked.data or default_folder()).operator), end="")
    return 0


def _promote(asked: argparse.Namespace) -> int:
    with _registry(asked) as registry:
        print(promotion.promote(registry, asked.name, asked.version, asked.alias), end="")
    return 0


def _rollback(asked: argparse.Namespace) -> int:
    with _registry(asked) as registry:
        print(promotion.rollback(registry, asked.name, asked.alias), end="")
    return 0


def _registry(asked: argparse.Namespace) -> Registry:
    address = asked.registry or (None if asked.data else os.environ.get("MLFLOW_TRACKING_URI"))
    return Registry(address or _running(asked, "--registry URI").registry)


def _running(asked: argparse.Namespace, instead: str) -> Addresses:
    folder = Folder(asked.data or default_folder())
    at = folder.running()
    if at is None:
        raise CommandError(f"no `fairlead up` runs on {folder.root}: start it, or give {instead}")
    return at


if __name__ == "__main__":
    raise SystemExit(main())
