"""ONNX models by ONNX Runtime: open, run, close. The only file that imports onnxruntime.

ONNX Runtime has a pool of threads for each session here: how long its process-wide pool spins cannot be set from
Python (measured with 4 threads and a run every 5 ms: 2.2 s of CPU instead of 0.14 s). The arena is one for the process,
grows by what is asked for, and weights stay outside it, so that closing a session gives them back.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from fairlead_server import log
from fairlead_server.errors import Kind
from fairlead_server.models.settings import VersionSettings
from fairlead_server.models.signature import Signature
from fairlead_server.runtimes import (
    DeviceFailure,
    LoadFailure,
    RunFailure,
    Session,
    cuda,
    example,
    mlmodel,
    ort_messages,
    signature,
)
from fairlead_server.runtimes.bound import BoundRuns, bindable
from fairlead_server.runtimes.model_files import model_file
from fairlead_server.runtimes.onnx_file import without_zipmaps, zipmap_labels

Array = np.ndarray[Any, np.dtype[Any]]

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_LEVELS = {
    "none": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
# An ONNX file of one Add, [n, 4] -> [n, 4]: a model that costs nothing.
TINY = bytes.fromhex(
    "080712003a3f0a0e0a01780a01781201792203416464120170"
    "5a140a0178120f0a0d080112090a0312016e0a02080462140a"
    "0179120f0a0d080112090a0312016e0a02080442040a00100d"
)
_NO_DEVICE = (
    "CUDA was asked for and could not be started: see the driver's and CUDA's versions, and whether the process may "
    "use a GPU (on Ray: --gpus)"
)
_QUIET = 4  # fatal only: what fails is raised, and told by us
# How long a session's threads look for more work before they sleep: about a step between two operators. Waking them
# for each costs more than that wait. On two cores a small BERT's row went from 6.7 to 6.2 ms of processor time, at 30 %
# more runs a second, a 3x512 MLP's from 0.18 to 0.07. ONNX Runtime's default adds 5 to 10 ms to a lone run of 0.6.
SPIN_US = 20


def open_session(directory: Path, settings: VersionSettings, threads: int, device: str = "") -> Session:
    """Open the model of a verified directory, or one file. `threads` is the worker's share of the cores for one
    instance, which `settings.threads` overrides. `device` binds inputs and outputs there, as ONNX Runtime names it;
    empty: as the providers want it. Raises LoadFailure; blocks for as long as loading takes."""
    logged = mlmodel.read(directory) if directory.is_dir() else None
    path = model_file(directory, logged)
    names = _providers(settings)
    device = device or ("cuda" if names[0][0] == PROVIDERS["cuda"] else "")
    session = _opened(path, lambda: _options(settings, settings.threads or threads), names)
    told = signature.build(
        [signature.Argument(node.name, node.type, node.shape) for node in session.get_inputs()],
        [signature.Argument(node.name, node.type, node.shape) for node in session.get_outputs()],
        zipmap_labels(path),
        logged,
    )
    told = signature.for_requests(told, settings.padding)
    inputs = example.to_inputs(mlmodel.read_example(directory, logged), told) if logged else None
    return OnnxSession(session, told, inputs, _fallen_back(session, names), device)


class OnnxSession:
    """One open model. ONNX Runtime's sessions run on any number of threads at once."""

    def __init__(
        self, session: Any, told: Signature, logged: dict[str, Array] | None, notes: tuple[str, ...], device: str
    ) -> None:
        self.signature = told
        self.example = logged
        self.notes = notes
        self._run: Callable[..., Sequence[Any]] | None = session.run
        if device and bindable(told):
            self._run = BoundRuns(session, device, cuda.DEVICE).run
        self._text = tuple(spec.name for spec in told.inputs if spec.datatype == "BYTES")
        self._labels = {spec.name: spec.labels for spec in told.outputs if spec.labels}

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Blocks, until the device is done too. The outputs are new memory, never written again. Raises RunFailure and
        DeviceFailure."""
        assert self._run is not None
        for name in self._text:
            _check_text(name, inputs)
        try:
            results = self._run(outputs, inputs)
        except Exception as fault:  # ONNX Runtime's exceptions have no base of their own
            raise _run_failure(fault) from fault
        answers = dict(zip(outputs, results, strict=True))
        for name in self._labels.keys() & answers.keys():
            answers[name] = _by_class(answers[name], self._labels[name])
        return answers

    def close(self) -> None:
        """Give the memory back. The caller sees to it that nothing runs."""
        self._run = None


def _opened(path: Path, options: Callable[[], ort.SessionOptions], providers: list[Any]) -> Any:
    """Without its ZipMaps where that is possible: 64 rows of a small classifier take 62 us with dicts, 12 without."""
    model = without_zipmaps(path)
    if model is not None:
        beside = options()
        beside.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
        with contextlib.suppress(LoadFailure):  # the file as it is tells what is wrong with it
            return _open(model, beside, providers)
    return _open(str(path), options(), providers)


def _open(model: str | bytes, options: ort.SessionOptions, providers: list[Any]) -> Any:
    try:
        # its own fallback would answer from the CPU, unasked and for good, after a device's first failure (rule 10)
        return ort.InferenceSession(model, options, providers=providers, enable_fallback=0)
    except Exception as fault:  # as above
        text = str(fault)
        if ort_messages.is_memory(text) or isinstance(fault, MemoryError):
            raise LoadFailure("there is not enough memory to open the model", final=False) from fault
        if ort_messages.is_device(text):  # not the model's fault: it is tried again
            raise LoadFailure(f"{_NO_DEVICE}: {ort_messages.plain(text)}", final=False) from fault
        raise LoadFailure(ort_messages.load_sentence(text)) from fault


def _options(settings: VersionSettings, threads: int) -> ort.SessionOptions:
    _shared_arena()
    options = ort.SessionOptions()
    options.intra_op_num_threads = max(threads, 1)
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = _LEVELS[settings.graph_optimization]
    options.log_severity_level = _QUIET
    on_cpu = "cuda" not in settings.providers
    for key, value in (
        ("session.intra_op.spin_duration_us", str(SPIN_US)),
        ("session.inter_op.allow_spinning", "0"),
        ("session.use_env_allocators", "1"),
        # A GPU's arena is the session's own and ends with it, and its limit holds only for what comes out of it.
        ("session.use_device_allocator_for_initializers", "1" if on_cpu else "0"),
        ("session.record_ep_graph_assignment_info", "0" if on_cpu else "1"),
    ):
        options.add_session_config_entry(key, value)
    return options


def give_back() -> None:
    """The arena keeps what its largest runs took: free what nothing uses now. Blocks, for a tenth of a second where it
    is hundreds of megabytes."""
    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    _nothing().run(None, {"x": np.zeros((1, 4), np.float32)}, options)


@functools.cache
def _nothing() -> Any:
    """A session to hang the arena's own work on."""
    return ort.InferenceSession(TINY, _options(VersionSettings(), 1), providers=[PROVIDERS["cpu"]])


@functools.cache
def _shared_arena() -> None:
    """One CPU arena for all sessions of the process (0: no limit of its own, 1: grow by what is asked for)."""
    binding = ort.capi.onnxruntime_pybind11_state
    where = binding.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, binding.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(where, ort.OrtArenaCfg(0, 1, -1, -1))
    ort.set_default_logger_severity(_QUIET)
    ort.disable_telemetry_events()


def _providers(settings: VersionSettings) -> list[Any]:
    """ONNX Runtime's providers for ours, in order of preference; the CPU always comes last (rule 10)."""
    wanted = settings.providers
    if "cuda" in wanted:
        _load_cuda()
    available = ort.get_available_providers()
    known = sorted(name for name, provider in PROVIDERS.items() if provider in available)
    for name in wanted:
        if PROVIDERS.get(name) not in available:
            raise LoadFailure(f"the provider '{name}' is not available here (available: {', '.join(known)})")
    options = {"cuda": cuda.options(settings)}
    chosen = [(PROVIDERS[name], options.get(name, {})) for name in wanted if name != "cpu"]
    return [*chosen, (PROVIDERS["cpu"], {})]


@functools.cache
def _load_cuda() -> None:
    """CUDA's libraries, from their wheels where they are installed; ONNX Runtime prints what it misses."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        ort.preload_dlls()
    if said.getvalue():
        log.warning("cuda_libraries", said=said.getvalue()[:2000])


def _fallen_back(session: Any, wanted: list[Any]) -> tuple[str, ...]:
    """A note that names the operators that run on the CPU although another provider was asked for (rule 10)."""
    first = wanted[0][0]
    if first == PROVIDERS["cpu"]:
        return ()
    if first not in session.get_providers():
        raise LoadFailure(f"{_NO_DEVICE} ({first})")
    parts = session.get_provider_graph_assignment_info()
    nodes = [node.op_type for part in parts if part.ep_name == PROVIDERS["cpu"] for node in part.get_nodes()]
    names = ", ".join(sorted(set(nodes))[:8])
    return (f"{len(nodes)} operators run on the CPU inside a session for {first}: {names}",) if nodes else ()


def _run_failure(fault: Exception) -> RunFailure | DeviceFailure:
    text = str(fault)
    broken = cuda.breakage(text)
    if broken is not None:
        return DeviceFailure(f"{broken.reason}: {' '.join(text.split())[:300]}", by_model=broken.by_model)
    if isinstance(fault, MemoryError) or ort_messages.is_memory(text):
        return RunFailure(Kind.OVERLOADED, "not enough memory to run this request now", retry_after=1.0)
    if isinstance(fault, UnicodeEncodeError):
        return RunFailure(Kind.REJECTED, "a string input holds text that is not valid UTF-8")
    if ort_messages.is_device(text):
        return RunFailure(Kind.INTERNAL, "the device failed while the model ran")
    return RunFailure(Kind.REJECTED, ort_messages.run_sentence(text))


def _check_text(name: str, inputs: Mapping[str, Array]) -> None:
    """ONNX Runtime would turn `bytes` silently into their repr (rule 6)."""
    array = inputs.get(name)
    if array is not None and not all(type(item) is str for item in array.flat):
        raise RunFailure(Kind.REJECTED, f"input '{name}' holds strings that are not valid UTF-8")


def _by_class(answer: Any, labels: tuple[str, ...]) -> Array:
    """A ZipMap's list of dicts, or the tensor it would have taken apart, as one [rows, classes] tensor in the labels'
    order."""
    if isinstance(answer, list):
        return _from_maps(answer, labels)
    if answer.shape[-1:] != (len(labels),) or answer.ndim > 2:
        raise RunFailure(Kind.REJECTED, f"the model gave {list(answer.shape)} numbers for {len(labels)} classes")
    by_class: Array = answer.reshape(-1, len(labels))
    return by_class


def _from_maps(rows: Sequence[Mapping[Any, float]], labels: tuple[str, ...]) -> Array:
    """A ZipMap's list of dicts as one [rows, classes] tensor, in the labels' order."""
    if rows and isinstance(next(iter(rows[0])), int):
        keys: Sequence[Any] = [int(label) for label in labels]
    else:
        keys = labels
    values = [[row[key] for key in keys] for row in rows]
    return np.array(values, dtype=np.float32).reshape(len(rows), len(labels))
