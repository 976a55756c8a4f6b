"""The protocol's message classes, made from the compiled descriptor in a pool of their own.

kserve and tritonclient each register the package `inference` in protobuf's default pool, where
only one can be. Ours is private, so that it lives beside either in one process.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

POOL = descriptor_pool.DescriptorPool()
for _file in descriptor_pb2.FileDescriptorSet.FromString(
    resources.files(__package__).joinpath("open_inference.binpb").read_bytes()
).file:
    POOL.Add(_file)


def message(name: str) -> Any:
    """The class of one message of the package."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))
