from __future__ import annotations

import subprocess
import sys

import pytest

OURS = "from fairlead_server.protocols.v2_messages import message; message('ModelInferRequest')(model_name='m')"
THEIRS = {
    "kserve": "from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest as R; R(model_name='m')",
    "tritonclient": "from tritonclient.grpc.service_pb2 import ModelInferRequest as R; R(model_name='m')",
}


@pytest.mark.parametrize("client", THEIRS)
def test_a_clients_messages_live_in_the_same_process(client: str) -> None:
    """Our package `inference` is in a pool of its own, so that either client can be imported after and before it."""
    for script in (f"{OURS}\n{THEIRS[client]}", f"{THEIRS[client]}\n{OURS}"):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("client", THEIRS)
def test_field_numbers_are_the_clients(client: str) -> None:
    """A message of ours is read by a client's class, and the other way round."""
    script = """
from fairlead_server.protocols.v2_messages import POOL, message
{theirs}
for name, theirs in R.DESCRIPTOR.file.message_types_by_name.items():
    if name in {names}:
        ours = message(name).DESCRIPTOR
        common = set(ours.fields_by_name) & set(theirs.fields_by_name)
        assert common == set(theirs.fields_by_name), (name, common)
        for field in common:
            a, b = ours.fields_by_name[field], theirs.fields_by_name[field]
            assert (a.number, a.type, a.label) == (b.number, b.type, b.label), (name, field)
"""
    names = ["ModelInferRequest", "ModelInferResponse", "InferTensorContents", "InferParameter"]
    names += ["ModelMetadataResponse", "ServerMetadataResponse", "ModelReadyRequest", "ModelMetadataRequest"]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script.format(theirs=THEIRS[client], names=names)],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
