"""Two processes on one database: what SQLite's running alone gives, PostgreSQL's locks must give."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import asyncpg
import pytest
from databases.places import Databases
from support.clock import SteadyClock

from proxy.audit.log import AuditLog
from proxy.database.postgresql.lanes import WriteLane
from proxy.database.postgresql.primary import SETTINGS
from proxy.database.postgresql.store import DatabaseClock
from proxy.gateways.port import InvoiceIssued
from proxy.kernel.errors import LeaseLost, StaleVersion
from proxy.payments.change import Change, Entry, OrderPaidByAnother
from proxy.payments.check_schedule import ScheduleChange, begin
from proxy.payments.payment import Status
from proxy.stores import postgresql
from proxy.stores.store import Store
from proxy.webhooks.delivery import Attempt, AttemptReport, Claim, Lease
from proxy.webhooks.event import EventFilter
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
    new_audit,
    new_payment,
    new_watch,
    paid,
    pending,
)
from store.test_registry import installation_audit, new_operator

Pair = tuple[postgresql.PostgresqlStore, postgresql.PostgresqlStore]


@pytest.fixture
async def pair(postgresql_url: str) -> AsyncIterator[Pair]:
    first, second = [
        await postgresql.open_store(postgresql_url, postgresql.ServerOptions(now=lambda: NOW)) for _ in range(2)
    ]
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
            *(pair[place % 2].payments.transition(change(each, captured(each))) for place, each in enumerate(payments)),
            return_exceptions=True,
        )
        assert sorted(type(result).__name__ for result in results) == ["EventClaims", *["OrderPaidByAnother"] * 3]
        assert OrderPaidByAnother in map(type, results)


async def test_one_change_of_a_payment_wins_and_makes_one_event(pair: Pair) -> None:
    for number in range(10):
        before = await pending(pair[0], f"order-{number}")
        results = await asyncio.gather(
            *(
                pair[place % 2].payments.transition(change(before, captured(before, f"b-{number}")))
                for place in range(4)
            ),
            return_exceptions=True,
        )
        assert sorted(type(result).__name__ for result in results) == ["EventClaims", *["StaleVersion"] * 3]
        assert StaleVersion in map(type, results)
        events = await pair[1].webhooks.list_events(MERCHANT_ID, EventFilter(payment_id=before.id))
        assert [event.type for event in events] == ["payment.paid"]


async def test_events_are_numbered_without_gaps_and_seen_in_order(pair: Pair) -> None:
    payments = [await pending(pair[0], f"order-{number}") for number in range(40)]
    seen: list[int] = []

    async def look() -> None:
        while len(seen) < len(payments):
            seen.extend(
                event.sequence
                for event in await pair[1].webhooks.list_events(MERCHANT_ID, EventFilter(after=len(seen), limit=1000))
            )

    changes = [pair[place % 2].payments.transition(change(each, captured(each))) for place, each in enumerate(payments)]
    async with asyncio.timeout(60):
        await asyncio.gather(look(), *changes)
    assert seen == list(range(1, len(payments) + 1))


async def test_a_watch_is_claimed_by_one_replica(pair: Pair) -> None:
    payments = [await create(pair[0], new_payment(f"order-{number}")) for number in range(60)]
    claimed = await asyncio.gather(
        *(
            pair[place % 2].payments.claim_due_checks(payments[0].created_at + 10**9, LEASE + 10**9, 7)
            for place in range(12)
        )
    )
    ids = [payment.id for each in claimed for payment, _ in each.checks]
    while len(ids) < len(payments):
        more = (await pair[0].payments.claim_due_checks(payments[0].created_at + 10**9, LEASE + 10**9, 7)).checks
        assert more, "a watch that is due and nobody's must be found"
        ids += [payment.id for payment, _ in more]
    assert sorted(ids) == sorted(payment.id for payment in payments)


async def test_a_watch_comes_with_its_payment_as_it_is_now(pair: Pair) -> None:
    """The payment and its watch change together; a claim that comes at that moment sees both as before, or as after."""
    for number in range(30):
        payment = await create(pair[0], new_payment(f"order-{number}"))
        read = await pair[0].payments.check_schedule(MERCHANT_ID, payment.id)
        assert read is not None
        written = replace(
            change(payment, InvoiceIssued(f"inv-{number}")),
            schedule=ScheduleChange(read, replace(read, due_at=NOW, version=9)),
        )
        _, claimed = await asyncio.gather(
            pair[0].payments.transition(written), pair[1].payments.claim_due_checks(NOW + 10**9, LEASE, 100)
        )
        for found, watch in claimed.checks:
            if found.id == payment.id:
                assert (found.status is Status.PENDING) == (watch.version == 10)
        stored = await pair[1].payments.payment(MERCHANT_ID, payment.id)
        assert stored.status is Status.PENDING


async def test_lines_that_two_replicas_add_to_a_timeline_are_all_there(pair: Pair) -> None:
    payment = await pending(pair[0])
    entries = [Entry(NOW + number, "return", None, {"number": number}) for number in range(40)]
    await asyncio.gather(
        *(
            pair[number % 2].payments.transition(Change(payment, payment, entries=[entry]))
            for number, entry in enumerate(entries)
        )
    )
    stored = await pair[0].payments.timeline(MERCHANT_ID, payment.id)
    assert sorted(entry.at for entry in stored) == [entry.at for entry in entries]


async def test_an_invoice_and_a_line_that_come_at_once_are_both_there(pair: Pair) -> None:
    for number in range(20):
        payment = await create(pair[0], new_payment(f"order-{number}"))
        line = Entry(NOW, "return", None, {})
        issued = replace(change(payment, InvoiceIssued(f"i-{number}")), entries=[line])
        noted = Change(payment, payment, entries=[line])
        await asyncio.gather(pair[0].payments.transition(issued), pair[1].payments.transition(noted))
        assert len(await pair[0].payments.timeline(MERCHANT_ID, payment.id)) == 2


async def test_a_lease_of_a_create_is_taken_by_one_replica(pair: Pair) -> None:
    payment = await create(pair[0])
    results = await asyncio.gather(
        *(pair[place % 2].payments.lease_request(payment, LEASE + 1, LEASE + 1000) for place in range(6)),
        return_exceptions=True,
    )
    assert sorted(isinstance(result, LeaseLost) for result in results) == [False] + [True] * 5


async def test_the_leases_of_the_living_outlive_another_ones_start(pair: Pair, postgresql_url: str) -> None:
    payment = await create(pair[0])
    await pair[0].payments.transition(
        Change(payment, payment, schedule=ScheduleChange(begin(payment), new_watch(payment, NOW)))
    )
    [(_, claimed)] = (await pair[0].payments.claim_due_checks(NOW, LEASE, 10)).checks
    third = await postgresql.open_store(postgresql_url, postgresql.ServerOptions(now=lambda: NOW))
    assert (await third.payments.claim_due_checks(NOW, LEASE, 10)).checks == []
    with pytest.raises(LeaseLost):
        await third.payments.lease_request(payment, NOW, LEASE)
    assert await third.payments.check_schedule(MERCHANT_ID, payment.id) == replace(claimed, due_at=LEASE)
    await third.close()


async def test_a_process_that_is_paused_in_a_transaction_does_not_hold_its_merchant_for_ever(
    pair: Pair, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = await pending(pair[0])
    monkeypatch.setitem(SETTINGS, "idle_in_transaction_session_timeout", "300")
    paused = await postgresql.open_store(postgresql_url, postgresql.ServerOptions(now=lambda: NOW))
    began = asyncio.Event()

    async def stop_here(transaction: object) -> None:
        began.set()
        await asyncio.Event().wait()

    held = asyncio.create_task(paused.payments._write.do(stop_here, MERCHANT_ID))
    await began.wait()
    await pair[0].payments.transition(change(payment, captured(payment)))
    assert (await pair[1].payments.payment(MERCHANT_ID, payment.id)).status is Status.PAID
    assert isinstance(paused.payments._write, WriteLane)
    for task in paused.payments._write._tasks:
        task.cancel()
    held.cancel()
    await asyncio.gather(held, return_exceptions=True)


async def test_the_database_is_migrated_by_one_of_those_that_start_together(postgresql_url: str) -> None:
    connection = await asyncpg.connect(postgresql_url)
    await connection.execute("CREATE SCHEMA later")
    await connection.execute("SET search_path = later")
    await connection.close()
    empty = f"{postgresql_url}&options=-csearch_path%3Dlater"
    stores = await asyncio.gather(
        *(postgresql.open_store(empty, postgresql.ServerOptions(now=lambda: NOW)) for _ in range(4))
    )
    payment = await create(stores[0])
    assert await stores[3].payments.payment(MERCHANT_ID, payment.id) == payment
    await asyncio.gather(*(store.close() for store in stores))
    connection = await asyncpg.connect(postgresql_url)
    await connection.execute("DROP SCHEMA later CASCADE")
    await connection.close()


class Answers:
    """A connection to a database whose clock reads what a test says."""

    def __init__(self, ticks: SteadyClock) -> None:
        self.ticks = ticks
        self.ahead = 0
        self.travel = [40.0, 2.0, 30.0, 60.0, 20.0]

    async def fetchval(self, _query: str) -> int:
        """Half of the travel there, half back."""
        travel = self.travel[0]
        self.travel = [*self.travel[1:], travel]
        self.ticks.seconds += travel
        return int(self.ticks.seconds + self.ahead)


async def test_the_clock_is_the_databases_and_goes_back_by_jumps_alone() -> None:
    ticks = SteadyClock(5000.0)
    clock, server = DatabaseClock(ticks), Answers(ticks)
    server.ahead = NOW
    await clock.look(server)
    assert abs(clock.now() - (ticks.seconds + NOW)) <= 2
    ticks.seconds += 1000
    assert abs(clock.now() - (ticks.seconds + NOW)) <= 2
    before = clock.now()
    server.ahead = NOW - 500
    await clock.look(server)
    assert clock.now() == before
    ticks.seconds += 10_000
    assert abs(clock.now() - (ticks.seconds + NOW - 500)) <= 2
    server.ahead = NOW + 3_600_000
    await clock.look(server)
    assert abs(clock.now() - (ticks.seconds + NOW + 3_600_000)) <= 2
    server.ahead = NOW
    await clock.look(server)
    assert (abs(clock.now() - (ticks.seconds + NOW)) <= 2, clock.jumps) == (True, 2)


async def test_replicas_without_a_clock_of_their_own_agree_on_the_time(postgresql_url: str) -> None:
    stores = [await postgresql.open_store(postgresql_url) for _ in range(2)]
    connection = await asyncpg.connect(postgresql_url)
    theirs = await connection.fetchval("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
    assert all(abs(store.now() - theirs) < 2000 for store in stores)
    assert abs(stores[0].now() - stores[1].now()) < 1000
    await connection.close()
    await asyncio.gather(*(store.close() for store in stores))


@pytest.mark.parametrize(("limit", "reached"), [(1, 1), (8, 2), (64, 9)])
async def test_an_endpoints_limit_holds_over_replicas_and_each_delivery_goes_out_once(
    pair: Pair, limit: int, reached: int
) -> None:
    await add_merchant(pair[0])
    endpoint = await add_endpoint(pair[0], max_in_flight=limit)
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
            done = AttemptReport(claim, Attempt(claim.attempt, NOW, 5, "delivered", 204, None, b""), None, NOW, 0.0)
            await asyncio.sleep(0)  # the others of the same claim begin
            on_the_way.discard(claim.delivery_id)
            claim = (await store.webhooks.record_attempt(done, Lease(LEASE, token))).following

    async def replica(number: int) -> None:
        store, lease = pair[number % 2], Lease(LEASE, f"t{number}")
        while len(sent) < 30:
            claims = await store.webhooks.claim_deliveries(NOW, lease, 5)
            await asyncio.gather(*(attempt(store, claim, lease.token) for claim in claims))

    async with asyncio.timeout(60):
        await asyncio.gather(*map(replica, range(4)))
    assert len(sent) == len(set(sent)) == 30
    assert reached <= most <= limit
    statistics = await pair[1].webhooks.endpoint_statistics(MERCHANT_ID, endpoint.id, 0)
    assert (statistics.backlog, statistics.in_flight, len(statistics.attempts)) == (0, 0, 30)


async def test_what_an_outlived_claim_says_of_its_delivery_counts_no_more(pair: Pair) -> None:
    await add_merchant(pair[0])
    await add_endpoint(pair[0])
    await paid(pair[0])
    [late] = await pair[0].webhooks.claim_deliveries(NOW, Lease(NOW + 10, "late"), 5)
    assert await pair[1].webhooks.claim_deliveries(NOW + 9, Lease(LEASE, "soon"), 5) == []
    [again] = await pair[1].webhooks.claim_deliveries(NOW + 11, Lease(LEASE, "again"), 5)
    assert (again.delivery_id, again.attempt) == (late.delivery_id, late.attempt + 1)
    done = Attempt(late.attempt, NOW, 5, "delivered", 204, None, b"")
    for store in pair:
        with pytest.raises(LeaseLost):
            await store.webhooks.record_attempt(AttemptReport(late, done, None, NOW + 12, 0.0), None)
    done = Attempt(again.attempt, NOW, 5, "delivered", 204, None, b"")
    await pair[0].webhooks.record_attempt(AttemptReport(again, done, None, NOW + 13, 0.0), None)
    delivery, log = await pair[1].webhooks.delivery_log(MERCHANT_ID, late.delivery_id)
    assert (delivery.status, [attempt.outcome for attempt in log]) == ("delivered", ["unknown", "delivered"])


async def test_an_endpoint_that_goes_while_events_happen_leaves_nothing_to_deliver(pair: Pair) -> None:
    await add_merchant(pair[0])
    for number in range(8):
        endpoint = await add_endpoint(pair[0])
        payments = [await pending(pair[0], f"order-{number}-{each}") for each in range(4)]
        await asyncio.gather(
            *(pair[place % 2].payments.transition(change(each, captured(each))) for place, each in enumerate(payments)),
            pair[1].webhooks.delete_endpoint(MERCHANT_ID, endpoint.id),
        )
        assert (await pair[0].webhooks.endpoint_statistics(MERCHANT_ID, endpoint.id, 0)).backlog == 0


OTHER = "mer_OTHER001"


@pytest.fixture
async def replicas(databases: Databases) -> AsyncIterator[list[Store]]:
    async with databases.lent() as url, AsyncExitStack() as stack:
        opened: list[Store] = []
        for _ in range(3):
            store = await postgresql.open_store(url, postgresql.ServerOptions(now=lambda: NOW))
            stack.push_async_callback(store.close)
            opened.append(store)
        yield opened


async def test_replicas_that_write_at_once_make_one_whole_chain(replicas: list[Store]) -> None:
    for merchant_id in (MERCHANT_ID, OTHER):
        await add_merchant(replicas[0], merchant_id)
    merchants = (MERCHANT_ID, OTHER)
    acts = [
        store.audit.add_audit(new_audit(merchant_id))
        for _ in range(15)
        for store in replicas
        for merchant_id in merchants
    ]
    await asyncio.gather(*acts)
    for merchant_id in merchants:
        verified = await AuditLog(replicas[1].audit).verify(merchant_id)
        assert (verified.broken, verified.reached.number) == (None, 1 + 45)


async def test_a_look_while_others_write_finds_no_break(replicas: list[Store]) -> None:
    await add_merchant(replicas[0])
    writing = asyncio.gather(*(store.audit.add_audit(new_audit()) for _ in range(30) for store in replicas[:2]))
    log = AuditLog(replicas[2].audit)
    while not writing.done():
        assert (await log.verify(MERCHANT_ID)).broken is None
    await writing
    assert (await log.verify(MERCHANT_ID)).reached.number == 61


async def test_of_replicas_that_add_one_name_at_once_one_does(replicas: list[Store]) -> None:
    adding = [store.operators.add_operator(new_operator(), installation_audit(), 10) for store in replicas]
    results = await asyncio.gather(*adding, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "Conflict", "NoneType"]
    assert len(await replicas[0].operators.list_operators()) == 1
