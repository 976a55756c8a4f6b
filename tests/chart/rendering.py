"""The chart as Helm renders it: values in, parsed objects out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "fairlead"
HELM = Path(sys.executable).with_name("helm")
NAMESPACE = "ml"
RENDER_S = 60.0

Object = dict[str, Any]


class Refused(Exception):
    """Helm rendered nothing; the text is what it said."""


def helm(*arguments: str, stdin: str = "") -> str:
    """Raises Refused."""
    done = subprocess.run(
        [str(HELM), *arguments], input=stdin, capture_output=True, text=True, timeout=RENDER_S, check=False
    )
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


class Objects:
    """What a release consists of. `of` and `one` find by kind, and by name where it is given."""

    def __init__(self, text: str) -> None:
        self.all: list[Object] = [found for found in yaml.safe_load_all(text) if found]

    def of(self, kind: str) -> list[Object]:
        return [found for found in self.all if found["kind"] == kind]

    def names(self, kind: str) -> list[str]:
        return sorted(found["metadata"]["name"] for found in self.of(kind))

    def one(self, kind: str, name: str) -> Object:
        (found,) = (found for found in self.of(kind) if found["metadata"]["name"] == name)
        return found


def render(values: Object | None = None, *options: str, release: str = "fairlead") -> Objects:
    """`options` are more of Helm's. Raises Refused."""
    given = yaml.safe_dump(values or {})
    command = ("template", release, str(CHART), "--namespace", NAMESPACE, "--values", "-", *options)
    return Objects(helm(*command, stdin=given))


def head(objects: Objects, pool: str = "default") -> Object:
    """The pod template of a pool's Ray head."""
    found: Object = _cluster(objects, pool)["headGroupSpec"]["template"]
    return found


def worker(objects: Objects, pool: str = "default") -> Object:
    """The pod template of a pool's worker pods."""
    found: Object = _cluster(objects, pool)["workerGroupSpecs"][0]["template"]
    return found


def _cluster(objects: Objects, pool: str) -> Object:
    found: Object = objects.one("RayService", f"fairlead-{pool}")["spec"]["rayClusterConfig"]
    return found


def serve_config(objects: Objects, pool: str = "default") -> Object:
    found: Object = yaml.safe_load(objects.one("RayService", f"fairlead-{pool}")["spec"]["serveConfigV2"])
    return found


def operator_file(objects: Objects) -> Object:
    """operator.yaml."""
    found: Object = yaml.safe_load(objects.one("ConfigMap", "fairlead-operator")["data"]["operator.yaml"])
    return found


def pods(objects: Objects) -> dict[str, Object]:
    """Every pod or pod template that comes of a release, by what it is."""
    found = {}
    for thing in objects.all:
        name = thing["metadata"]["name"]
        if thing["kind"] == "Pod":
            found[f"Pod {name}"] = thing
        elif thing["kind"] == "Deployment":
            found[f"Deployment {name}"] = thing["spec"]["template"]
        elif thing["kind"] == "RayService":
            cluster = thing["spec"]["rayClusterConfig"]
            found[f"head of {name}"] = cluster["headGroupSpec"]["template"]
            for group in cluster["workerGroupSpecs"]:
                found[f"{group['groupName']} of {name}"] = group["template"]
    return found


def container(pod: Object) -> Object:
    """The first one, which is Ray's where it is a pool's pod."""
    found: Object = pod["spec"]["containers"][0]
    return found


def environment(pod: Object) -> dict[str, Any]:
    """A variable's value, or where it comes from."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container(pod).get("env", [])}


def mounted(pod: Object) -> dict[str, Object]:
    """The volume that is mounted at a path."""
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
    return {mount["mountPath"]: volumes[mount["name"]] for mount in container(pod).get("volumeMounts", [])}
