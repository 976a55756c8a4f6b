"""`fairlead demo`, step by step: the first version promoted, then a better one, then one whose file is cut short.

    up -> a data scientist registers three versions -> promote the first -> clients start -> promote the better one
       -> promote the damaged one: refused -> clients end

The story does only what people would do, and watches. This module must not know how figures are made or shown.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

from fairlead_cli.demo.figures import Truth, switch
from fairlead_cli.demo.report import Outcome, Refusal
from fairlead_cli.demo.watch import Watch
from fairlead_cli.errors import CommandError
from fairlead_cli.processes import Part
from fairlead_cli.promotion import STATUS_TAG
from fairlead_cli.registry import Registry
from fairlead_cli.up import Up

MODEL = "digits"
ALIAS = "champion"
_TRAIN_S = 90.0
_SWITCH_S = 60.0  # for a promotion to be done, or refused
_WATCH_S = 6.0  # how long the traffic is watched after each step


@dataclass(frozen=True)
class Version:
    """A registered version, as its data scientist sees it."""

    number: str
    kind: str
    accuracy: float

    def __str__(self) -> str:
        return f"version {self.number} ({self.kind}; {self.accuracy:.1%} by itself)"


class Story:
    """One telling, on a running `up`."""

    def __init__(self, up: Up) -> None:
        self._up = up
        self._samples = up.folder.root / "samples.json"
        self._watch = Watch(up, MODEL, Truth([], {}))
        self._promoted: dict[str, float] = {}

    def tell(self) -> Outcome:
        """The whole story; what was seen."""
        with Registry(self._up.at.registry) as registry:
            first, better, damaged = self._register()
            self._promote(registry, first)
            self._wait_ready(first)
            clients = self._start_clients()
            self._watch.for_a_while(_WATCH_S)

            self._promote(registry, better)
            self._watch.until(f"answers of version {better.number}", lambda: self._answered(better), _SWITCH_S)
            self._watch.for_a_while(_WATCH_S)

            self._cut_short(registry, damaged)
            self._promote(registry, damaged)
            refusal = self._wait_refused(registry, damaged)
            self._watch.for_a_while(_WATCH_S)
        self._up.end(clients)
        self._watch.look()
        return self._outcome(refusal)

    def _register(self) -> list[Version]:
        self._watch.say("a data scientist trains on scikit-learn's digits and registers three versions as ONNX")
        options = ("--registry", self._up.at.registry, "--model", MODEL, "--out", str(self._samples))
        self._samples.unlink(missing_ok=True)
        scientist = self._start("the training", "train", *options, ends=True)
        self._up.ready()
        self._watch.until("the training", lambda: self._up.finished(scientist) or None, _TRAIN_S)
        told = json.loads(self._samples.read_text())
        self._watch.truth.digits = told["digits"]
        self._watch.truth.labels = {each["version"]: each["labels"] for each in told["versions"]}
        return [Version(each["version"], each["kind"], each["accuracy"]) for each in told["versions"]]

    def _start_clients(self) -> Part:
        at = self._up.at
        self._watch.say("unmodified tritonclients begin: 40 requests a second over HTTP, 40 over gRPC")
        options = ("--http", at.http.removeprefix("http://"), "--grpc", at.grpc, "--model", MODEL)
        files = ("--samples", str(self._samples), "--out", str(self._watch.answers.path))
        clients = self._start("the clients", "load", *options, *files, grace_s=15.0)
        self._watch.until("the first answer", lambda: self._watch.answers.all or None, _SWITCH_S)
        self._watch.traffic()
        return clients

    def _start(self, name: str, module: str, *options: str, grace_s: float = 5.0, ends: bool = False) -> Part:
        command = [sys.executable, "-m", f"fairlead_cli.demo.{module}", *options]
        return self._up.start(name, command, grace_s=grace_s, ends=ends)

    def _promote(self, registry: Registry, version: Version) -> None:
        self._watch.say(f"promoted: {ALIAS} of {MODEL} now names {version}")
        self._promoted[version.number] = time.time()
        registry.set_alias(MODEL, ALIAS, version.number)

    def _wait_ready(self, version: Version) -> None:
        ready = self._watch.truth.ready
        began = time.monotonic()
        self._watch.until(
            f"version {version.number} to be fetched, tried, warmed and ready",
            lambda: (
                (version.number in ready and self._up.answers(f"{self._up.at.http}/v2/models/{MODEL}/ready")) or None
            ),
            _SWITCH_S,
        )
        self._watch.say(f"version {version.number} is ready, {time.monotonic() - began:.1f} s later")

    def _answered(self, version: Version) -> bool | None:
        return any(answer.version == version.number for answer in self._watch.answers.all) or None

    def _cut_short(self, registry: Registry, version: Version) -> None:
        file = self._up.folder.mlflow / "artifacts" / registry.artifacts(MODEL, version.number) / "model.onnx"
        whole = file.stat().st_size
        os.truncate(file, whole // 2)
        self._watch.say(f"a disk fails: model.onnx of version {version.number} has {whole // 2} of {whole} bytes left")

    def _wait_refused(self, registry: Registry, version: Version) -> Refusal:
        def refused() -> str | None:
            if self._answered(version):
                raise CommandError(f"version {version.number} answers, and its file is damaged")
            status = registry.version(MODEL, version.number).tags.get(STATUS_TAG, "")
            return status.removeprefix("refused:").strip() if status.startswith("refused") else None

        reason = self._watch.until(f"version {version.number} to be refused", refused, _SWITCH_S)
        self._watch.say(f"version {version.number} is refused: {reason}")
        return Refusal(version.number, reason)

    def _outcome(self, refusal: Refusal) -> Outcome:
        answers, truth = self._watch.answers.all, self._watch.truth
        moved: list[Any] = [
            switch(number, at, answers, truth.ready)
            for number, at in self._promoted.items()
            if number != refusal.version
        ]
        return Outcome(answers, truth, moved, [refusal])
