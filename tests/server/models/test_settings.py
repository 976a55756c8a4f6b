"""The settings of a version: three layers into one, with faults by field."""

import subprocess
import sys
from pathlib import Path

import pytest

from fairlead_server.models.settings import VersionSettings, resolve

ROOT = Path(__file__).parents[3]


def test_no_layers_are_the_defaults() -> None:
    """With nothing set, the defaults hold."""
    assert resolve() == resolve({}, {}) == VersionSettings()


def test_later_layers_win_field_by_field() -> None:
    """The catalog overrides the folder in what it sets, and in nothing else."""
    folder = {"max_batch_size": 8, "instances": 2}
    catalog = {"max_batch_size": 16, "providers": ["cuda", "cpu"]}
    assert resolve(folder, catalog) == VersionSettings(max_batch_size=16, instances=2, providers=("cuda", "cpu"))


def test_layers_are_left_as_they_are() -> None:
    """What is given is not edited."""
    folder = {"instances": 2}
    resolve(folder, {"instances": 3})
    assert folder == {"instances": 2}


def test_unknown_fields_are_ignored() -> None:
    """A newer operator may write fields that this server does not know."""
    assert resolve({"colour": "blue"}) == VersionSettings()


@pytest.mark.parametrize(
    ("layer", "field"),
    [
        ({"max_batch_size": 0}, "max_batch_size"),
        ({"max_batch_size": "64"}, "max_batch_size"),
        ({"max_queue_delay_us": -1}, "max_queue_delay_us"),
        ({"providers": ["tpu"]}, "providers"),
        ({"providers": []}, "providers"),
        ({"graph_optimization": "most"}, "graph_optimization"),
        ({"tolerance": -0.1}, "tolerance"),
        ({"warmup": "no"}, "warmup"),
        ({"slo_ms": None}, "slo_ms"),
    ],
)
def test_a_bad_value_names_its_field(layer: dict[str, object], field: str) -> None:
    """The error begins with the field that is wrong."""
    with pytest.raises(ValueError, match=rf"^{field}"):
        resolve({}, layer)


def test_the_reference_table_is_up_to_date(tmp_path: Path) -> None:
    """docs/settings.md is what hack/generate_settings.py writes, with a row for each field."""
    subprocess.run([sys.executable, str(ROOT / "hack/generate_settings.py"), str(tmp_path)], check=True, timeout=30)
    written = (tmp_path / "docs/settings.md").read_text(encoding="utf-8")
    assert written == (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in written for name in VersionSettings.__struct_fields__)
