"""The settings of one replica: what the command line or the Ray Serve deployment gives it.

Passed to the replica's own children as JSON. The settings of a version are elsewhere
(`models.settings`): they travel in the catalog.
"""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one client may ask of a worker. Sizes in bytes, times in seconds."""

    body_bytes: int = 256 * 2**20  # of one request, after decompression
    header_bytes: int = 64 * 2**10
    read_s: float = 30.0  # from the first byte of a request to its last
    idle_s: float = 75.0  # a kept connection without a request
    age_s: float = 600.0  # of a connection, plus up to a tenth of jitter
    unsent_bytes: int = 4 * 2**20  # answers written and not taken by the client; beyond it reading stops
    write_s: float = 60.0  # a client that takes nothing for so long is cut off
    concurrent: int = 10_000  # requests in one worker


class Drain(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a replica leaves. `balancer_s` passes between not ready and the drain."""

    balancer_s: float = 0.0
    grace_s: float = 30.0
    idle_s: float = 5.0  # how long a kept idle connection is given one more request before it is closed


class ReplicaSettings(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """`state_dir` holds the model cache, the journal and the stored catalog, and outlives the process."""

    state_dir: str
    replica: str = ""  # "" is made from the host's name
    pool: str = "default"
    host: str = "127.0.0.1"
    http_port: int = 8000
    grpc_port: int = 8001
    metrics_port: int = 8002
    control_port: int = 8003
    port_step: int = 0  # more replicas of the pool on one machine: each takes a free block, so many ports further
    control_token_file: str = ""
    catalog_file: str = ""
    models: str = ""  # a folder of models, or one model file: no catalog file then
    workers: int = 1
    cores: int = 0  # for all workers together; 0: what the process may use
    memory_limit_bytes: int = 0  # 0: the container's, else the machine's
    gpus: float = 0.0  # that Ray gives to one replica; may be a part of one
    gpu_memory_bytes: int = 0  # for its sessions on a GPU together; 0: they are not counted
    cache_bytes: int = 20 * 2**30  # the model cache grows so far before versions that nothing names are evicted
    volume_bytes: int = 0  # what the volume of `state_dir` may hold; 0: as much as its disk
    log_level: str = "info"
    limits: Limits = Limits()
    drain: Drain = Drain()


def in_url(host: str) -> str:
    """A host as it stands before a colon and a port: an IPv6 address takes brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]" if ":" in host else host
