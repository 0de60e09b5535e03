"""Two processes on one database: what SQLite's running alone gives, PostgreSQL's locks must give."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest

from proxy.adapters import postgresql
from proxy.adapters.postgresql.clock import DatabaseClock
from proxy.adapters.postgresql.connections import SETTINGS
from proxy.adapters.postgresql.lanes import WriteLane
from proxy.errors import LeaseLost, OrderPaidByAnother, StaleVersion
from proxy.facts import InvoiceIssued
from proxy.payment import Status
from proxy.records import Attempt, Change, Claim, Entry, EventFilter, Finished, Lease
from proxy.verdict import IN_FLIGHT_PER_ENDPOINT
from proxy.watch import begin
from store.records import (
    LEASE,
    MERCHANT_ID,
    NOW,
    add_endpoint,
    add_merchant,
    captured,
    change,
    create,
    create_with,
    new_payment,
    new_watch,
    paid,
    pending,
)

Pair = tuple[postgresql.PostgresqlStore, postgresql.PostgresqlStore]


@pytest.fixture
async def pair(postgresql_url: str) -> AsyncIterator[Pair]:
    first, second = [await postgresql.open_store(postgresql_url, now=lambda: NOW) for _ in range(2)]
    yield first, second
    await asyncio.gather(first.close(), second.close())


async def test_one_key_at_two_replicas_is_one_payment(pair: Pair) -> None:
    for number in range(10):
        twins = [new_payment(f"order-{number}") for _ in range(6)]
        stored = await asyncio.gather(
            *(create_with(pair[place % 2], twin, f"key-{number}") for place, twin in enumerate(twins))
        )
        assert len({each.payment.id for each in stored}) == 1
        assert [each.fresh for each in stored].count(True) == 1


async def test_an_order_is_paid_by_one_of_two_replicas(pair: Pair) -> None:
    for number in range(10):
        payments = [await pending(pair[0], f"order-{number}") for _ in range(4)]
        results = await asyncio.gather(
            *(pair[place % 2].transition(change(each, captured(each))) for place, each in enumerate(payments)),
            return_exceptions=True,
        )
        assert sorted(type(result).__name__ for result in results) == ["Begun", *["OrderPaidByAnother"] * 3]
        assert OrderPaidByAnother in map(type, results)


async def test_one_change_of_a_payment_wins_and_makes_one_event(pair: Pair) -> None:
    for number in range(10):
        before = await pending(pair[0], f"order-{number}")
        results = await asyncio.gather(
            *(pair[place % 2].transition(change(before, captured(before, f"b-{number}"))) for place in range(4)),
            return_exceptions=True,
        )
        assert sorted(type(result).__name__ for result in results) == ["Begun", *["StaleVersion"] * 3]
        assert StaleVersion in map(type, results)
        events = await pair[1].list_events(MERCHANT_ID, EventFilter(payment_id=before.id))
        assert [event.type for event in events] == ["payment.paid"]


async def test_events_are_numbered_without_gaps_and_seen_in_order(pair: Pair) -> None:
    payments = [await pending(pair[0], f"order-{number}") for number in range(40)]
    seen: list[int] = []

    async def look() -> None:
        while len(seen) < len(payments):
            seen.extend(
                event.sequence
                for event in await pair[1].list_events(MERCHANT_ID, EventFilter(after=len(seen), limit=1000))
            )

    changes = [pair[place % 2].transition(change(each, captured(each))) for place, each in enumerate(payments)]
    async with asyncio.timeout(60):
        await asyncio.gather(look(), *changes)
    assert seen == list(range(1, len(payments) + 1))


async def test_a_watch_is_claimed_by_one_replica(pair: Pair) -> None:
    payments = [await create(pair[0], new_payment(f"order-{number}")) for number in range(60)]
    claimed = await asyncio.gather(
        *(pair[place % 2].claim_watches(payments[0].created_at + 10**9, LEASE + 10**9, 7) for place in range(12))
    )
    ids = [payment.id for each in claimed for payment, _ in each]
    while len(ids) < len(payments):
        more = await pair[0].claim_watches(payments[0].created_at + 10**9, LEASE + 10**9, 7)
        assert more, "a watch that is due and nobody's must be found"
        ids += [payment.id for payment, _ in more]
    assert sorted(ids) == sorted(payment.id for payment in payments)


async def test_a_watch_comes_with_its_payment_as_it_is_now(pair: Pair) -> None:
    """The payment and its watch change together; a claim that comes at that moment sees both as before, or as after."""
    for number in range(30):
        payment = await create(pair[0], new_payment(f"order-{number}"))
        read = await pair[0].watch(MERCHANT_ID, payment.id)
        assert read is not None
        written = replace(
            change(payment, InvoiceIssued(f"inv-{number}")), watch=replace(read, due_at=NOW, version=9), watch_read=read
        )
        _, claimed = await asyncio.gather(pair[0].transition(written), pair[1].claim_watches(NOW + 10**9, LEASE, 100))
        for found, watch in claimed:
            if found.id == payment.id:
                assert (found.status is Status.PENDING) == (watch.version == 10)
        stored = await pair[1].payment(MERCHANT_ID, payment.id)
        assert stored.status is Status.PENDING


async def test_lines_that_two_replicas_add_to_a_timeline_are_all_there(pair: Pair) -> None:
    payment = await pending(pair[0])
    watch = await pair[0].watch(MERCHANT_ID, payment.id)
    entries = [Entry(NOW + number, "return", None, {"number": number}) for number in range(40)]
    await asyncio.gather(
        *(
            pair[number % 2].transition(Change(payment, payment, entries=[entry], watch=watch, watch_read=watch))
            for number, entry in enumerate(entries)
        )
    )
    stored = await pair[0].timeline(MERCHANT_ID, payment.id)
    assert sorted(entry.at for entry in stored) == [entry.at for entry in entries]


async def test_an_invoice_and_a_line_that_come_at_once_are_both_there(pair: Pair) -> None:
    for number in range(20):
        payment = await create(pair[0], new_payment(f"order-{number}"))
        watch = await pair[0].watch(MERCHANT_ID, payment.id)
        line = Entry(NOW, "return", None, {})
        issued = replace(change(payment, InvoiceIssued(f"i-{number}")), entries=[line], watch=watch, watch_read=watch)
        noted = Change(payment, payment, entries=[line], watch=watch, watch_read=watch)
        await asyncio.gather(pair[0].transition(issued), pair[1].transition(noted))
        assert len(await pair[0].timeline(MERCHANT_ID, payment.id)) == 2


async def test_a_lease_of_a_create_is_taken_by_one_replica(pair: Pair) -> None:
    payment = await create(pair[0])
    results = await asyncio.gather(
        *(pair[place % 2].lease_request(payment, LEASE + 1, LEASE + 1000) for place in range(6)), return_exceptions=True
    )
    assert sorted(isinstance(result, LeaseLost) for result in results) == [False] + [True] * 5


async def test_the_leases_of_the_living_outlive_another_ones_start(pair: Pair, postgresql_url: str) -> None:
    payment = await create(pair[0])
    await pair[0].transition(Change(payment, payment, watch=new_watch(payment, NOW), watch_read=begin(payment)))
    [(_, claimed)] = await pair[0].claim_watches(NOW, LEASE, 10)
    third = await postgresql.open_store(postgresql_url, now=lambda: NOW)
    assert await third.claim_watches(NOW, LEASE, 10) == []
    with pytest.raises(LeaseLost):
        await third.lease_request(payment, NOW, LEASE)
    assert await third.watch(MERCHANT_ID, payment.id) == claimed
    await third.close()


async def test_a_process_that_is_paused_in_a_transaction_does_not_hold_its_merchant_for_ever(
    pair: Pair, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = await pending(pair[0])
    monkeypatch.setitem(SETTINGS, "idle_in_transaction_session_timeout", "300")
    paused = await postgresql.open_store(postgresql_url, now=lambda: NOW)
    began = asyncio.Event()

    async def stop_here(transaction: object) -> None:
        began.set()
        await asyncio.Event().wait()

    held = asyncio.create_task(paused._write.do(stop_here, MERCHANT_ID))
    await began.wait()
    await pair[0].transition(change(payment, captured(payment)))
    assert (await pair[1].payment(MERCHANT_ID, payment.id)).status is Status.PAID
    assert isinstance(paused._write, WriteLane)
    for task in paused._write._tasks:
        task.cancel()
    held.cancel()
    await asyncio.gather(held, return_exceptions=True)


async def test_the_database_is_migrated_by_one_of_those_that_start_together(postgresql_url: str) -> None:
    connection = await asyncpg.connect(postgresql_url)
    await connection.execute("CREATE SCHEMA later")
    await connection.execute("SET search_path = later")
    await connection.close()
    empty = f"{postgresql_url}&options=-csearch_path%3Dlater"
    stores = await asyncio.gather(*(postgresql.open_store(empty, now=lambda: NOW) for _ in range(4)))
    payment = await create(stores[0])
    assert await stores[3].payment(MERCHANT_ID, payment.id) == payment
    await asyncio.gather(*(store.close() for store in stores))
    connection = await asyncpg.connect(postgresql_url)
    await connection.execute("DROP SCHEMA later CASCADE")
    await connection.close()


class Ticks:
    """A steady clock that a test moves."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


class Answers:
    """A connection to a database whose clock reads what a test says."""

    def __init__(self, ticks: Ticks) -> None:
        self.ticks = ticks
        self.ahead = 0
        self.travel = [40.0, 2.0, 30.0, 60.0, 20.0]

    async def fetchval(self, _query: str) -> int:
        """Half of the travel there, half back."""
        travel = self.travel[0]
        self.travel = [*self.travel[1:], travel]
        self.ticks.now += travel
        return int(self.ticks.now + self.ahead)


async def test_the_clock_is_the_databases_and_never_goes_back() -> None:
    ticks = Ticks()
    clock, server = DatabaseClock(ticks), Answers(ticks)
    server.ahead = NOW
    await clock.look(server)
    assert abs(clock.now() - (ticks.now + NOW)) <= 2
    ticks.now += 1000
    assert abs(clock.now() - (ticks.now + NOW)) <= 2
    before = clock.now()
    server.ahead = NOW - 500
    await clock.look(server)
    assert clock.now() == before
    ticks.now += 10_000
    assert abs(clock.now() - (ticks.now + NOW - 500)) <= 2


async def test_replicas_without_a_clock_of_their_own_agree_on_the_time(postgresql_url: str) -> None:
    stores = [await postgresql.open_store(postgresql_url) for _ in range(2)]
    connection = await asyncpg.connect(postgresql_url)
    theirs = await connection.fetchval("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
    assert all(abs(store.now() - theirs) < 2000 for store in stores)
    assert abs(stores[0].now() - stores[1].now()) < 1000
    await connection.close()
    await asyncio.gather(*(store.close() for store in stores))


async def test_an_endpoints_limit_holds_over_replicas_and_each_delivery_goes_out_once(pair: Pair) -> None:
    await add_merchant(pair[0])
    endpoint = await add_endpoint(pair[0])
    for number in range(30):
        await paid(pair[0], f"order-{number}")
    on_the_way: set[str] = set()
    sent: list[str] = []
    most = 0

    async def attempt(store: postgresql.PostgresqlStore, claim: Claim | None, token: str) -> None:
        nonlocal most
        while claim is not None:
            assert claim.delivery_id not in on_the_way
            on_the_way.add(claim.delivery_id)
            most = max(most, len(on_the_way))
            sent.append(claim.delivery_id)
            done = Finished(claim, Attempt(claim.attempt, NOW, 5, "delivered", 204, None, b""), None, NOW, 0.0)
            await asyncio.sleep(0)  # the others of the same claim begin
            on_the_way.discard(claim.delivery_id)
            claim = (await store.record_attempt(done, Lease(LEASE, token))).following

    async def replica(number: int) -> None:
        store, lease = pair[number % 2], Lease(LEASE, f"t{number}")
        while len(sent) < 30:
            claims = await store.claim_deliveries(NOW, lease, 5)
            await asyncio.gather(*(attempt(store, claim, lease.token) for claim in claims))

    async with asyncio.timeout(60):
        await asyncio.gather(*map(replica, range(4)))
    assert len(sent) == len(set(sent)) == 30
    assert 1 < most <= IN_FLIGHT_PER_ENDPOINT
    figures = await pair[1].endpoint_figures(MERCHANT_ID, endpoint.id, 0)
    assert (figures.backlog, figures.in_flight, len(figures.attempts)) == (0, 0, 30)


async def test_what_an_outlived_claim_says_of_its_delivery_counts_no_more(pair: Pair) -> None:
    await add_merchant(pair[0])
    await add_endpoint(pair[0])
    await paid(pair[0])
    [late] = await pair[0].claim_deliveries(NOW, Lease(NOW + 10, "late"), 5)
    assert await pair[1].claim_deliveries(NOW + 9, Lease(LEASE, "soon"), 5) == []
    [again] = await pair[1].claim_deliveries(NOW + 11, Lease(LEASE, "again"), 5)
    assert (again.delivery_id, again.attempt) == (late.delivery_id, late.attempt + 1)
    done = Attempt(late.attempt, NOW, 5, "delivered", 204, None, b"")
    for store in pair:
        with pytest.raises(LeaseLost):
            await store.record_attempt(Finished(late, done, None, NOW + 12, 0.0), None)
    done = Attempt(again.attempt, NOW, 5, "delivered", 204, None, b"")
    await pair[0].record_attempt(Finished(again, done, None, NOW + 13, 0.0), None)
    delivery, log = await pair[1].delivery_log(MERCHANT_ID, late.delivery_id)
    assert (delivery.status, [attempt.outcome for attempt in log]) == ("delivered", ["unknown", "delivered"])


async def test_an_endpoint_that_goes_while_events_happen_leaves_nothing_to_deliver(pair: Pair) -> None:
    await add_merchant(pair[0])
    for number in range(8):
        endpoint = await add_endpoint(pair[0])
        payments = [await pending(pair[0], f"order-{number}-{each}") for each in range(4)]
        await asyncio.gather(
            *(pair[place % 2].transition(change(each, captured(each))) for place, each in enumerate(payments)),
            pair[1].delete_endpoint(MERCHANT_ID, endpoint.id),
        )
        assert (await pair[0].endpoint_figures(MERCHANT_ID, endpoint.id, 0)).backlog == 0
