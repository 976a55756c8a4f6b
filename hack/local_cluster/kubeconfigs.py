"""Who may call the API server: its users' tokens, kubeconfig files, and the key that signs service accounts' tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def write_kubeconfig(file: Path, url: str, authority: Path, token: str, namespace: str = "default") -> Path:
    """One cluster, one user, one context."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "it", "cluster": {"server": url, "certificate-authority": str(authority)}}],
        "users": [{"name": "it", "user": {"token": token}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": namespace}}],
        "current-context": "it",
    }
    return _private(file, yaml.safe_dump(document).encode())


def write_users(file: Path, users: Mapping[str, tuple[str, str]]) -> Path:
    """By token: the user's name and group ("" for none), as --token-auth-file wants them."""
    rows = [f"{token},{name},{name}{f',{group}' if group else ''}\n" for token, (name, group) in users.items()]
    return _private(file, "".join(rows).encode())


def write_signing_key(file: Path) -> Path:
    """RSA in PEM, as kube-apiserver wants it for the tokens of service accounts."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return _private(file, key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))


def _private(file: Path, content: bytes) -> Path:
    file.touch(mode=0o600)
    file.write_bytes(content)
    return file
