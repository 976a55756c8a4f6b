"""The Open Inference Protocol over gRPC: one function for each method, on the messages' bytes.

Each worker binds the port itself with SO_REUSEPORT, for grpc cannot take over a socket; that
nobody else has the port is the supervisor's to prove. What drives grpc is next door (`grpc_core`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fairlead_server.doors.farewell import say_goodbye
from fairlead_server.doors.gate import Gate
from fairlead_server.doors.grpc_core import Call, CoreServer
from fairlead_server.doors.rpc_infer import RpcInferDoor, refuse
from fairlead_server.doors.seam import InferenceService
from fairlead_server.doors.untaken import Untaken
from fairlead_server.protocols import v2_proto
from fairlead_server.protocols.v2_messages import SERVICE, message
from fairlead_server.settings import Limits

_LARGEST_MESSAGE = 2**31 - 1
_WAITING = 10_000  # calls that the loop has not come to; measured: 16 KiB of memory each, 75 with 60 kB of message

_ModelReadyRequest = message("ModelReadyRequest")
_ModelMetadataRequest = message("ModelMetadataRequest")
_ModelConfigRequest = message("ModelConfigRequest")
_ServerLive = message("ServerLiveResponse")
_ServerReady = message("ServerReadyResponse")
_ModelReady = message("ModelReadyResponse")
_ServerMetadata = message("ServerMetadataResponse")
_ModelMetadata = message("ModelMetadataResponse")
_ModelConfig = message("ModelConfigResponse")

Handler = Callable[[bytes], bytes]


class RpcServer:
    """Made and used inside one running loop."""

    def __init__(self, service: InferenceService, gate: Gate, limits: Limits, grace_s: float) -> None:
        self._service = service
        self._inferring = RpcInferDoor(service, gate, Untaken(limits.unsent_bytes, limits.write_s))
        self._port = 0
        self._loop = asyncio.get_running_loop()
        self._server = CoreServer(_options(limits, grace_s), self._take)
        self._handlers: dict[bytes, Handler] = {
            _path("ServerLive"): self._live,
            _path("ServerReady"): self._ready,
            _path("ModelReady"): self._model_ready,
            _path("ServerMetadata"): self._server_metadata,
            _path("ModelMetadata"): self._model_metadata,
            _path("ModelConfig"): self._model_configuration,
        }

    async def start(self, address: str) -> int:
        """Bind, serve, and tell the port. `address` is HOST:PORT; port 0 takes a free one."""
        self._port = self._server.start(address)
        return self._port

    async def drain(self, grace_s: float) -> None:
        """Tell clients to go elsewhere (GOAWAY), finish what is here within `grace_s`, and end."""
        begun = self._loop.time()
        if self._port:
            await say_goodbye(self._port, grace_s)
        await self._server.stop(max(0.0, grace_s - (self._loop.time() - begun)))

    def _take(self, call: Call) -> None:
        if call.request is None:
            call.refuse("UNIMPLEMENTED", b"the call has no request message: it takes exactly one")
        elif call.method == _INFER:
            self._inferring.take(call, call.request)
        elif handler := self._handlers.get(call.method):
            try:
                call.answer(handler(call.request))
            except Exception as fault:
                refuse(call, fault)
        else:
            call.refuse("UNIMPLEMENTED", b"there is no such method")

    def _live(self, _data: bytes) -> bytes:
        return _bytes(_ServerLive(live=self._service.live()))

    def _ready(self, _data: bytes) -> bytes:
        return _bytes(_ServerReady(ready=self._service.ready()))

    def _model_ready(self, data: bytes) -> bytes:
        wanted = v2_proto.parse(_ModelReadyRequest, data)
        return _bytes(_ModelReady(ready=self._service.model_ready(wanted.name, wanted.version or None)))

    def _server_metadata(self, _data: bytes) -> bytes:
        return _bytes(_ServerMetadata(**self._service.server_metadata()))

    def _model_metadata(self, data: bytes) -> bytes:
        wanted = v2_proto.parse(_ModelMetadataRequest, data)
        return _bytes(_ModelMetadata(**_known(self._service.model_metadata(wanted.name, wanted.version or None))))

    def _model_configuration(self, data: bytes) -> bytes:
        wanted = v2_proto.parse(_ModelConfigRequest, data)
        return _bytes(_ModelConfig(config=self._service.model_configuration(wanted.name, wanted.version or None)))


def _path(method: str) -> bytes:
    return f"/{SERVICE}/{method}".encode()


_INFER = _path("ModelInfer")


def _options(limits: Limits, grace_s: float) -> list[tuple[str, int]]:
    """Triton's keep-alive defaults. A message may be as large as an HTTP body; grpc refuses a larger one unread.

    Of calls that the loop has not come to, grpc cancels some beyond 1,000 and all beyond 3,000 by default: a burst that
    the gate would take, or refuse by name, came back as CANCELLED. The gate's own limit is not enough where it is low:
    those that wait are still to be refused by name, or are no inferences, or have already left."""
    waiting = max(_WAITING, limits.concurrent)
    return [
        ("grpc.so_reuseport", 1),
        ("grpc.max_send_message_length", _LARGEST_MESSAGE),
        ("grpc.max_receive_message_length", min(limits.body_bytes, _LARGEST_MESSAGE)),
        ("grpc.max_metadata_size", limits.header_bytes),
        ("grpc.server.max_pending_requests", waiting),
        ("grpc.server.max_pending_requests_hard_limit", waiting),
        ("grpc.keepalive_time_ms", 7_200_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 0),
        ("grpc.http2.max_pings_without_data", 2),
        ("grpc.http2.min_ping_interval_without_data_ms", 300_000),
        ("grpc.http2.max_ping_strikes", 2),
        ("grpc.max_connection_age_ms", round(limits.age_s * 1000)),  # grpc adds its own jitter of a tenth
        ("grpc.max_connection_age_grace_ms", round(grace_s * 1000)),
    ]


def _known(metadata: dict[str, Any]) -> dict[str, Any]:
    """The protocol's fields: its message has no place for a tensor's parameters (labels), which HTTP tells."""
    tensors = {
        side: [{key: tensor[key] for key in ("name", "datatype", "shape")} for tensor in metadata[side]]
        for side in ("inputs", "outputs")
    }
    return metadata | tensors


def _bytes(answer: Any) -> bytes:
    return answer.SerializeToString()  # type: ignore[no-any-return]
