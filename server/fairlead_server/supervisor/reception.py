"""The supervisor's own doors: the control API and the metrics port, on sockets that were bound before.

Imported late where it can be: workers start while these modules load.
"""

from __future__ import annotations

import ipaddress
from typing import Any

import msgspec

from fairlead_server.settings import Limits, ReplicaSettings
from fairlead_server.supervisor.sockets import Ports

LIMITS = Limits(body_bytes=64 * 2**20, concurrent=256)
GRACE_S = 1.0


def open_to_all(settings: ReplicaSettings) -> str:
    """Why the control API may not be opened with these settings, or ""."""
    if settings.control_token_file or _is_loopback(settings.host):
        return ""
    return (
        f"the control API would be open to everybody who reaches {settings.host}: "
        "give --control-token-file FILE, or --host 127.0.0.1"
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Reception:
    """`replica` answers both doors (see `doors.control.Replica` and `doors.metrics.Replica`)."""

    def __init__(self, replica: Any, ports: Ports, settings: ReplicaSettings) -> None:
        self._replica = replica
        self._ports = ports
        self._token_file = settings.control_token_file
        self._servers: list[Any] = []

    def open(self) -> None:
        from fairlead_server.doors.control import ControlApp
        from fairlead_server.doors.gate import Gate
        from fairlead_server.doors.http_server import HttpServer
        from fairlead_server.doors.metrics import MetricsApp

        control = ControlApp(self._replica, self._token_file)
        for app, sock in ((control, self._ports.control), (MetricsApp(self._replica), self._ports.metrics)):
            server = HttpServer(app, msgspec.structs.replace(LIMITS), Gate(LIMITS.concurrent))
            server.start(sock)
            self._servers.append(server)

    async def close(self) -> None:
        """Answers under way are finished, for a moment."""
        for server in self._servers:
            await server.drain(GRACE_S, 0.0)
