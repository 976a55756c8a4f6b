from __future__ import annotations

import hashlib
import io
import platform
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import serve

from local_cluster import envtest
from local_cluster.errors import Unavailable

PROGRAMS = ("etcd", "kubectl")
NAME = "envtest-for-this-test.tar.gz"


def archive(*names: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name in names:
            entry = tarfile.TarInfo(f"controller-tools/envtest/{name}")
            entry.size = len(name)
            tar.addfile(entry, io.BytesIO(name.encode()))
    return content.getvalue()


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The archive that is pinned for this machine."""
    content = archive(*PROGRAMS, "kube-apiserver")
    pinned = (NAME, hashlib.sha512(content).hexdigest())
    monkeypatch.setattr(envtest, "SHA512", {platform.machine(): pinned})
    return content


@pytest.fixture
def answers() -> list[tuple[int, bytes]]:
    return []


@pytest.fixture
def address(answers: list[tuple[int, bytes]]) -> Iterator[str]:
    with serve(lambda *_: answers.pop(0)) as base:
        yield base + "/{version}/{name}"


def test_the_programs_come_out_executable(
    whole: bytes, answers: list[tuple[int, bytes]], address: str, tmp_path: Path
) -> None:
    """Those that are asked for, and nothing else stays in the folder."""
    answers.append((200, whole))
    envtest.download(tmp_path, PROGRAMS, address)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: name for name in PROGRAMS}
    assert all(path.stat().st_mode & 0o111 for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("status", "content", "complaint"),
    [
        (200, b"something else", "is not the file that was pinned"),
        (404, b"", "cannot be had.*404"),
    ],
)
@pytest.mark.usefixtures("whole")
def test_anything_else_is_refused(
    status: int, content: bytes, complaint: str, answers: list[tuple[int, bytes]], address: str, tmp_path: Path
) -> None:
    """Another file under the same name, and none at all: nothing of it is kept."""
    answers.append((status, content))
    with pytest.raises(Unavailable, match=complaint):
        envtest.download(tmp_path, PROGRAMS, address)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("whole")
def test_nobody_who_answers_is_no_archive(tmp_path: Path) -> None:
    """A machine without this network goes another way."""
    with pytest.raises(Unavailable, match="cannot be had"):
        envtest.download(tmp_path, PROGRAMS, "http://127.0.0.1:9/{version}/{name}")


def test_an_archive_that_lacks_a_program_is_refused(
    whole: bytes, answers: list[tuple[int, bytes]], address: str, tmp_path: Path
) -> None:
    """Even when it is the pinned one."""
    answers.append((200, whole))
    with pytest.raises(Unavailable, match="lacks kube-scheduler"):
        envtest.download(tmp_path, ("kube-scheduler",), address)
