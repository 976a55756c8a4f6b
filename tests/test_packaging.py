"""The built wheel: each extra alone installs, imports, and brings nothing of the others.

Versions are the locks' (`hack/locks`); uv takes the files from its cache where it has them, else from the registry.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")

# Imports every module of a package, and tells which of the watched modules that has loaded, and which can be found.
IMPORT_ALL = """
import importlib, importlib.util, json, pkgutil, sys
package, watched = sys.argv[1], sys.argv[2].split(",")
for found in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
    importlib.import_module(found.name)
print(json.dumps({"loaded": [name for name in watched if name in sys.modules],
                  "there": [name for name in watched if importlib.util.find_spec(name)]}))
"""
WATCHED = ("mlflow", "onnxruntime", "ray", "grpc", "sklearn", "tritonclient", "pytest")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder), cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


def run(*command: str | Path, cwd: Path | None = None, status: int = 0) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    ended = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=400)
    assert ended.returncode == status, f"{command}: {ended.stdout}\n{ended.stderr}"
    return ended.stdout + ended.stderr


@dataclass
class Installed:
    """A fresh environment with one extra of the wheel."""

    folder: Path

    def python(self, *arguments: str) -> str:
        return run(self.folder / "bin" / "python", *arguments, cwd=self.folder)

    def fairlead(self, *arguments: str, status: int = 0) -> str:
        return run(self.folder / "bin" / "fairlead", *arguments, cwd=self.folder, status=status)

    def imports(self, package: str) -> dict[str, list[str]]:
        told = self.python("-c", IMPORT_ALL, package, ",".join(WATCHED)).splitlines()[-1]
        return dict(json.loads(told))


@pytest.fixture
def installed(request: pytest.FixtureRequest, wheel: Path, tmp_path: Path) -> Iterator[Installed]:
    extra, lock = request.param
    run(UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv")
    install = [
        *(UV, "pip", "install", "--quiet", "--python", tmp_path / "venv" / "bin" / "python"),
        *("--constraint", ROOT / "hack" / "locks" / lock, f"fairlead[{extra}] @ {wheel.as_uri()}"),
    ]
    if subprocess.run([*install, "--offline"], capture_output=True, timeout=200).returncode:
        run(*install)
    yield Installed(tmp_path / "venv")
    shutil.rmtree(tmp_path / "venv")  # pytest keeps the folders of three runs, and these are large


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel: Path) -> None:
    """With their markers for type checkers, the licence and the console script."""
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    (info,) = (top for top in tops if top.endswith(".dist-info"))
    packages = tops - {info}
    assert packages == {"fairlead_server", "fairlead_operator", "fairlead_cli"}
    assert {f"{package}/py.typed" for package in packages} <= set(names)
    assert {f"{info}/licenses/LICENSE", f"{info}/entry_points.txt"} <= set(names)


@pytest.mark.parametrize("installed", [("server", "dev.txt"), ("gpu", "gpu.txt")], indirect=True, ids=["server", "gpu"])
def test_the_server_alone(installed: Installed) -> None:
    """Every module of it imports without mlflow; `fairlead serve` runs and `fairlead operate` says what is missing."""
    found = installed.imports("fairlead_server")
    assert set(found["there"]) == {"onnxruntime", "ray", "grpc"}
    assert "--catalog" in installed.fairlead("serve", "--help")
    assert "pip install 'fairlead[operator]'" in installed.fairlead("operate", "--help", status=1)


@pytest.mark.parametrize("installed", [("gpu", "gpu.txt")], indirect=True, ids=["gpu"])
def test_the_gpu_wheel_of_onnx_runtime_is_the_only_one(installed: Installed) -> None:
    """The two fill the same folder; this one knows CUDA."""
    told = installed.python("-c", "import onnxruntime; print(onnxruntime.get_available_providers())")
    assert "CUDAExecutionProvider" in told
    names = {path.name.split("-")[0] for path in installed.folder.glob("lib/*/site-packages/onnxruntime*.dist-info")}
    assert names == {"onnxruntime_gpu"}


@pytest.mark.parametrize("installed", [("operator", "dev.txt")], indirect=True, ids=["operator"])
def test_the_operator_alone(installed: Installed) -> None:
    """Every module of it imports without onnxruntime and ray, and importing loads no mlflow yet."""
    found = installed.imports("fairlead_operator")
    assert found["loaded"] == []
    assert not {"onnxruntime", "ray", "grpc"} & set(found["there"])
    assert "--standalone" in installed.fairlead("operate", "--help")
    assert "pip install 'fairlead[server]'" in installed.fairlead("serve", "--help", status=1)


@pytest.mark.parametrize("installed", [("dev", "dev.txt")], indirect=True, ids=["dev"])
def test_the_tools_alone(installed: Installed) -> None:
    """The command line imports with them; the demo says which programs are missing."""
    installed.python("-c", "import tritonclient.http, sklearn, skl2onnx, pytest, hypothesis, kserve")
    assert "rollouts" in installed.fairlead("--help")
    assert "pip install 'fairlead[server,operator]'" in installed.fairlead("demo", status=1)
