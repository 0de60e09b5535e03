"""The delivery engine: what it sends, and what is left when it is killed at each step of an attempt.

It works on a real store, with a sender that does as it is told.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

import pytest
from databases.places import AnyStore, database_in, rows_in, store_in
from support.clock import ManualClock
from support.fakes import FakeSender

from proxy.kernel.background import FairShares
from proxy.kernel.clock import DAY, SECOND
from proxy.kernel.ids import EVENT, Ids
from proxy.merchants.merchant import Mode
from proxy.merchants.setup import MerchantSetup
from proxy.merchants.vault import KeyRing, Vault, generate_line
from proxy.webhooks.delivery import AttemptReport, Claim, DeliveryFilter, Lease, RecordedAttempt
from proxy.webhooks.endpoint import DEFAULT_IN_FLIGHT, Endpoint, EndpointSecrets, EndpointState
from proxy.webhooks.endpoint_setup import EndpointSetup
from proxy.webhooks.event import Event, EventFilter
from proxy.webhooks.request import WebhookResult, content_digest, sign
from proxy.webhooks.retry_policy import FAILURES_TO_PROBE, DeliveryStatus
from proxy.webhooks.storage.repository import WebhookRepository
from proxy.webhooks.worker import LATEST_START, LEASE, DeliveryWorker

RANDOM = random.Random(20261124)  # one for all lives of a process, which must not make an id twice
ENDPOINT_URL: Final = "https://shop.example/hook"
RING = KeyRing.parse(generate_line("k1"))


@dataclass
class Engine:
    """One life of the process."""

    store: AnyStore
    delivery: DeliveryWorker
    setup: MerchantSetup
    endpoints: EndpointSetup
    sender: FakeSender
    clock: ManualClock
    ids: Ids
    events: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """Steps until nothing can start."""
        while True:
            await self.delivery.step()
            if not len(self.delivery.tasks):
                return
            await self.delivery.tasks.drain()

    async def happen(self, merchant_id: str, count: int = 1) -> list[str]:
        made = []
        for number in range(count):
            event_id = self.ids.record(EVENT, merchant_id, self.clock.now)
            event = Event(event_id, merchant_id, None, Mode.LIVE, "ping", None, self.clock.now, {"number": number})
            made.append((await self.store.webhooks.add_event(event)).id)
        return made

    async def endpoint(self, merchant_id: str, **fields: str) -> Endpoint:
        endpoint, _ = await self.endpoints.add_endpoint(merchant_id, ENDPOINT_URL, actor="test", **fields)  # type: ignore[arg-type]  # each test names real fields
        return endpoint


Wrap = Callable[[WebhookRepository], WebhookRepository]


@asynccontextmanager
async def life(
    folder: Path, clock: ManualClock, sender: FakeSender, wrap: Wrap = lambda webhooks: webhooks, **more: Any
) -> AsyncIterator[Engine]:
    """The process from its start to its end; what runs at its end is cut off, as by a kill."""
    store = await store_in(folder, clock)
    vault = Vault(RING)
    secrets = EndpointSecrets(store.merchants, vault, clock)
    ids = Ids(RANDOM.randbytes)
    delivery = DeliveryWorker(wrap(store.webhooks), secrets, sender, ids, clock, lambda: 0.0, **more)
    setup = MerchantSetup(store.merchants, vault, clock)
    endpoints = EndpointSetup(store.merchants, store.webhooks, vault, clock, changed=secrets.forget)
    before = asyncio.all_tasks()
    try:
        yield Engine(store, delivery, setup, endpoints, sender, clock, ids)
    finally:
        running = [task for task in delivery.tasks._running if task not in before]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await store.close()


class Stuck:
    """A store that dies when an attempt is to be recorded: before the commit, or after it."""

    def __init__(self, webhooks: WebhookRepository, *, committed: bool) -> None:
        self._webhooks = webhooks
        self._committed = committed
        self.reached = asyncio.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._webhooks, name)

    async def record_attempt(self, finished: AttemptReport, _follow: Lease | None) -> RecordedAttempt:
        if self._committed:
            await self._webhooks.record_attempt(finished, None)
        self.reached.set()
        await asyncio.Event().wait()
        raise AssertionError("it was killed")


class Paused:
    """A store whose claims are brought to a process that was paused meanwhile, once."""

    def __init__(self, webhooks: WebhookRepository, clock: ManualClock, milliseconds: int) -> None:
        self._webhooks = webhooks
        self._clock = clock
        self._milliseconds = milliseconds

    def __getattr__(self, name: str) -> object:
        return getattr(self._webhooks, name)

    async def claim_deliveries(self, now: int, lease: Lease, limit: int, shares: FairShares) -> list[Claim]:
        claims = await self._webhooks.claim_deliveries(now, lease, limit, shares)
        self._clock.now += self._milliseconds
        self._milliseconds = 0
        return claims


class Crowding:
    """A store in which, while a round claims, a commit claims one delivery of its own, which `begin` gets, once."""

    def __init__(self, webhooks: WebhookRepository) -> None:
        self._webhooks = webhooks
        self.begin: Callable[[list[Claim]], None] | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._webhooks, name)

    async def claim_deliveries(self, now: int, lease: Lease, limit: int, shares: FairShares) -> list[Claim]:
        begin, self.begin = self.begin, None
        if begin is not None:
            begin(await self._webhooks.claim_deliveries(now, replace(lease, token="a commit's"), 1))
        return await self._webhooks.claim_deliveries(now, lease, limit, shares)


SLOW = WebhookResult(None, "timeout", 20_000)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def sender() -> FakeSender:
    return FakeSender()


@pytest.fixture
async def engine(folder: Path, clock: ManualClock, sender: FakeSender) -> AsyncIterator[Engine]:
    async with life(folder, clock, sender) as made:
        yield made


async def merchant_of(engine: Engine) -> str:
    merchant, _ = await engine.setup.create_merchant("Shop", [], actor="test")
    return merchant.id


async def logs(engine: Engine, merchant_id: str, endpoint_id: str) -> list[list[tuple[str, int | None]]]:
    """The outcome and status of each attempt, delivery by delivery, oldest first."""
    rows = await engine.store.webhooks.list_endpoint_deliveries(merchant_id, endpoint_id, DeliveryFilter(limit=100))
    found = [await engine.store.webhooks.list_attempts(merchant_id, row.id) for row in reversed(rows)]
    return [[(attempt.outcome, attempt.status) for attempt in log] for log in found]


async def test_each_try_is_signed_anew_and_carries_the_same_id_and_bytes(engine: Engine) -> None:
    merchant_id = await merchant_of(engine)
    endpoint = await engine.endpoint(merchant_id)
    engine.sender.answers = [WebhookResult(500, None, 3)]
    [event_id] = await engine.happen(merchant_id)
    await engine.run()
    engine.clock.now += 5 * SECOND
    await engine.run()
    first, second = engine.sender.sent
    stored = await engine.store.webhooks.event(merchant_id, event_id)
    assert first.body == second.body == stored.body
    for sent, seconds in ((first, engine.clock.now // 1000 - 5), (second, engine.clock.now // 1000)):
        keys = await engine.delivery._secrets.signing_keys(endpoint)
        assert sent.headers["webhook-id"] == event_id
        assert sent.headers["webhook-timestamp"] == str(seconds)
        assert sent.headers["webhook-signature"] == sign(keys, event_id, seconds, stored.body)
        assert sent.headers["content-digest"] == content_digest(stored.body)
        assert all(name == name.lower() for name in sent.headers)
    assert await logs(engine, merchant_id, endpoint.id) == [[("failed", 500), ("delivered", 204)]]


async def test_url_and_keys_are_read_when_it_is_sent(engine: Engine) -> None:
    merchant_id = await merchant_of(engine)
    endpoint = await engine.endpoint(merchant_id)
    await engine.endpoints.change_endpoint(merchant_id, endpoint.id, actor="test", paused=True)
    [event_id] = await engine.happen(merchant_id)
    await engine.run()
    assert engine.sender.sent == []
    engine.clock.now += SECOND
    moved = "https://elsewhere.example/hook"
    await engine.endpoints.change_endpoint(merchant_id, endpoint.id, actor="test", url=moved, paused=False)
    engine.clock.now += SECOND
    _, secret = await engine.endpoints.rotate_secret(merchant_id, endpoint.id, 0, actor="test")
    await engine.run()
    [sent] = engine.sender.sent
    assert sent.url == moved
    seconds = engine.clock.now // 1000
    assert sent.headers["webhook-signature"] == sign([secret], event_id, seconds, sent.body)


async def test_a_backlog_drains_with_a_few_in_flight_at_a_time(engine: Engine) -> None:
    merchant_id = await merchant_of(engine)
    await engine.endpoint(merchant_id)
    made = await engine.happen(merchant_id, 30)
    engine.sender.hold = asyncio.Event()
    await engine.delivery.step()
    await engine.sender.began.wait()
    await engine.delivery.step()
    assert len(engine.delivery.tasks) == DEFAULT_IN_FLIGHT
    engine.sender.hold.set()
    await engine.run()
    assert sorted(engine.sender.ids) == sorted(made)


async def test_only_what_can_start_now_is_claimed(folder: Path, clock: ManualClock, sender: FakeSender) -> None:
    async with life(folder, clock, sender, max_in_flight=3) as engine:
        merchant_id = await merchant_of(engine)
        for _ in range(4):
            await engine.endpoint(merchant_id)
        await engine.happen(merchant_id)
        sender.hold = asyncio.Event()
        await engine.delivery.step()
        await engine.delivery.step()
        assert len(engine.delivery.tasks) == 3
        in_flight = [row[-1] for row in rows_in(folder)["turns"]]
        assert len(in_flight) - in_flight.count("{}") == 3
        sender.hold.set()
        await engine.run()
    assert len(sender.sent) == 4


async def test_shutdown_gives_back_what_was_not_sent_and_finishes_what_was(engine: Engine) -> None:
    merchant_id = await merchant_of(engine)
    endpoint = await engine.endpoint(merchant_id)
    await engine.happen(merchant_id, 3)
    engine.sender.hold = asyncio.Event()
    now = engine.clock.now
    first, *others = await engine.store.webhooks.claim_deliveries(now, engine.delivery._lease(now), 3)
    engine.delivery.tasks.start(engine.delivery._attempt(first))
    await engine.sender.began.wait()
    for claimed in others:
        engine.delivery.tasks.start(engine.delivery._attempt(claimed))
    engine.delivery.stop()
    engine.sender.hold.set()
    await engine.delivery.tasks.drain()
    assert engine.sender.ids == [first.event.id]
    assert sorted(await logs(engine, merchant_id, endpoint.id)) == [[], [], [("delivered", 204)]]
    wanted = DeliveryFilter(DeliveryStatus.PENDING)
    waiting = await engine.store.webhooks.list_endpoint_deliveries(merchant_id, endpoint.id, wanted)
    assert [(each.attempts, each.due_at) for each in waiting] == [(0, now)] * 2


async def test_a_worker_that_comes_late_changes_nothing(engine: Engine) -> None:
    merchant_id = await merchant_of(engine)
    endpoint = await engine.endpoint(merchant_id)
    await engine.happen(merchant_id)
    engine.sender.hold = asyncio.Event()
    engine.sender.answers = [WebhookResult(204, None, 3), WebhookResult(500, None, 3)]
    await engine.delivery.step()
    await engine.sender.began.wait()
    late = list(engine.delivery.tasks._running)
    engine.clock.now += LEASE
    claims = await engine.store.webhooks.claim_deliveries(engine.clock.now, engine.delivery._lease(engine.clock.now), 1)
    assert [claim.attempt for claim in claims] == [2]
    engine.sender.hold.set()
    await asyncio.gather(*late)
    assert await logs(engine, merchant_id, endpoint.id) == [[("unknown", None), ("unknown", None)]]
    await engine.delivery._attempt(claims[0])
    assert await logs(engine, merchant_id, endpoint.id) == [[("unknown", None), ("failed", 500)]]


@pytest.mark.parametrize("paused", [LATEST_START + 1, LEASE + 1, -DAY])  # the last: its clock goes back meanwhile
async def test_a_process_that_was_paused_after_its_claim_does_not_send_on_a_lease_that_may_end(
    folder: Path, clock: ManualClock, sender: FakeSender, paused: int
) -> None:
    def wrap(webhooks: WebhookRepository) -> WebhookRepository:
        return cast("WebhookRepository", Paused(webhooks, clock, paused))

    async with life(folder, clock, sender, wrap) as engine:
        merchant_id = await merchant_of(engine)
        endpoint = await engine.endpoint(merchant_id)
        [event_id] = await engine.happen(merchant_id)
        await engine.delivery.step()
        await engine.delivery.tasks.drain()
        assert sender.sent == []
        clock.now += max(0, -paused)
        await engine.run()
        assert sender.ids == [event_id]
        assert await logs(engine, merchant_id, endpoint.id) == [[("delivered", 204)]]


async def test_nothing_is_offered_to_be_sent_at_once_where_others_wait_or_the_process_ends(
    folder: Path, clock: ManualClock, sender: FakeSender
) -> None:
    async with life(folder, clock, sender, max_in_flight=2) as engine:
        merchant_id = await merchant_of(engine)
        for _ in range(3):
            await engine.endpoint(merchant_id)
        assert engine.delivery.offer(merchant_id) is not None
        await engine.happen(merchant_id)
        sender.hold = asyncio.Event()
        await engine.delivery.step()
        assert engine.delivery.offer(merchant_id) is None
        sender.hold.set()
        await engine.run()
        offered = engine.delivery.offer(merchant_id)
        assert offered is not None
        assert offered.until == clock.now + LEASE
        engine.delivery.stop()
        assert engine.delivery.offer(merchant_id) is None
    assert len(sender.sent) == 3


@pytest.mark.parametrize("late", [0, LATEST_START + 1])
async def test_what_was_claimed_beyond_the_room_is_begun_when_there_is_some_or_given_back(
    folder: Path, clock: ManualClock, sender: FakeSender, late: int
) -> None:
    async with life(folder, clock, sender, max_in_flight=1) as engine:
        merchant_id = await merchant_of(engine)
        endpoint = await engine.endpoint(merchant_id)
        made = await engine.happen(merchant_id, 2)
        sender.hold = asyncio.Event()
        engine.delivery.begin(
            await engine.store.webhooks.claim_deliveries(clock.now, engine.delivery._lease(clock.now), 2)
        )
        await sender.began.wait()
        assert len(engine.delivery.tasks) == 1
        await engine.delivery.step()
        assert len(sender.sent) == 1
        clock.now += late
        sender.hold.set()
        await engine.delivery.tasks.drain()
        await engine.run()
        assert sorted(sender.ids) == sorted(made)
        assert await logs(engine, merchant_id, endpoint.id) == [[("delivered", 204)]] * 2


async def test_what_a_round_claims_while_commits_take_its_room_is_begun_when_there_is_some(
    folder: Path, clock: ManualClock, sender: FakeSender
) -> None:
    crowding: list[Crowding] = []

    def wrap(webhooks: WebhookRepository) -> WebhookRepository:
        crowding.append(Crowding(webhooks))
        return cast("WebhookRepository", crowding[0])

    async with life(folder, clock, sender, wrap, max_in_flight=1) as engine:
        crowding[0].begin = engine.delivery.begin
        merchant_id = await merchant_of(engine)
        endpoint = await engine.endpoint(merchant_id)
        made = await engine.happen(merchant_id, 2)
        sender.hold = asyncio.Event()
        await engine.delivery.step()
        await sender.began.wait()
        assert len(engine.delivery.tasks) == 1
        sender.hold.set()
        await engine.delivery.tasks.drain()
        await engine.run()
        assert sorted(sender.ids) == sorted(made)
        assert await logs(engine, merchant_id, endpoint.id) == [[("delivered", 204)]] * 2


async def test_nothing_is_sent_to_an_endpoint_that_was_deleted_after_the_claim(engine: Engine) -> None:
    merchant_id = await merchant_of(engine)
    endpoint = await engine.endpoint(merchant_id)
    await engine.happen(merchant_id)
    now = engine.clock.now
    claims = await engine.store.webhooks.claim_deliveries(now, engine.delivery._lease(now), 1)
    await engine.endpoints.delete_endpoint(merchant_id, endpoint.id, actor="test")
    engine.delivery.begin(claims)
    await engine.delivery.tasks.drain()
    assert engine.sender.sent == []


async def test_what_had_no_room_until_the_end_is_given_back(
    folder: Path, clock: ManualClock, sender: FakeSender
) -> None:
    async with life(folder, clock, sender, max_in_flight=1) as engine:
        merchant_id = await merchant_of(engine)
        await engine.endpoint(merchant_id)
        await engine.happen(merchant_id, 2)
        sender.hold = asyncio.Event()
        lease = engine.delivery._lease(clock.now)
        engine.delivery.begin(claimed := await engine.store.webhooks.claim_deliveries(clock.now, lease, 2))
        await sender.began.wait()
        engine.delivery.stop()
        sender.hold.set()
        await engine.delivery.tasks.drain()
        await engine.delivery.give_back()
        assert len(sender.sent) == 1
        assert await engine.store.webhooks.claim_deliveries(clock.now, lease, 2) == claimed[1:]


async def test_a_dead_endpoint_gets_one_probe_at_a_time_and_the_living_all_they_want(engine: Engine) -> None:
    merchant_id = await merchant_of(engine)
    dead = await engine.endpoint(merchant_id)
    await engine.happen(merchant_id, 20)
    engine.sender.usual = SLOW
    await engine.run()
    tried = len(engine.sender.sent)
    # The first of its failures may be recorded before the others, and bring another attempt along.
    assert tried < DEFAULT_IN_FLIGHT + FAILURES_TO_PROBE
    for _ in range(5):
        engine.clock.now += 61 * SECOND
        before = len(engine.sender.sent)
        await engine.delivery.step()
        await engine.delivery.tasks.drain()
        assert len(engine.sender.sent) == before + 1
    engine.sender.usual = WebhookResult(204, None, 3)
    engine.clock.now += 61 * SECOND
    await engine.run()
    log = await logs(engine, merchant_id, dead.id)
    assert sum(each[-1:] == [("delivered", 204)] for each in log) >= 14


async def test_an_endpoint_that_is_gone_is_disabled_once_and_told_of(
    folder: Path, clock: ManualClock, sender: FakeSender
) -> None:
    told: list[str] = []
    async with life(folder, clock, sender, on_event=told.append) as engine:
        merchant_id = await merchant_of(engine)
        gone = await engine.endpoint(merchant_id)
        await engine.happen(merchant_id, 5)
        engine.sender.usual = WebhookResult(410, None, 3)
        await engine.run()
        assert told == [merchant_id]
        shown = await engine.store.webhooks.endpoint(merchant_id, gone.id)
        assert (shown.state, shown.state_reason) == (EndpointState.DISABLED, "gone")
        events = await engine.store.webhooks.list_events(merchant_id, EventFilter(type="endpoint.disabled"))
        assert len(events) == 1
        assert len(engine.sender.sent) <= 5
        assert len(set(engine.sender.ids)) == len(engine.sender.ids)


KILLS = ["claimed", "arrived", "answered", "recorded"]


@pytest.mark.parametrize("step", KILLS)
async def test_killed_at_each_step_nothing_is_lost_and_repeats_have_the_same_id(
    folder: Path, clock: ManualClock, step: str
) -> None:
    sender = FakeSender(hold=asyncio.Event() if step in {"claimed", "arrived"} else None, lose=step == "claimed")
    stuck: list[Stuck] = []

    def wrap(store: Any) -> Any:
        stuck.append(Stuck(store, committed=step == "recorded"))
        return cast("Any", stuck[0])

    async with life(folder, clock, sender, wrap) as engine:
        merchant_id = await merchant_of(engine)
        endpoint = await engine.endpoint(merchant_id)
        [event_id] = await engine.happen(merchant_id)
        await engine.delivery.step()
        reached = stuck[0].reached if step in {"answered", "recorded"} else sender.began
        async with asyncio.timeout(10):
            await reached.wait()
        if step != "recorded":
            assert await logs(engine, merchant_id, endpoint.id) == [[("unknown", None)]]

    again = FakeSender()
    if not isinstance(database_in(folder), Path):
        clock.now += LEASE  # others may live there: a dead one's claims run out
    async with life(folder, clock, again) as engine:
        await engine.run()
        log = await logs(engine, merchant_id, endpoint.id)
        [delivery] = await engine.store.webhooks.list_endpoint_deliveries(merchant_id, endpoint.id, DeliveryFilter())
    assert delivery.status is DeliveryStatus.DELIVERED
    assert set(sender.ids + again.ids) == {event_id}
    if step == "recorded":
        assert (log, again.sent) == ([[("delivered", 204)]], [])
    else:
        assert log == [[("unknown", None), ("delivered", 204)]]
        assert len(again.sent) == 1
