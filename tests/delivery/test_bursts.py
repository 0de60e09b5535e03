"""A burst to one endpoint in virtual time: what waits for it, and what does not wait behind it.

The sender answers after as long as a shop takes, by a clock that the test advances; the engine works on a real store.
"""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from support.clock import ManualClock
from support.eventually import until

from delivery.test_engine import Engine, life, merchant_of
from proxy.webhooks.endpoint import DEFAULT_IN_FLIGHT, MOST_IN_FLIGHT
from proxy.webhooks.request import WebhookRequest, WebhookResult

TICK: Final = 10
ANSWER_MS: Final = 60
BURST_TICKS: Final = 30
# 500 a second to one shop, and 100 to its neighbour.
BURST, BESIDE = 5, 1


@dataclass
class SlowSender:
    """Each request is answered ANSWER_MS of the clock after its start. `lags` are the milliseconds from an event to its
    request, by URL; `most` the requests that were open at once.
    """

    clock: ManualClock
    born: dict[str, int] = field(default_factory=dict)
    lags: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    open: dict[str, tuple[int, str, asyncio.Event]] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    async def send(self, request: WebhookRequest) -> WebhookResult:
        event_id, answered = request.headers["webhook-id"], asyncio.Event()
        self.open[event_id] = (self.clock.now + ANSWER_MS, request.url, answered)
        self.lags[request.url].append(self.clock.now - self.born[event_id])
        self.most[request.url] = max(
            self.most[request.url], sum(url == request.url for _, url, _ in self.open.values())
        )
        await answered.wait()
        return WebhookResult(204, None, ANSWER_MS)

    def answer(self) -> None:
        """Answers those whose time has come."""
        for event_id in [each for each, (due, _, _) in self.open.items() if due <= self.clock.now]:
            self.open.pop(event_id)[2].set()


async def tick(engine: Engine, sender: SlowSender) -> None:
    """What starts and ends within a tick has done so at its end."""
    engine.clock.now += TICK
    sender.answer()
    again: int | None = engine.clock.now
    while again == engine.clock.now:
        await until(lambda: len(engine.delivery.tasks) == len(sender.open))
        again = await engine.delivery.step()
    await until(lambda: len(engine.delivery.tasks) == len(sender.open))


async def burst(folder: Path, limit: int, places: int) -> tuple[SlowSender, str, str]:
    clock = ManualClock()
    sender = SlowSender(clock)
    async with life(folder, clock, sender, max_in_flight=places) as engine:  # type: ignore[arg-type]  # a sender, too
        busy, quiet = await merchant_of(engine), await merchant_of(engine)
        urls = ("https://busy.example/hook", "https://quiet.example/hook")
        for merchant_id, url, most in zip((busy, quiet), urls, (limit, DEFAULT_IN_FLIGHT), strict=True):
            await engine.endpoints.add_endpoint(merchant_id, url, max_in_flight=most, actor="test")
        for _ in range(BURST_TICKS):
            for merchant_id, number in ((busy, BURST), (quiet, BESIDE)):
                sender.born |= dict.fromkeys(await engine.happen(merchant_id, number), clock.now)
            await tick(engine, sender)
        while sender.open:
            await tick(engine, sender)
    assert [len(sender.lags[url]) for url in urls] == [BURST_TICKS * BURST, BURST_TICKS * BESIDE]
    return sender, *urls


@pytest.mark.parametrize("places", [512, MOST_IN_FLIGHT])
async def test_a_burst_to_a_strong_shop_waits_for_nothing_and_holds_up_nobody(folder: Path, places: int) -> None:
    sender, busy, quiet = await burst(folder, MOST_IN_FLIGHT, places)
    assert max(sender.lags[busy]) == max(sender.lags[quiet]) == TICK
    assert DEFAULT_IN_FLIGHT < sender.most[busy] <= MOST_IN_FLIGHT


@pytest.mark.parametrize("limit", [1, DEFAULT_IN_FLIGHT])
async def test_a_burst_to_a_weak_shop_waits_there_and_holds_up_nobody(folder: Path, limit: int) -> None:
    sender, busy, quiet = await burst(folder, limit, 512)
    assert sender.most[busy] == limit
    assert max(sender.lags[busy]) > 10 * TICK
    assert max(sender.lags[quiet]) == TICK


async def test_a_burst_that_wants_every_place_leaves_the_neighbour_some(folder: Path) -> None:
    places = 32
    sender, busy, quiet = await burst(folder, MOST_IN_FLIGHT, places)
    assert sender.most[busy] <= places * 3 // 4
    assert max(sender.lags[busy]) > 5 * TICK
    assert max(sender.lags[quiet]) == TICK
