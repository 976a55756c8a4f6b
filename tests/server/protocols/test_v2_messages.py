from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import importlib.util, sys
name, path = sys.argv[1:]
sys.path.insert(0, path)
theirs = importlib.import_module(name)
from fairlead_server.protocols.v2_messages import POOL, message

theirs.ModelInferRequest(model_name="m"), message("ModelInferRequest")(model_name="m")
compared = 0
for name, wanted in theirs.DESCRIPTOR.message_types_by_name.items():
    try:
        ours = POOL.FindMessageTypeByName("inference." + name)
    except KeyError:
        continue
    for field in wanted.fields:
        mine = ours.fields_by_name[field.name]
        assert (mine.number, mine.type, mine.is_repeated) == (field.number, field.type, field.is_repeated), field
        compared += 1
assert compared > 30, compared
"""


def folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec
    assert spec.origin
    return Path(spec.origin).parent


@pytest.mark.parametrize(
    ("package", "inside", "module"),
    [("kserve", "protocol/grpc", "grpc_predict_v2_pb2"), ("tritonclient", "grpc", "service_pb2")],
)
def test_a_clients_messages_live_in_the_same_process_and_have_the_same_fields(
    package: str, inside: str, module: str
) -> None:
    """Our package `inference` is in a pool of its own, and every field that a client knows has its number and type."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, module, str(folder(package) / inside)],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
