"""The Open Inference Protocol over gRPC: generic handlers on the messages' bytes.

Each worker binds the port itself with SO_REUSEPORT, for grpc cannot take over a socket; that
nobody else has the port is the supervisor's to prove. This file alone imports grpc.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from fairlead_server import log
from fairlead_server.doors.codes import GRPC, INTERNAL_MESSAGE
from fairlead_server.doors.farewell import say_goodbye
from fairlead_server.doors.gate import Gate
from fairlead_server.doors.seam import InferenceService, terms_of
from fairlead_server.doors.untaken import Untaken
from fairlead_server.errors import Kind, ServingError
from fairlead_server.models.inference import Terms
from fairlead_server.protocols import v2_proto
from fairlead_server.protocols.v2_messages import SERVICE, message
from fairlead_server.settings import Limits

_LONGEST_DETAILS = 1500  # bytes: clients refuse trailers over 8 KiB, and gRPC may write one byte as three
_LARGEST_MESSAGE = 2**31 - 1

_ModelReadyRequest = message("ModelReadyRequest")
_ModelMetadataRequest = message("ModelMetadataRequest")
_ServerLive = message("ServerLiveResponse")
_ServerReady = message("ServerReadyResponse")
_ModelReady = message("ModelReadyResponse")
_ServerMetadata = message("ServerMetadataResponse")
_ModelMetadata = message("ModelMetadataResponse")

Handler = Callable[[bytes, Any], Awaitable[bytes]]


class RpcServer:
    """Made and used inside one running loop."""

    def __init__(self, service: InferenceService, gate: Gate, limits: Limits, grace_s: float) -> None:
        self._service = service
        self._gate = gate
        self._untaken = Untaken(limits.unsent_bytes, limits.write_s)
        self._port = 0
        self._server = grpc.aio.server(options=_options(limits, grace_s))
        handlers = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._infer,
        }
        methods = {name: grpc.unary_unary_rpc_method_handler(_guarded(handler)) for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))

    async def start(self, address: str) -> int:
        """Bind, serve, and tell the port. `address` is HOST:PORT; port 0 takes a free one."""
        self._port = self._server.add_insecure_port(address)
        await self._server.start()
        return self._port

    async def drain(self, grace_s: float) -> None:
        """Tell clients to go elsewhere (GOAWAY), finish what is here within `grace_s`, and end."""
        begun = _now()
        if self._port:
            await say_goodbye(self._port, grace_s)
        await self._server.stop(max(0.0, grace_s - (_now() - begun)))

    async def _live(self, _data: bytes, _context: Any) -> bytes:
        return _bytes(_ServerLive(live=self._service.live()))

    async def _ready(self, _data: bytes, _context: Any) -> bytes:
        return _bytes(_ServerReady(ready=self._service.ready()))

    async def _model_ready(self, data: bytes, _context: Any) -> bytes:
        wanted = v2_proto.parse(_ModelReadyRequest, data)
        return _bytes(_ModelReady(ready=self._service.model_ready(wanted.name, wanted.version or None)))

    async def _server_metadata(self, _data: bytes, _context: Any) -> bytes:
        return _bytes(_ServerMetadata(**self._service.server_metadata()))

    async def _model_metadata(self, data: bytes, _context: Any) -> bytes:
        wanted = v2_proto.parse(_ModelMetadataRequest, data)
        return _bytes(_ModelMetadata(**_known(self._service.model_metadata(wanted.name, wanted.version or None))))

    async def _infer(self, data: bytes, context: Any) -> bytes:
        peer = context.peer()
        with self._gate:
            try:
                await self._untaken.room(peer)
                model, version, request = v2_proto.decode_request(data)
                headers = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
                terms = _sooner(terms_of(request.parameters, headers, _now()), context)
            except ServingError as error:
                self._gate.note(error.kind)
                raise
            response = await self._service.infer(model, version, request, headers, terms)
            answer = v2_proto.encode_response(response)
            context.add_done_callback(self._untaken.answered(peer, len(answer)))
            return answer


def _guarded(handler: Handler) -> Handler:
    """The handler, with every error turned into a status."""

    async def guarded(data: bytes, context: Any) -> bytes:
        try:
            return await handler(data, context)
        except ServingError as known:
            error = known
        except Exception:
            log.error("request failed", trace=traceback.format_exc())
            error = ServingError(Kind.INTERNAL, INTERNAL_MESSAGE)
        details = error.message.encode()[:_LONGEST_DETAILS].decode("utf-8", "ignore")
        trailers: tuple[tuple[str, str], ...] = ()
        if error.retry_after is not None:
            trailers = (("grpc-retry-pushback-ms", str(round(error.retry_after * 1000))),)
        await context.abort(grpc.StatusCode[GRPC[error.kind]], details, trailers)
        raise AssertionError("abort does not return")

    return guarded


def _options(limits: Limits, grace_s: float) -> list[tuple[str, int]]:
    """Triton's keep-alive defaults. A message may be as large as an HTTP body; grpc refuses a larger one unread."""
    return [
        ("grpc.so_reuseport", 1),
        ("grpc.max_send_message_length", _LARGEST_MESSAGE),
        ("grpc.max_receive_message_length", min(limits.body_bytes, _LARGEST_MESSAGE)),
        ("grpc.max_metadata_size", limits.header_bytes),
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


def _now() -> float:
    return asyncio.get_running_loop().time()


def _sooner(asked: Terms, context: Any) -> Terms:
    """With the call's own deadline, where that is the nearer one."""
    remaining = context.time_remaining()
    if remaining is None:
        return asked
    given: float = _now() + remaining
    return asked if asked.deadline is not None and asked.deadline <= given else asked._replace(deadline=given)


def _bytes(answer: Any) -> bytes:
    return answer.SerializeToString()  # type: ignore[no-any-return]
