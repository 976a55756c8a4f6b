"""Writes a model repository, then becomes Triton's own server, which nvidia-pytriton's wheel carries, with its Python
back end.

--folder is where the repository goes. The back end runs each model in a stub process that is linked to libpython: it
must find the library of this very interpreter, or the standard library does not fit it.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import NoReturn

import pytriton
from session import DATATYPES, MAX_BATCH_SIZE, OnnxModel, Spec, arguments, opened

HERE = Path(__file__).resolve().parent
PACKAGE = Path(pytriton.__file__).parent
CONFIG = """
name: "{name}"
backend: "python"
max_batch_size: {rows}
{inputs}
{outputs}
dynamic_batching {{ }}
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
parameters [
  {{ key: "onnx" value: {{ string_value: "{path}" }} }},
  {{ key: "threads" value: {{ string_value: "{threads}" }} }}
]
"""


def main() -> NoReturn:
    parser = arguments()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--metrics_port", type=int, required=True)
    found = parser.parse_args()
    repository = found.folder / "repository"
    for model, pair in zip(opened(found), found.serve, strict=True):
        write(repository / model.name, model, pair.split("=", 1)[1], found.threads)
    server = PACKAGE / "tritonserver" / "bin" / "tritonserver"
    flags = [f"--model-repository={repository}", f"--backend-directory={backends(found.folder)}"]
    for door in ("http", "grpc", "metrics"):
        flags += [f"--{door}-address=127.0.0.1", f"--{door}-port={getattr(found, f'{door}_port')}"]
    os.execve(server, [str(server), *flags, "--allow-gpu-metrics=false"], environment())  # noqa: S606


def write(folder: Path, model: OnnxModel, path: str, threads: int) -> None:
    (folder / "1").mkdir(parents=True)
    shutil.copy(HERE / "triton_model.py", folder / "1" / "model.py")
    shutil.copy(HERE / "session.py", folder / "1")  # the stub sees its model's folder, and its environment
    inputs, outputs = told("input", model.inputs), told("output", model.outputs)
    config = CONFIG.format(
        name=model.name, rows=MAX_BATCH_SIZE, inputs=inputs, outputs=outputs, path=path, threads=threads
    )
    (folder / "config.pbtxt").write_text(config)


def told(side: str, specs: list[Spec]) -> str:
    return "\n".join(
        f'{side} [ {{ name: "{one.name}" data_type: {kind(one)} dims: {list(one.shape or (1,))} }} ]' for one in specs
    )


def kind(spec: Spec) -> str:
    return "TYPE_" + DATATYPES[spec.dtype].replace("BYTES", "STRING")


def backends(folder: Path) -> Path:
    """The back end beside the stub for this Python, as Triton looks for them."""
    python = folder / "backends" / "python"
    python.mkdir(parents=True)
    bundled = PACKAGE / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for file in (*(bundled / "backends" / "python").iterdir(), *(bundled / "python_backend_stubs" / version).iterdir()):
        (python / file.name).symlink_to(file)
    return python.parent


def environment() -> dict[str, str]:
    paths = sysconfig.get_paths()
    libraries = [str(PACKAGE.parent / "nvidia_pytriton.libs"), sysconfig.get_config_var("LIBDIR")]
    return {
        **os.environ,
        "LD_LIBRARY_PATH": ":".join(libraries),
        "PATH": f"{paths['scripts']}:{os.environ['PATH']}",
        "PYTHONPATH": paths["purelib"],
    }


if __name__ == "__main__":
    main()
