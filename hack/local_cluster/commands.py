"""The command lines of etcd and kube-apiserver, the same for the tests' API server and for the node's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from local_cluster.layout import SERVICES

ISSUER = "https://kubernetes.default.svc.cluster.local"


def etcd(program: Path, data: Path, url: str, peer_url: str) -> list[str]:
    """An etcd of one that does not wait for its disk: what it holds is not worth it."""
    return [
        str(program),
        "--unsafe-no-fsync",
        f"--data-dir={data}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer_url}",
        "--log-level=warn",
    ]


def api_server(program: Path, etcd_url: str, host: str, port: int, folder: Path, *, more: Sequence[str]) -> list[str]:
    """Signs itself into folder/certs, and reads the users from folder/tokens.csv and the key of the service accounts
    from folder/service-accounts.key."""
    key = folder / "service-accounts.key"
    return [
        str(program),
        f"--etcd-servers={etcd_url}",
        f"--bind-address={host}",
        f"--advertise-address={host}",
        f"--secure-port={port}",
        f"--cert-dir={folder / 'certs'}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        f"--service-cluster-ip-range={SERVICES}",
        "--allow-privileged=true",
        "--profiling=false",
        *more,
    ]
