"""The official archive of an API server for tests, as setup-envtest fetches it: quick where it can be had.

Only what is pinned here is taken: the sums are those of the project's own list of releases.
"""

from __future__ import annotations

import hashlib
import platform
import tarfile
import time
from pathlib import Path

import httpx

from local_cluster.errors import Unavailable

VERSION = "1.34.1"  # the newest archive of the minor version that modules/kubernetes pins
ADDRESS = "https://github.com/kubernetes-sigs/controller-tools/releases/download/envtest-v{version}/{name}"
SHA512 = {
    "x86_64": (
        "envtest-v1.34.1-linux-amd64.tar.gz",
        "c5e7c237ae18a8c65d0df1214b864ecd19aa9ff4f1383dbd477c202546d778c0"
        "f74efe15750ec38f57d8de26ba17cd62f404446cdd3c975399a5d4589de35cdd",
    ),
    "aarch64": (
        "envtest-v1.34.1-linux-arm64.tar.gz",
        "bf13d2456183e66d084e28e1c9eed6a408fb77a06d8d1fd0461a7d9bc0c90b63"
        "d29ea67870b28f80d1f992acb026007d6f43987753c859c81d6a78bc1ca2c903",
    ),
}
CONNECT_S = 5.0
READ_S = 20.0
WHOLE_S = 300.0
LARGEST = 512 << 20


def download(into: Path, programs: tuple[str, ...], address: str = ADDRESS) -> None:
    """Puts `programs` into the folder. Raises Unavailable where the archive cannot be had, is another, or lacks one."""
    machine = platform.machine()
    if machine not in SHA512:
        raise Unavailable(f"there is no archive for {machine}")
    name, sha512 = SHA512[machine]
    archive = into / name
    try:
        found = _fetch(address.format(version=VERSION, name=name), archive)
        if found != sha512:
            raise Unavailable(f"{name} is not the file that was pinned (sha512 {found[:16]}...)")
        _unpack(archive, into, programs)
    finally:
        archive.unlink(missing_ok=True)


def _fetch(url: str, archive: Path) -> str:
    digest = hashlib.sha512()
    deadline = time.monotonic() + WHOLE_S
    limits = httpx.Timeout(READ_S, connect=CONNECT_S)
    try:
        with archive.open("wb") as file, httpx.stream("GET", url, timeout=limits, follow_redirects=True) as answer:
            answer.raise_for_status()
            for part in answer.iter_bytes(1 << 20):
                digest.update(part)
                if file.tell() > LARGEST or time.monotonic() > deadline:
                    raise Unavailable("the archive is too large or too slow")
                file.write(part)
    except (httpx.HTTPError, OSError) as fault:
        raise Unavailable(f"the archive cannot be had: {fault}") from None
    return digest.hexdigest()


def _unpack(archive: Path, into: Path, programs: tuple[str, ...]) -> None:
    with tarfile.open(archive) as tar:
        members = {Path(member.name).name: member for member in tar.getmembers() if member.isfile()}
        for program in programs:
            source = tar.extractfile(members[program]) if program in members else None
            if source is None:
                raise Unavailable(f"{archive.name} lacks {program}")
            with source, (into / program).open("wb") as target:
                while part := source.read(1 << 20):
                    target.write(part)
            (into / program).chmod(0o755)
