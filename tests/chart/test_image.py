"""The image's Containerfile: what can be said of it without building it."""

from __future__ import annotations

import re

import pytest
import yaml
from chart.rendering import CHART, ROOT

LOCKS = ROOT / "hack" / "locks"
LOGICAL = re.sub(r"\\\n\s*", "", (ROOT / "hack" / "image" / "Containerfile").read_text())
STEPS = [tuple(line.split(" ", 1)) for line in LOGICAL.splitlines() if line and not line.startswith("#")]
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


def stage(number: int) -> list[tuple[str, str]]:
    starts = [index for index, step in enumerate(STEPS) if step[0] == "FROM"] + [len(STEPS)]
    return [(step[0], step[1]) for step in STEPS[starts[number] : starts[number + 1]]]


def pinned(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ]+) ", (LOCKS / f"{lock}.txt").read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", ["image", "image-gpu"])
def test_rays_version_is_the_charts(lock: str) -> None:
    assert pinned(lock)["ray"] == VALUES["rayVersion"]


@pytest.mark.parametrize("lock", ["image", "image-gpu"])
def test_what_is_in_the_image_is_what_was_tested(lock: str) -> None:
    tested = pinned("dev")
    other = {name: version for name, version in pinned(lock).items() if tested.get(name, version) != version}
    assert not other


def test_both_roles_and_the_clouds_are_in_it() -> None:
    assert {"kopf", "kubernetes", "mlflow", "onnxruntime", "grpcio", "s3fs", "gcsfs", "adlfs"} <= pinned("image").keys()
    assert {"onnxruntime-gpu", "nvidia-cudnn-cu13"} <= pinned("image-gpu").keys()
    assert "onnxruntime" not in pinned("image-gpu")
    assert not {"pytest", "ruff", "tritonclient"} & pinned("image").keys()


def test_every_package_is_installed_by_its_hash() -> None:
    installs = [text for kind, text in stage(0) if kind == "RUN" and "pip install" in text and "/locks/" in text]
    assert len(installs) == 2
    assert all("--require-hashes --only-binary :all: -r /locks/" in text for text in installs)


def test_the_last_stage_fetches_nothing_and_is_no_root() -> None:
    last = stage(1)
    assert not [text for kind, text in last if kind == "RUN" and re.search(r"pip|apt|curl|wget", text)]
    assert ("USER", "65532:65532") in last
    assert ("USER", f"{VALUES['security']['runAsUser']}:{VALUES['security']['runAsGroup']}") in last
    assert last[-1][0] == "CMD"


def test_base_and_variant_are_the_builders_choice() -> None:
    assert [text for kind, text in STEPS if kind == "FROM"] == ["${BASE} AS build", "${BASE}"]
    assert ("ARG", "LOCK=image") in stage(0)


def test_what_is_copied_is_there_and_not_ignored() -> None:
    allowed = [line[1:] for line in (ROOT / ".containerignore").read_text().splitlines() if line.startswith("!")]
    for kind, text in stage(0):
        if kind != "COPY":
            continue
        *sources, _ = text.split(" ")
        for source in sources:
            path = source.replace("${LOCK}", "image-gpu")
            assert (ROOT / path).exists(), path
            assert any(path == one or path.startswith(f"{one}/") for one in allowed), path
