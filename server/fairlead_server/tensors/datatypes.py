"""The datatypes of the Open Inference Protocol.

Source: https://github.com/kserve/open-inference-protocol (tensor data types). No numpy here: the
supervisor reads signatures, and must stay small.
"""

from __future__ import annotations

# Bytes of one element; BYTES has no fixed size.
SIZES: dict[str, int | None] = {
    "BOOL": 1,
    "UINT8": 1,
    "UINT16": 2,
    "UINT32": 4,
    "UINT64": 8,
    "INT8": 1,
    "INT16": 2,
    "INT32": 4,
    "INT64": 8,
    "FP16": 2,
    "FP32": 4,
    "FP64": 8,
    "BYTES": None,
}

DATATYPES = tuple(SIZES)
