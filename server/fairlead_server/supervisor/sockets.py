"""The replica's ports: locked, proven free, bound before any worker starts, and kept until the end.

Two pools must never share a port, and SO_REUSEPORT would let them: the kernel would then spread one pool's
requests over both. So each port is locked by an abstract Unix socket (it lives in the network namespace and
dies with the process), and an exclusive bind proves that nobody else has it. The gRPC port stays reserved
by a socket that is bound and never listens; each worker binds beside it.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import socket
import struct
import time

import msgspec

from fairlead_server.settings import ReplicaSettings

BACKLOG = 4096
LAST_PORT = 65535
SO_ATTACH_FILTER = 26

# Classic BPF over the TCP header: drop what carries SYN, pass the rest.
_DROP_SYN = b"".join(
    struct.pack("=HBBI", *step)
    for step in (
        (0x30, 0, 0, 13),  # load the byte of the flags
        (0x54, 0, 0, 0x02),  # keep SYN
        (0x15, 0, 1, 0),  # not set: the next; set: the one after
        (0x06, 0, 0, 0xFFFFFFFF),  # pass
        (0x06, 0, 0, 0),  # drop
    )
)


class PortTaken(Exception):
    """A port of the block is in use. `ours`: by another living replica of Fairlead."""

    def __init__(self, message: str, *, ours: bool) -> None:
        super().__init__(message)
        self.ours = ours


@dataclasses.dataclass
class Ports:
    """The bound sockets of one replica, and the locks that make them its own."""

    http: socket.socket
    grpc: socket.socket
    metrics: socket.socket
    control: socket.socket
    locks: list[socket.socket]

    def numbers(self) -> dict[str, int]:
        return {
            "http_port": self.http.getsockname()[1],
            "grpc_port": self.grpc.getsockname()[1],
            "metrics_port": self.metrics.getsockname()[1],
            "control_port": self.control.getsockname()[1],
        }

    def close(self) -> None:
        for sock in (self.http, self.grpc, self.metrics, self.control, *self.locks):
            sock.close()


def take_ports(settings: ReplicaSettings, wait_s: float) -> Ports:
    """Bind all four, or none. A port whose lock is ours may still be held by a dying predecessor's child
    for a moment: so wait for it up to `wait_s`. Port 0 takes any free one."""
    wanted = (settings.http_port, settings.grpc_port, settings.metrics_port, settings.control_port)
    with contextlib.ExitStack() as undo:
        locks = [undo.enter_context(lock_port(port)) for port in wanted if port]
        until = time.monotonic() + wait_s
        bound = [undo.enter_context(_bind_until(settings.host, port, until, door)) for door, port in enumerate(wanted)]
        locks += [
            undo.enter_context(lock_port(sock.getsockname()[1]))
            for sock, port in zip(bound, wanted, strict=True)
            if not port
        ]
        undo.pop_all()
    http, grpc, metrics, control = bound
    return Ports(http, grpc, metrics, control, locks)


def with_ports(settings: ReplicaSettings, ports: Ports) -> ReplicaSettings:
    """The settings with the ports that were really taken."""
    return msgspec.structs.replace(settings, **ports.numbers())


def lock_port(port: int) -> socket.socket:
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        lock.bind(f"\0fairlead-port-{port}")
    except OSError:
        lock.close()
        raise PortTaken(f"port {port} belongs to another replica of Fairlead on this machine", ours=True) from None
    return lock


def _bind_until(host: str, port: int, until: float, door: int) -> socket.socket:
    while True:
        try:
            return _reserve(host, port) if door == 1 else _listen(host, port)
        except OSError as fault:
            if time.monotonic() >= until:
                raise PortTaken(f"port {port} on {host} cannot be bound: {fault.strerror}", ours=False) from None
        time.sleep(0.05)


def _listen(host: str, port: int) -> socket.socket:
    sock = _bound(host, port)
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock


def _reserve(host: str, port: int) -> socket.socket:
    """Bound beside the workers' sockets of the same port. The exclusive bind before it proves the port free."""
    proof = _bound(host, port)
    number = proof.getsockname()[1]
    proof.close()
    return _bound(host, number, share=True)


def _bound(host: str, port: int, *, share: bool = False) -> socket.socket:
    if port > LAST_PORT:  # getaddrinfo would take it modulo 65536
        raise OSError(errno.EINVAL, f"ports end at {LAST_PORT}")
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT if share else socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def admit_nobody_new(sock: socket.socket) -> bool:
    """Let a listening socket's queue be emptied for good: new connections are not made any more (the caller
    tries again a second later), those being made complete. False where the kernel has no such filter."""
    program = ctypes.create_string_buffer(_DROP_SYN)
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", 5, ctypes.addressof(program)))
    except OSError:
        return False
    return True
