"""`dargah serve --workers`: equal processes behind one port, whichever of them dies, stands still or cannot begin."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from databases.places import served
from support.command import Cli
from support.dargah import settings
from support.eventually import eventually, until
from support.ports import free_port
from support.process import Process, process_shop
from support.shop import Shop

from proxy.cli import workers
from proxy.cli.workers import Supervisor

TWO = {"DARGAH_WORKERS": "2", "DARGAH_UNREADY_SECONDS": "0"}
STATUSES = re.compile(r'^dargah_http_request_seconds_count\{.*listener="public".*\} (\d+)', re.MULTILINE)
# What a worker says to its supervisor, without anything of a Dargah behind it.
FAKE = """
import json, os, pathlib, sys, time
handed = json.loads(sys.argv[-1])
with open(sys.argv[1], "a") as log:
    log.write(f"{handed['number']} {os.getpid()}\\n")
os.write(handed["channel"], b"r.")
while True:
    time.sleep(60)
"""


@pytest.fixture
def shared(tmp_path: Path, postgresql_url: str) -> Iterator[Path]:
    with served(tmp_path, postgresql_url):
        yield tmp_path


@pytest.fixture
async def two(shared: Path) -> AsyncIterator[tuple[Shop, Process]]:
    port = free_port(2)  # the next one is the second worker's
    async with process_shop(shared, DARGAH_ADMIN_LISTEN=f"127.0.0.1:{port}", **TWO) as (shop, process):
        process.admin_url = f"http://127.0.0.1:{port}"
        yield shop, process


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def beside(url: str) -> str:
    """At the next port."""
    return f"http://127.0.0.1:{int(urlsplit(url).port or 0) + 1}"


async def requests_at(admin_url: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{admin_url}/metrics") as answer:
        return sum(map(int, STATUSES.findall(await answer.text())))


def logged(process: Process) -> list[dict[str, object]]:
    return [json.loads(line) for line in process.log.read_text("utf-8").splitlines()]


async def test_workers_share_a_port_and_the_work(two: tuple[Shop, Process]) -> None:
    shop, process = two
    for _ in range(40):  # each by a connection of its own, which the kernel gives to one of them
        async with aiohttp.ClientSession() as session, session.get(f"{shop.url}/v1/payments") as answer:
            assert answer.status == 401
    both = [await requests_at(url) for url in (process.admin_url, beside(process.admin_url))]
    assert min(both) >= 5, both
    await shop.becomes(await shop.paid(), "paid")
    pid = process.pid
    assert len(children(pid)) == 2
    assert await process.stop() == 0
    stopped = [line["worker"] for line in logged(process) if line["event"] == "stopped"]
    assert sorted(map(str, stopped)) == ["1", "2"]


async def test_a_worker_that_is_killed_refuses_nobody_and_comes_again(two: tuple[Shop, Process]) -> None:
    shop, process = two
    before = children(process.pid)
    os.kill(before[0], signal.SIGKILL)
    # Nobody is refused: what its socket holds is taken by the next one.
    created = await asyncio.gather(*(on_its_own(shop, f"after-{number}") for number in range(30)))
    assert len(set(created)) == 30
    await until(lambda: len(children(process.pid)) == 2)
    assert before[1] in children(process.pid)
    ended = next(line for line in logged(process) if line["event"] == "worker_ended")
    assert ended["code"] == -signal.SIGKILL
    assert ended["level"] == "error"


async def on_its_own(shop: Shop, order: str) -> str:
    """A payment that was asked for by a connection of its own, until it was answered."""
    body = {"amount": 150_000, "currency": "IRR", "order_id": order}
    headers = {"Authorization": f"Bearer {shop.token}", "Idempotency-Key": order}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{shop.url}/v1/payments", json=body, headers=headers) as answer,
    ):
        assert answer.status == 201
        return str((await answer.json())["id"])


async def test_workers_end_with_their_supervisor(two: tuple[Shop, Process]) -> None:
    shop, process = two
    pids = children(process.pid)
    await process.kill()
    await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    with pytest.raises(aiohttp.ClientConnectionError):
        await on_its_own(shop, "late")


async def test_one_worker_that_is_told_to_end_leaves_its_port_to_the_others(two: tuple[Shop, Process]) -> None:
    shop, process = two
    first, _ = children(process.pid)
    os.kill(first, signal.SIGTERM)

    async def in_the_end(order: str) -> str:
        """A connection that was taken up before its request came is closed with the worker, and the shop asks again."""
        while True:
            try:
                return await on_its_own(shop, order)
            except aiohttp.ClientConnectorError:
                raise  # nobody is refused
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
                continue

    created = await asyncio.gather(*(in_the_end(f"meanwhile-{number}") for number in range(20)))
    assert len(set(created)) == 20
    await until(lambda: len(children(process.pid)) == 2 and first not in children(process.pid))


async def test_a_port_of_a_worker_that_is_taken_is_named(shared: Path) -> None:
    process = Process(shared, **TWO)
    port = free_port(2)  # the next one is the second worker's
    process.env["DARGAH_ADMIN_LISTEN"] = f"127.0.0.1:{port}"
    with socket.create_server(("127.0.0.1", port + 1)):
        await process.launch()
        assert await process.ended() == 2
    said = process.log.read_text("utf-8")
    assert f"cannot listen at 127.0.0.1:{port + 1} (DARGAH_ADMIN_LISTEN of worker 2)" in said
    assert "Traceback" not in said


async def test_a_port_where_another_dargah_has_workers_is_taken(two: tuple[Shop, Process], tmp_path: Path) -> None:
    shop, first = two
    second = Process(tmp_path, **TWO)
    second.log = tmp_path / "second.log"
    second.env["DARGAH_LISTEN"] = first.env["DARGAH_LISTEN"]
    await second.launch()
    assert await second.ended() == 2
    assert "something listens there already" in second.log.read_text("utf-8")
    await shop.created()


async def test_what_a_worker_refuses_is_said_once(tmp_path: Path) -> None:
    process = Process(tmp_path, **TWO, DARGAH_DATABASE="postgresql://x@127.0.0.1:1/x")
    await process.launch()
    assert await process.ended() == 2
    logged, sentence = process.log.read_text("utf-8").splitlines()
    assert "is it started" in logged
    assert sentence.startswith("Error: DARGAH_DATABASE")


async def test_a_file_has_one_process(tmp_path: Path) -> None:
    done = await Cli(Process(tmp_path).env, tmp_path).run("serve", "--workers", "2")
    assert done.code == 2
    assert "DARGAH_WORKERS is 2: a SQLite database has exactly one process" in done.error


async def test_a_worker_that_stands_still_is_killed_and_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kernel would go on to take connections that nobody serves."""
    monkeypatch.setattr(workers, "SILENT_SECONDS", 0.3)
    monkeypatch.setattr(workers, "FIRST_PAUSE_SECONDS", 0.05)
    told = settings(tmp_path, database="postgresql://x@127.0.0.1/x", workers=2, drain_seconds=0.1)
    supervisor = Supervisor(told, ())
    begun = tmp_path / "begun"
    supervisor._command = (sys.executable, "-c", FAKE, str(begun))
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(supervisor.run(ready.set_result))
    await ready
    await eventually_begun(begun, 5)
    supervisor.end(signal.SIGTERM)
    assert await running == 0
    pids = [int(line.split()[1]) for line in begun.read_text().splitlines()]
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


async def eventually_begun(begun: Path, count: int) -> None:
    async def look() -> bool | None:
        return len(begun.read_text().splitlines()) >= count or None

    await eventually(look)
