"""How lines of the log leave: after what they tell of, many in one write; and no payment needs them."""

import asyncio
import io
import threading
from pathlib import Path

import aiohttp

from e2e.process import Process
from e2e.test_drain import desk
from proxy.telemetry.lines import MOST_WAITING, Lines


class File(io.StringIO):
    """Keeps each write apart."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return len(text)


def told(lines: Lines, text: str) -> None:
    """As structlog does."""
    lines.write(text)
    lines.flush()


async def test_lines_of_one_turn_of_the_loop_leave_in_one_write_when_it_is_over() -> None:
    file = File()
    lines = Lines(file)
    told(lines, "a\n")
    told(lines, "b\n")
    assert file.writes == []
    await asyncio.sleep(0)
    assert file.writes == ["a\nb\n"]
    told(lines, "c\n")
    await asyncio.sleep(0)
    assert file.writes == ["a\nb\n", "c\n"]


async def test_a_turn_that_does_not_end_holds_no_more_than_so_many_lines() -> None:
    file = File()
    lines = Lines(file)
    for _ in range(MOST_WAITING):
        told(lines, "a\n")
    assert file.writes == ["a\n" * MOST_WAITING]


def test_where_no_loop_runs_a_line_leaves_at_once_also_after_one_has_ended() -> None:
    file = File()
    lines = Lines(file)
    told(lines, "a\n")
    assert file.writes == ["a\n"]
    asyncio.run(one(lines, "b\n"))
    told(lines, "c\n")
    assert "".join(file.writes) == "a\nb\nc\n"
    asyncio.run(one(lines, "d\n"))
    assert "".join(file.writes) == "a\nb\nc\nd\n"


async def one(lines: Lines, text: str) -> None:
    told(lines, text)


async def test_a_line_of_another_thread_waits_for_no_loop() -> None:
    file = File()
    lines = Lines(file)
    thread = threading.Thread(target=told, args=(lines, "a\n"))
    thread.start()
    thread.join()
    assert file.writes == ["a\n"]


async def test_a_payment_is_made_where_the_log_has_no_room(tmp_path: Path) -> None:
    async with desk(tmp_path) as (shop, process, _):
        await process.stop()
        process.log = Path("/dev/full")
        await process.start()
        assert await shop.create("order-1") == 201
        assert await shop.create("order-2") == 201


async def test_each_request_has_its_line(tmp_path: Path) -> None:
    process = Process(tmp_path)
    await process.start()
    async with aiohttp.ClientSession() as session:
        for number in range(3):
            async with session.get(process.url + "/readyz", headers={"X-Request-Id": f"look-{number}"}) as answer:
                assert answer.status == 200
    assert await process.stop() == 0
    for number in range(3):
        assert f'"request_id":"look-{number}"' in process.log.read_text()
