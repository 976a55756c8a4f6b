"""The paths of the Open Inference Protocol over HTTP: pure, from a path to what it asks for.

Segments are percent-decoded one by one, so a model's name may hold anything, a slash as well.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import urllib.parse

from fairlead_server.errors import Kind, ServingError


class Action(enum.Enum):
    SERVER = "server"
    LIVE = "live"
    READY = "ready"
    MODEL = "model"
    MODEL_READY = "model_ready"
    MODEL_CONFIGURATION = "model_configuration"
    INFER = "infer"


METHODS = dict.fromkeys(Action, ("GET", "HEAD")) | {Action.INFER: ("POST",)}

# What was found is remembered. Clients choose the URLs, so both their number and their length have a bound.
_KEPT, _LONGEST_KEPT = 4096, 512

_OF_MODEL = {
    (): Action.MODEL,
    ("ready",): Action.MODEL_READY,
    ("config",): Action.MODEL_CONFIGURATION,
    ("infer",): Action.INFER,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    action: Action
    model: str = ""
    version: str | None = None


def find(raw_path: bytes) -> Target:
    """The target of a path as it came, or ServingError NOT_FOUND."""
    match _segments(raw_path):
        case ["v2"]:
            return Target(Action.SERVER)
        case ["v2", "health", "live"]:
            return Target(Action.LIVE)
        case ["v2", "health", "ready"]:
            return Target(Action.READY)
        case ["v2", "models", model, "versions", version, *rest] if model and version and tuple(rest) in _OF_MODEL:
            return Target(_OF_MODEL[tuple(rest)], model, version)
        case ["v2", "models", model, *rest] if model and tuple(rest) in _OF_MODEL:
            return Target(_OF_MODEL[tuple(rest)], model)
    raise ServingError(Kind.NOT_FOUND, "no such path: the protocol's paths begin with /v2, see docs/protocol.md")


def find_infer(url: bytes) -> Target | None:
    """The target of a request's URL where it is an inference as most write it; None for any other, which is not to
    say that there is none."""
    if len(url) > _LONGEST_KEPT:
        return None
    return _infer_at(url)


@functools.lru_cache(maxsize=_KEPT)
def _infer_at(url: bytes) -> Target | None:
    path, _, _ = url.partition(b"?")
    if not path.startswith(b"/") or b"#" in url:
        return None
    try:
        target = find(path)
    except ServingError:
        return None
    return target if target.action is Action.INFER else None


def _segments(raw_path: bytes) -> list[str]:
    try:
        return [urllib.parse.unquote_to_bytes(part).decode("utf-8") for part in raw_path.split(b"/")[1:]]
    except UnicodeDecodeError:
        raise ServingError(Kind.INVALID, "the path holds percent-encoded bytes that are not UTF-8") from None
