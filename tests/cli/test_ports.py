import socket

import pytest

from fairlead_cli import ports
from fairlead_cli.errors import CommandError


def free_block() -> int:
    """A first port whose next 100 are free, as far as can be known."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return min(int(probe.getsockname()[1]), 60000)


@pytest.fixture
def first() -> int:
    reserved = ports.reserve(free_block(), 4)
    reserved.close()
    return reserved.first


def test_the_usual_ports_are_taken_when_they_are_free(first: int) -> None:
    """Nothing in the way: the first choice."""
    reserved = ports.reserve(first, 4)
    assert (reserved.first, reserved.count, reserved.usual) == (first, 4, True)
    reserved.close()


def test_a_listener_on_any_of_them_moves_the_block(first: int) -> None:
    """A port is taken whoever listens there; the whole block moves."""
    with socket.create_server(("127.0.0.1", first + 2)):
        reserved = ports.reserve(first, 4)
        assert reserved.first != first
        assert not reserved.usual
        reserved.close()


def test_a_listener_on_all_addresses_that_shares_its_port_counts(first: int) -> None:
    """A gRPC server with SO_REUSEPORT on 0.0.0.0 is not joined by accident."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("0.0.0.0", first + 1))
        other.listen()
        reserved = ports.reserve(first, 4)
        assert reserved.first != first
        reserved.close()


def test_two_that_choose_at_once_choose_differently(first: int) -> None:
    """What one has chosen and not yet bound, another does not choose."""
    one, other = ports.reserve(first, 4), ports.reserve(first, 4)
    assert one.first != other.first
    one.close()
    other.close()
    again = ports.reserve(first, 4)
    assert again.first == first
    again.close()


def test_a_pools_lock_on_a_port_counts(first: int) -> None:
    """A pool that holds a port's lock has it, though nothing listens yet."""
    with socket.socket(socket.AF_UNIX) as lock:
        lock.bind(f"\0fairlead-port-{first + 3}")
        reserved = ports.reserve(first, 4)
        assert reserved.first != first
        reserved.close()


def test_no_free_ports_is_told() -> None:
    """At the end of the port numbers there is a clear line."""
    with pytest.raises(CommandError, match="found no 4 free ports from 65530 on"):
        ports.reserve(65530, 4)
