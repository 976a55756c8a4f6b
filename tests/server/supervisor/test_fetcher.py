"""supervisor.fetcher: the real process over its link, killed, starved and left alone."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from harness.awkward_server import AwkwardServer

from fairlead_server.link.messages import Fetch, Fetched, FetchFailed, Forget, FromFetcher
from fairlead_server.link.stream import Link
from fairlead_server.settings import ReplicaSettings
from fairlead_server.store.cache import RESERVE
from fairlead_server.store.digest import digest_folder
from fairlead_server.store.failure import DISK_FULL
from fairlead_server.supervisor.fetcher import DOWNLOADS

LIMIT_S = 20.0


class Fetcher:
    """The process and the supervisor's end of its link."""

    def __init__(self, process: subprocess.Popen[bytes], link: Link[FromFetcher]) -> None:
        self.process = process
        self.link = link

    def ask(self, number: int, source: str | Path, digest: str | None = None) -> None:
        self.link.send(Fetch(number, str(source), digest))

    async def answer(self) -> Fetched | FetchFailed | None:
        return await asyncio.wait_for(self.link.receive(), LIMIT_S)

    async def fetched(self, source: str | Path, digest: str | None = None) -> Fetched:
        self.ask(1, source, digest)
        answer = await self.answer()
        assert isinstance(answer, Fetched), answer
        return answer

    async def ended(self) -> int:
        return await asyncio.to_thread(self.process.wait, LIMIT_S)


@asynccontextmanager
async def fetcher(state: Path, cache_bytes: int = 2**30, volume_bytes: int = 0) -> AsyncIterator[Fetcher]:
    ours, theirs = socket.socketpair()
    replica = ReplicaSettings(state_dir=str(state), cache_bytes=cache_bytes, volume_bytes=volume_bytes)
    settings = msgspec.json.encode(replica).decode()
    command = [sys.executable, "-m", "fairlead_server", "fetcher"]
    command += ["--link-fd", str(theirs.fileno()), "--settings", settings]
    with theirs:
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()])  # noqa: ASYNC220 - it returns at once
    link = await Link.over(ours, FromFetcher)
    try:
        yield Fetcher(process, link)
    finally:
        link.close()
        process.kill()
        process.wait(LIMIT_S)


@pytest.fixture
def server() -> Iterator[AwkwardServer]:
    files = {f"m{i}/model.onnx": bytes([i]) * 200_000 for i in range(DOWNLOADS + 1)}
    with AwkwardServer(files).running() as awkward:
        yield awkward


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.onnx").write_text("onnx")
    (tmp_path / "model" / "fairlead.yaml").write_text("settings: {instances: 2}")
    return tmp_path / "model"


async def until(what: str, look: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not look():
        assert time.monotonic() < deadline, f"still waiting for {what}"
        await asyncio.sleep(0.01)


def there(stored: list[Fetched]) -> list[bool]:
    return [Path(one.path).exists() for one in stored]


def temporary(state: Path) -> list[Path]:
    return list((state / "cache" / "tmp").glob("*"))


def test_a_version_is_fetched_with_its_models_own_settings(tmp_path: Path, model: Path) -> None:
    """The answer names a verified folder, the digest, the size and the defaults; a failure names its class."""

    async def run() -> None:
        async with fetcher(tmp_path / "state") as process:
            answer = await process.fetched(model)
            assert answer.digest == digest_folder(Path(answer.path)) == digest_folder(model)
            assert (answer.id, answer.bytes, answer.defaults) == (1, 28, {"instances": 2})
            process.ask(2, "models:/churn/1")
            failure = await process.answer()
            assert isinstance(failure, FetchFailed)
            assert (failure.id, failure.retry, failure.condition) == (2, False, "")

    asyncio.run(run())


def test_it_runs_at_low_priority(tmp_path: Path, model: Path) -> None:
    """What it does beside the traffic must not be felt."""

    async def run() -> None:
        async with fetcher(tmp_path / "state") as process:
            await process.fetched(model)
            assert os.getpriority(os.PRIO_PROCESS, process.process.pid) >= 10

    asyncio.run(run())


def test_killed_in_the_middle_of_a_fetch_the_next_one_works(tmp_path: Path, server: AwkwardServer) -> None:
    """SIGKILL leaves a temporary folder and no version; the successor removes the one and fetches the other."""

    async def run() -> None:
        server.once["m1/model.onnx"] = "slow"
        async with fetcher(tmp_path / "state") as process:
            process.ask(1, server.source("m1"))
            await until(
                "bytes on disk", lambda: any(p.stat().st_size for p in (tmp_path / "state").rglob("model.onnx"))
            )
            process.process.kill()
            assert await process.answer() is None
        assert len(temporary(tmp_path / "state")) == 1
        async with fetcher(tmp_path / "state") as process:
            answer = await process.fetched(server.source("m1"))
            assert answer.bytes == 200_000
            assert temporary(tmp_path / "state") == []

    asyncio.run(run())


def test_a_cached_version_waits_for_no_download(tmp_path: Path, server: AwkwardServer) -> None:
    """With every download hanging, and its source gone, a pinned version in the cache is handed out at once."""

    async def run() -> None:
        async with fetcher(tmp_path / "state") as process:
            stored = await process.fetched(server.source("m0"))
        server.files.pop("m0/model.onnx")
        for i in range(1, DOWNLOADS + 1):
            server.faults[f"m{i}/model.onnx"] = "hang"
        async with fetcher(tmp_path / "state") as process:
            for i in range(1, DOWNLOADS + 1):
                process.ask(10 + i, server.source(f"m{i}"))
            await until("all downloads", lambda: sum(path.endswith(".onnx") for path, _ in server.asked) > DOWNLOADS)
            again = await process.fetched(server.source("m0"), stored.digest)
            assert again == msgspec.structs.replace(stored, copied=False)

    asyncio.run(run())


def test_the_end_of_the_link_is_the_end_of_the_process(tmp_path: Path, server: AwkwardServer) -> None:
    """At once and with status 0, also in the middle of a download."""

    async def run() -> None:
        server.faults["m1/model.onnx"] = "hang"
        async with fetcher(tmp_path / "state") as process:
            process.ask(1, server.source("m1"))
            await until("the download", lambda: any(path == "m1/model.onnx" for path, _ in server.asked))
            process.link.close()
            assert await process.ended() == 0

    asyncio.run(run())


def test_what_nothing_names_is_evicted_when_the_cache_is_too_large(tmp_path: Path, server: AwkwardServer) -> None:
    """Only once it was told what is named, only above the limit, and never what was handed out just now."""

    async def run() -> None:
        async with fetcher(tmp_path / "state", cache_bytes=500_000) as process:
            stored = [await process.fetched(server.source(f"m{i}")) for i in range(4)]
            for one in stored[:3]:
                os.utime(Path(one.path).parent, (1, 1))
            process.link.send(Forget([stored[0].digest]))
            await until("room", lambda: not any(there(stored[1:3])))
            await process.fetched(server.source("m0"), stored[0].digest)
            assert there(stored) == [True, False, False, True]

    asyncio.run(run())


def test_a_volume_smaller_than_its_disk_is_never_filled(tmp_path: Path, server: AwkwardServer) -> None:
    """A download that does not fit evicts what nothing names, also below the cache's own limit, or is DiskFull."""

    async def run() -> None:
        async with fetcher(tmp_path / "state", volume_bytes=RESERVE + 500_000) as process:
            stored = [await process.fetched(server.source(f"m{i}")) for i in range(2)]
            process.link.send(Forget([stored[0].digest, stored[1].digest]))
            process.ask(1, server.source("m2"))
            refused = await process.answer()
            assert isinstance(refused, FetchFailed)
            assert (refused.condition, refused.retry, there(stored)) == (DISK_FULL, True, [True, True])
            process.link.send(Forget([stored[0].digest]))
            os.utime(Path(stored[1].path).parent, (1, 1))
            stored.append(await process.fetched(server.source("m2")))
            assert there(stored) == [True, False, True]

    asyncio.run(run())


def test_many_fetches_at_once_are_all_answered(tmp_path: Path, server: AwkwardServer) -> None:
    """Each question has its answer, the same source many times too."""

    async def run() -> None:
        async with fetcher(tmp_path / "state") as process:
            for number in range(40):
                process.ask(number, server.source(f"m{number % 5}"))
            answers = [await process.answer() for _ in range(40)]
            assert sorted(answer.id for answer in answers if isinstance(answer, Fetched)) == list(range(40))
            assert len({answer.digest for answer in answers if isinstance(answer, Fetched)}) == 5

    asyncio.run(run())
