"""ONNX Runtime's messages made one clear sentence: its C++ paths, signatures and codes mean nothing to a caller.

Pure text; the wording of ONNX Runtime 1.31 is known here and nowhere else.
"""

from __future__ import annotations

import re

_PREFIX = re.compile(
    r"^(?:Error (?:in execution|when bind(?:ing)? input): )?(?:\[ONNXRuntimeError\] : \d+ : (\w+) : )?", re.DOTALL
)
_NODE = re.compile(
    r"Non-zero status code returned while running (\w+) node\. Name:'([^']*)' Status Message: ", re.DOTALL
)
# "/onnxruntime_src/.../file.cc:87 virtual OrtValue* onnxruntime::X::Y(int, const Z&) " and "file.cc:57 Name "
_PLACE = re.compile(
    r"/\S+\.(?:cc|h):\d+ [^()]*\([^()]*(?:\([^()]*\)[^()]*)*\)(?: const)? |(?:/\S+|\b\w+)\.(?:cc|h):\d+ (?:\w+ )?",
    re.DOTALL,
)
_SAFEINT = re.compile(r"^.*SafeIntOnOverflow\(\)\s*", re.DOTALL)
_PATH = re.compile(r"Load model from \S+ failed:\s*")

# The arena's own limit (gpu_mem_limit) says "Available memory of N is smaller than requested bytes of M".
_MEMORY = (
    "failed to allocate memory", "is smaller than requested bytes of", "bad_alloc", "out of memory",
    "cudaerrormemoryallocation", "cublas_status_alloc_failed", "cudnn_status_alloc_failed", "cufft_alloc_failed",
)  # fmt: skip
# "CUDA failure 700: ... ; GPU=0 ; hostname=... ; file=... ; line=... ; expr=...", and so each of its libraries
_DEVICE = re.compile(
    r"\b(?:CUDA|CUDNN|CUDNN_FE|CUBLAS|CURAND|CUFFT) (?:failure|error)|\bCU(?:DNN|BLAS)_STATUS_|cudaError"
)


def is_memory(text: str) -> bool:
    """Whether a failure was for want of memory: the same input may run at another time."""
    lower = text.lower()
    return any(word in lower for word in _MEMORY)


def is_device(text: str) -> bool:
    """Whether the accelerator failed rather than the input; ask `is_memory` first."""
    return bool(_DEVICE.search(text))


def run_sentence(text: str) -> str:
    """Why a run failed, for the client."""
    rest = _PREFIX.sub("", text)
    node = _NODE.search(rest)
    where = f" at {node[1]}" + (f" '{node[2]}'" if node[2] else "") if node else ""
    return f"the model could not run on this input{where}: {plain(_NODE.sub('', rest))}"


def load_sentence(text: str) -> str:
    """Why a file did not open, for the model's owner, with what to do."""
    rest = plain(_PATH.sub("", _PREFIX.sub("", text)))
    for found, sentence in _LOAD:
        match = re.search(found, text, re.DOTALL)
        if match:
            return match.expand(sentence)
    return f"ONNX Runtime cannot open the model: {rest}"


_LOAD: tuple[tuple[str, str], ...] = (
    (
        r"Unsupported model IR version: (\d+), max supported IR version: (\d+)",
        r"the model's IR version \1 is newer than this runtime's \2; save the model with ir_version \2 or less",
    ),
    (
        r"Opset (\d+) is under development.*?Current official support for domain (\S+) is till opset (\d+)",
        r"the model's opset \1 (domain \2) is newer than this runtime's \3; export the model with opset \3 or less",
    ),
    (
        r"Fatal error: (\S*?):(\w+)\(-?\d+\) is not a registered function/op",
        r"the model needs the operator \2 of '\1', which this runtime does not have; export the model without it",
    ),
    (
        r"No Op registered for (\w+) with domain_version of (\d+)",
        r"the model needs the operator \1, which opset \2 does not have; export the model with one that has it",
    ),
    (
        r"Could not find an implementation for (\w+)\((\d+)\)",
        r"this runtime has no implementation of the operator \1 (version \2) for the datatypes the model uses it with",
    ),
    (
        r"INVALID_PROTOBUF|[Pp]rotobuf parsing failed|No graph was found",
        r"the model file is damaged or cut short, or is no ONNX file; register the version again",
    ),
    (
        r'External data path does not exist: "(?:[^"]*/)?([^"/]+)"',
        r"the model's external data file '\1' is missing; log the version again with all its files",
    ),
    (
        r"External initializer: (\S+) .*out of bounds",
        r"the model's external data is cut short (at '\1'); register the version again",
    ),
    (r"NO_SUCHFILE", r"the model file is missing; register the version again"),
)


def plain(text: str) -> str:
    """One line, without places in ONNX Runtime's sources, at most 300 characters."""
    text = _PLACE.sub("", _SAFEINT.sub("", text))
    text = " ".join(re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text).split())
    return text[:300].rstrip(". ") or "no reason given"
