"""Ports are nobody else's, and a listening socket ends without a reset."""

from __future__ import annotations

import asyncio
import errno
import socket
from pathlib import Path

import pytest
from harness.parts import free_block
from server.supervisor.replicas import settings

from fairlead_server.supervisor.blocks import StateTaken, order, take_home
from fairlead_server.supervisor.sockets import PortTaken, take_ports, with_ports
from fairlead_server.supervisor.waiting import WaitingRoom


def test_two_pools_never_share_a_port(tmp_path: Path) -> None:
    """A second replica with the same ports is refused at once, and takes them when the first has gone."""
    first = take_ports(settings(tmp_path), 1.0)
    fixed = with_ports(settings(tmp_path), first)
    with pytest.raises(PortTaken, match="another replica of Fairlead") as caught:
        take_ports(fixed, 0.0)
    assert caught.value.ours
    first.close()
    take_ports(fixed, 0.0).close()


def test_the_grpc_port_is_proven_free_although_it_is_shared_later(tmp_path: Path) -> None:
    """A stranger that listens with SO_REUSEPORT would get a part of our requests."""
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        with pytest.raises(PortTaken, match="cannot be bound") as caught:
            take_ports(settings(tmp_path, grpc_port=stranger.getsockname()[1]), 0.0)
    assert not caught.value.ours


def test_workers_bind_beside_the_reserved_grpc_port(tmp_path: Path) -> None:
    """The reservation takes no connection itself."""
    ports = take_ports(settings(tmp_path), 0.0)
    with socket.socket() as worker:
        worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        worker.bind(ports.grpc.getsockname())
        worker.listen()
        for _ in range(20):
            socket.create_connection(worker.getsockname(), 1).close()
            worker.accept()[0].close()
    ports.close()


def test_replicas_of_one_machine_take_blocks_and_keep_them(tmp_path: Path) -> None:
    """The second takes the next block and directory; started again, each has its own, whoever comes first."""
    base = free_block(12)
    more = {"http_port": base, "port_step": 4}
    ports = {"grpc_port": base + 1, "metrics_port": base + 2, "control_port": base + 3, **more}
    first = take_home(settings(tmp_path, replica="a", **ports), 1.0)
    second = take_home(settings(tmp_path, replica="b", **ports), 1.0)
    assert second.settings.http_port - first.settings.http_port == 4
    assert first.settings.state_dir != second.settings.state_dir
    numbers = second.settings.http_port
    first.close()
    second.close()
    again = take_home(settings(tmp_path, replica="b", **ports), 1.0)
    assert again.settings.http_port == numbers
    again.close()


def test_a_state_directory_has_one_user(tmp_path: Path) -> None:
    """Two supervisors would spoil each other's journal."""
    first = take_home(settings(tmp_path), 0.0)
    with pytest.raises(StateTaken, match="--state-dir"):
        take_home(settings(tmp_path), 0.0)
    first.close()
    take_home(settings(tmp_path), 0.0).close()


def test_the_order_of_blocks() -> None:
    """One's own first."""
    assert order("b", {"a": 0, "b": 2})[:3] == [2, 0, 1]
    assert order("c", {"a": 0, "b": 2})[:3] == [0, 1, 2]


def test_a_socket_is_emptied_without_a_reset(tmp_path: Path) -> None:
    """Whoever the kernel has accepted is answered before it closes, and those who come later are not connected."""
    ports = take_ports(settings(tmp_path), 0.0)
    address = ports.http.getsockname()

    async def one() -> bytes:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        return answer

    async def play() -> None:
        room = WaitingRoom(ports.http)
        callers = [asyncio.ensure_future(one()) for _ in range(20)]
        await asyncio.sleep(0.1)
        room.open("leaving", 1)
        await room.empty()
        answers = await asyncio.gather(*callers)
        assert all(answer.startswith(b"HTTP/1.1 503") and b"retry-after: 1" in answer for answer in answers)
        with pytest.raises(ConnectionRefusedError):
            await one()

    asyncio.run(play())
    ports.close()


class Full(socket.socket):
    """A listening socket in a process that has no descriptor left."""

    asked = 0

    def accept(self) -> tuple[socket.socket, object]:
        self.asked += 1
        raise OSError(errno.EMFILE, "Too many open files")


def test_a_full_process_does_not_turn_round_its_socket() -> None:
    """Callers go on waiting in the kernel, and the supervisor looks again after a while."""

    async def play() -> None:
        with Full() as sock, socket.socket() as caller:
            sock.bind(("127.0.0.1", 0))
            sock.listen()
            sock.setblocking(False)
            caller.connect(sock.getsockname())
            room = WaitingRoom(sock)
            room.open("leaving", 1)
            await asyncio.sleep(0.2)
            assert sock.asked == 1
            room.close()

    asyncio.run(play())
