"""The time of day jumps while a real Dargah runs; the steady clock goes on."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from databases.cluster import folder_of_servers
from support.eventually import eventually, until
from support.process import MovedClock, Process
from support.shop import Shop, prepared_shop

MINUTE, DAY = 60, 86_400
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


@dataclass
class Machine:
    """A shop whose Dargah runs on a machine whose time of day `clock` moves."""

    shop: Shop
    process: Process
    clock: MovedClock

    async def logged(self, event: str, times: int = 1) -> None:
        await until(lambda: self.process.log.read_text().count(event) >= times)


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    process = Process(tmp_path)
    clock = MovedClock(process, tmp_path)
    async with prepared_shop(tmp_path) as shop:
        yield Machine(replace(shop, url=process.url), process, clock)
        await process.kill()


async def test_four_days_ahead_for_a_moment_end_no_watch_and_keep_no_circuit_open(machine: Machine) -> None:
    machine.clock.say(0)
    await machine.process.start()
    shop = machine.shop
    payment, canceled = await shop.created(), await shop.created()
    await shop.come_back(await shop.act(canceled, "cancel"))

    machine.clock.say(4 * DAY)
    await shop.becomes(payment, "expired")
    await shop.fault("request", "reset", times=5)
    for _ in range(5):
        assert (await shop.create())[0] == 502
    assert (await shop.create())[0] == 503

    machine.clock.say(0)
    await machine.logged("due_times_pulled_in")
    for each in (payment, canceled):
        await shop.act(each, "pay")

    async def created() -> bool | None:
        return True if (await shop.create())[0] == 201 else None

    await eventually(created)
    machine.clock.say(3 * MINUTE)  # as time passes
    assert (await shop.becomes(payment, "paid"))["late"]
    await shop.becomes(canceled, "paid")
    told = [(event["type"], event["data"]["id"]) for event in await shop.receiver.told(4)]
    assert told.count(("payment.paid", payment["id"])) == told.count(("payment.paid", canceled["id"])) == 1


async def test_a_clock_that_was_ahead_at_the_last_start_delays_no_webhook(machine: Machine) -> None:
    machine.clock.say(210 * MINUTE)
    await machine.process.start()
    shop = machine.shop
    shop.receiver.any_time, shop.receiver.status = True, 503
    await shop.paid()
    await shop.receiver.told(1)
    await machine.process.kill()

    machine.clock.say(0)
    shop.receiver.any_time, shop.receiver.status = False, 204
    await machine.process.start()
    await machine.logged("clock_was_ahead")
    await shop.receiver.told(2)


async def test_a_process_that_dies_soon_after_its_clock_was_put_right_leaves_word_of_it(machine: Machine) -> None:
    await machine.process.start()
    machine.clock.say(60 * MINUTE)
    await machine.logged("clock_jumped")
    machine.clock.say(0)
    await machine.logged("clock_jumped", 2)
    async with machine.shop.session.get(f"{machine.process.url}/readyz") as answer:
        assert answer.status == 200  # which writes a heartbeat
    await machine.process.kill()
    await machine.process.start()
    await machine.logged("clock_was_ahead")


class ServersClock:
    """The time of day of a PostgreSQL server, by libfaketime: its steady clock goes on."""

    def __init__(self, folder: Path) -> None:
        self._said = folder / "time"

    def environment(self) -> dict[str, str]:
        [library, *_] = FAKETIME
        about = {"FAKETIME_TIMESTAMP_FILE": str(self._said), "FAKETIME_NO_CACHE": "1"}
        return {"LD_PRELOAD": str(library), "FAKETIME_DONT_FAKE_MONOTONIC": "1", **about}

    def say(self, seconds: int) -> None:
        """The server's time of day is wrong by so much from now on."""
        new = self._said.with_suffix(".new")
        new.write_text(f"{seconds:+d}")
        new.chmod(0o644)
        new.rename(self._said)


@pytest.fixture
async def servers_clock(tmp_path: Path) -> AsyncIterator[tuple[ServersClock, Process, Shop]]:
    """A Dargah on a server whose time of day is moved; the shop is set up while it is right."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(folder_of_servers())
        clock = ServersClock(server.folder.parent)
        clock.say(0)
        await server.make()
        server.as_user["env"] = {**server.as_user.get("env", os.environ), **clock.environment()}
        await server.start()
        stack.push_async_callback(server.stop)
        shop = await stack.enter_async_context(prepared_shop(tmp_path, database=server.url))
        process = Process(tmp_path, DARGAH_DATABASE=server.url)
        stack.push_async_callback(process.kill)
        yield clock, process, replace(shop, url=process.url)


@pytest.mark.skipif(not FAKETIME, reason="libfaketime is not installed")
async def test_a_database_an_hour_ahead_signs_by_the_time_of_day_and_holds_nothing_up_once_it_is_right(
    servers_clock: tuple[ServersClock, Process, Shop],
) -> None:
    clock, process, shop = servers_clock
    clock.say(60 * MINUTE)
    await process.start()
    first = await shop.paid()
    await shop.receiver.told(1)  # who verifies the timestamp as the specification says
    shop.receiver.status = 503
    second = await shop.paid()
    await shop.receiver.told(2)

    clock.say(0)
    shop.receiver.status = 204

    await until(lambda: "clock_jumped" in process.log.read_text())
    third = await shop.paid()
    told = [event["data"]["id"] for event in await shop.receiver.told(4)]
    assert (told[:2], set(told[2:])) == ([first["id"], second["id"]], {second["id"], third["id"]})
