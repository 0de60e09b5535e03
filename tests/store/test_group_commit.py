"""What only the SQLite store promises: one commit for many, and a truthful answer for each when it fails."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.database.sqlite import Batch, lane
from proxy.database.sqlite.connection import StepWaited
from proxy.database.transaction import Transaction
from proxy.gateways.port import InvoiceIssued
from proxy.kernel.errors import LeaseLost, NotFound, OrderAlreadyPaid, Overloaded, StaleVersion, StoreUnavailable
from proxy.merchants.storage.rows import merchant_row
from proxy.payments.change import BankCodeTaken, Change, InvoiceKeyTaken, StoredCreation
from proxy.payments.check_schedule import begin
from proxy.payments.payment import Payment, Status
from proxy.payments.search import PaymentFilter
from proxy.stores.sqlite import SqliteStore, open_store
from proxy.webhooks.delivery import EventClaims
from store.records import (
    LEASE,
    MERCHANT_ID,
    NOW,
    captured,
    change,
    create,
    create_with,
    new_intent,
    new_merchant,
    new_payment,
    new_watch,
    paid,
    pending,
)


class Disk:
    """Fails the statements that have `statement` in them while there are faults left, as SQLite would.

    `rolls_back` is what SQLite does on its own for some errors, such as a full disk.
    """

    def __init__(self) -> None:
        self.statement = ""
        self.faults = 0
        self.code = sqlite3.SQLITE_IOERR

    def fail(self, statement: str, times: int = 1, code: int = sqlite3.SQLITE_IOERR) -> None:
        self.statement, self.faults, self.code = statement, times, code

    def __call__(self, sql: str) -> None:
        if self.faults and self.statement in sql:
            self.faults -= 1
            if self.code == sqlite3.SQLITE_NOMEM:
                raise MemoryError
            error = sqlite3.OperationalError("disk fault")
            error.sqlite_errorcode = self.code
            raise error


class Lab:
    """A store with a disk that can fail, and what it said of its batches."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.disk = Disk()
        self.batches: list[Batch] = []

    async def open(self, max_waiting: int = 10_000) -> SqliteStore:
        self.store = await open_store(
            self.path, now=lambda: NOW, max_waiting=max_waiting, on_batch=self.batches.append, fault=self.disk
        )
        return self.store


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    opened = Lab(tmp_path / "dargah.db")
    await opened.open()
    yield opened
    await opened.store.close()


async def payments_of(store: SqliteStore) -> set[str]:
    return {
        payment.id for payment in (await store.payments.list_payments(MERCHANT_ID, PaymentFilter(limit=1000))).payments
    }


def creates(store: SqliteStore, count: int) -> tuple[list[Payment], list[asyncio.Task[Payment]]]:
    payments = [new_payment(f"order-{number}") for number in range(count)]
    return payments, [asyncio.create_task(create(store, payment)) for payment in payments]


async def test_steps_that_wait_share_a_commit(lab: Lab) -> None:
    payments, tasks = creates(lab.store, 300)
    await asyncio.gather(*tasks)
    assert len(await payments_of(lab.store)) == len(payments)
    assert [batch.steps for batch in lab.batches] == [256, 44]
    assert all(batch.seconds > 0 and not batch.failed for batch in lab.batches)


async def test_a_step_that_fails_is_undone_alone(lab: Lab) -> None:
    payment = await create(lab.store)
    stale = change(payment, InvoiceIssued("a"))
    await lab.store.payments.transition(stale)
    first, second = new_payment("x"), new_payment("y")
    lab.batches.clear()
    results = await asyncio.gather(
        create(lab.store, first),
        lab.store.payments.transition(stale),
        lab.store.payments.lease_request(payment, NOW, LEASE),
        lab.store.webhooks.delete_endpoint(MERCHANT_ID, "ep_none"),
        create(lab.store, second),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [Payment, StaleVersion, LeaseLost, NotFound, Payment]
    assert await payments_of(lab.store) == {payment.id, first.id, second.id}
    assert [batch.steps for batch in lab.batches] == [5]


async def test_what_a_failed_step_wrote_is_gone_and_what_the_others_wrote_is_not(lab: Lab) -> None:
    first = new_payment("x")
    twin = new_payment("y", id=first.id)
    results = await asyncio.gather(create(lab.store, first), create(lab.store, twin), return_exceptions=True)
    assert results[0] == first
    assert isinstance(results[1], sqlite3.IntegrityError)
    assert await lab.store.payments.payment(MERCHANT_ID, first.id) == first
    assert await lab.store.payments.check_schedule(MERCHANT_ID, first.id) is not None


async def money_of_another(lab: Lab) -> Change:
    """A change that fails after it has written its payment's row."""
    await paid(lab.store, "x", "bank-1")
    second = await pending(lab.store, "y")
    return change(second, captured(second, "bank-1"))


async def test_creates_that_wait_together_are_told_each_its_own(lab: Lab) -> None:
    await paid(lab.store, "paid-order")
    known = await create(lab.store, new_payment("x"), key="known")
    first, twin = new_payment("y"), new_payment("y")
    intents = {"known": new_payment("x"), "same": first, "": new_payment("paid-order"), "new": new_payment("z")}
    lab.batches.clear()
    results = await asyncio.gather(
        *(create_with(lab.store, payment, key or "other") for key, payment in intents.items()),
        create_with(lab.store, twin, "same"),
        return_exceptions=True,
    )
    replayed, fresh, refused, other, same = results
    assert isinstance(refused, OrderAlreadyPaid)
    told = [each for each in (replayed, fresh, other, same) if isinstance(each, StoredCreation)]
    assert [each.payment.id for each in told] == [known.id, first.id, intents["new"].id, first.id]
    assert [each.fresh for each in told] == [False, True, True, False]
    for payment in (known, first, intents["new"]):
        assert await lab.store.payments.check_schedule(MERCHANT_ID, payment.id) == begin(payment)
    assert [batch.steps for batch in lab.batches] == [5]


async def test_invoices_that_come_together_are_told_each_its_own(lab: Lab) -> None:
    payments = [await create(lab.store, new_payment(f"order-{number}")) for number in range(4)]
    taken, stale, first, second = payments
    await lab.store.payments.transition(change(await create(lab.store, new_payment("o")), InvoiceIssued("inv-taken")))
    await lab.store.payments.transition(change(stale, InvoiceIssued("inv-earlier")))
    invoices = ["inv-taken", "inv-later", "inv-same", "inv-same"]
    lab.batches.clear()
    changes = [change(each, InvoiceIssued(key)) for each, key in zip(payments, invoices, strict=True)]
    results = await asyncio.gather(*map(lab.store.payments.transition, changes), return_exceptions=True)
    assert [type(result) for result in results] == [InvoiceKeyTaken, StaleVersion, EventClaims, InvoiceKeyTaken]
    stored = [(await lab.store.payments.payment(MERCHANT_ID, payment.id)).invoice_key for payment in payments]
    assert stored == [None, "inv-earlier", "inv-same", None]
    assert [batch.steps for batch in lab.batches] == [4]
    assert (taken, second) == (
        await lab.store.payments.payment(MERCHANT_ID, taken.id),
        await lab.store.payments.payment(MERCHANT_ID, second.id),
    )
    assert (await lab.store.payments.payment(MERCHANT_ID, first.id)).status is Status.PENDING


async def test_a_stale_invoice_among_others_is_told_alone(lab: Lab) -> None:
    payments = [await create(lab.store, new_payment(f"order-{number}")) for number in range(3)]
    stale = payments[1]
    await lab.store.payments.transition(change(stale, InvoiceIssued("inv-earlier")))
    lab.batches.clear()
    changes = [change(each, InvoiceIssued(f"inv-{number}")) for number, each in enumerate(payments)]
    results = await asyncio.gather(*map(lab.store.payments.transition, changes), return_exceptions=True)
    assert [type(result) for result in results] == [EventClaims, StaleVersion, EventClaims]
    stored = [(await lab.store.payments.payment(MERCHANT_ID, payment.id)).invoice_key for payment in payments]
    assert stored == ["inv-0", "inv-earlier", "inv-2"]
    assert [batch.steps for batch in lab.batches] == [3]


async def test_a_step_that_waits_for_the_world_is_undone_and_holds_nobody_up(lab: Lab) -> None:
    payment = new_payment()

    async def idle(transaction: Transaction) -> None:
        await transaction.run("insert_merchant", merchant_row(new_merchant()))
        await asyncio.sleep(0)

    waited, stored = await asyncio.gather(
        lab.store.payments._write.do(idle), create(lab.store, payment), return_exceptions=True
    )
    assert isinstance(waited, StepWaited)
    assert stored == payment
    assert await payments_of(lab.store) == {payment.id}
    assert await lab.store.merchants.list_merchants(None, 10) == []


async def test_a_step_that_wrote_before_it_failed_is_undone_alone(lab: Lab) -> None:
    taken = await money_of_another(lab)
    before, after = new_payment("before"), new_payment("after")
    lab.batches.clear()
    results = await asyncio.gather(
        create(lab.store, before),
        lab.store.payments.transition(taken),
        create(lab.store, after),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [Payment, BankCodeTaken, Payment]
    assert await lab.store.payments.payment(MERCHANT_ID, taken.before.id) == taken.before
    assert {before.id, after.id} <= await payments_of(lab.store)
    assert [batch.steps for batch in lab.batches] == [3]


@pytest.mark.parametrize("statement", ["ROLLBACK", "SAVEPOINT", "ROLLBACK TO", "RELEASE"])
async def test_a_fault_while_a_step_is_undone_is_told_to_every_waiter(lab: Lab, statement: str) -> None:
    taken = await money_of_another(lab)
    stored = await payments_of(lab.store)
    lab.disk.fail(statement)
    results = await asyncio.gather(
        create(lab.store), lab.store.payments.transition(taken), create(lab.store), return_exceptions=True
    )
    assert [type(result) for result in results] == [StoreUnavailable] * 3
    assert await payments_of(lab.store) == stored
    await create(lab.store)


STATEMENTS = ["BEGIN", "INTO payments", "COMMIT"]


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_NOMEM]
)
@pytest.mark.parametrize("statement", STATEMENTS)
async def test_a_fault_is_told_to_every_waiter_and_nothing_is_stored(lab: Lab, statement: str, code: int) -> None:
    lab.disk.fail(statement, code=code)
    _, tasks = creates(lab.store, 5)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailable] * 5
    assert len({id(result) for result in results}) == 5
    assert await payments_of(lab.store) == set()
    assert [batch.failed for batch in lab.batches] == [True]
    await create(lab.store)
    assert len(await payments_of(lab.store)) == 1


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_the_store_recovers_by_itself_when_a_lasting_fault_ends(lab: Lab, statement: str) -> None:
    kept = await create(lab.store)
    lab.disk.fail(statement, times=1000)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await create(lab.store, new_payment("x"))
    lab.disk.fail(statement, times=0)
    await lab.store.heartbeat.ping()
    later = await create(lab.store, new_payment("y"))
    assert await payments_of(lab.store) == {kept.id, later.id}


async def test_a_ping_fails_when_nothing_can_be_committed(lab: Lab) -> None:
    lab.disk.fail("COMMIT")
    with pytest.raises(StoreUnavailable):
        await lab.store.heartbeat.ping()
    await lab.store.heartbeat.ping()


async def test_a_connection_that_cannot_roll_back_is_opened_anew(lab: Lab) -> None:
    kept = await create(lab.store)
    lab.disk.fail("COMMIT")
    with pytest.raises(StoreUnavailable):
        await create(lab.store, new_payment("x"))
    lab.disk.fail("", times=6)
    with pytest.raises(StoreUnavailable):
        await create(lab.store, new_payment("y"))
    lab.disk.fail("", times=0)
    later = await create(lab.store, new_payment("z"))
    assert await payments_of(lab.store) == {kept.id, later.id}


async def test_a_rollback_that_fails_does_not_leak_into_the_next_batch(lab: Lab) -> None:
    faulty = False

    def neither_commit_nor_rollback(sql: str) -> None:
        if faulty and sql.startswith(("COMMIT", "ROLLBACK")):
            raise sqlite3.OperationalError("disk fault")

    await lab.store.close()
    lab.store = await open_store(lab.path, now=lambda: NOW, fault=neither_commit_nor_rollback)
    faulty = True
    with pytest.raises(StoreUnavailable):
        await create(lab.store, new_payment("x"))
    faulty = False
    later = await create(lab.store, new_payment("y"))
    assert await payments_of(lab.store) == {later.id}


async def test_a_full_disk_is_survived_for_real(lab: Lab) -> None:
    async def limit_pages(limit: int) -> None:
        pragma = f"PRAGMA max_page_count = {limit}"
        await lab.store._file._database.run(lambda connection: connection.execute(pragma).fetchall())

    stored = set()

    async def fill() -> None:
        for number in range(1000):
            stored.add((await create(lab.store, new_payment(f"order-{number}"))).id)

    await limit_pages(1)  # SQLite takes the pages that there are as the least
    with pytest.raises(StoreUnavailable) as refusal:
        await fill()
    assert isinstance(refusal.value.__cause__, sqlite3.OperationalError)
    assert refusal.value.__cause__.sqlite_errorcode == sqlite3.SQLITE_FULL
    assert await payments_of(lab.store) == stored
    await limit_pages(1_000_000)
    stored.add((await create(lab.store, new_payment("later"))).id)
    assert await payments_of(lab.store) == stored


async def test_a_failed_read_is_told_and_does_not_last(lab: Lab) -> None:
    payment = await create(lab.store)
    lab.disk.fail("SELECT", code=sqlite3.SQLITE_IOERR_READ)
    with pytest.raises(StoreUnavailable):
        await lab.store.payments.payment(MERCHANT_ID, payment.id)
    assert await lab.store.payments.payment(MERCHANT_ID, payment.id) == payment


async def test_a_caller_that_is_cancelled_does_not_disturb_the_others(lab: Lab) -> None:
    payments, tasks = creates(lab.store, 5)
    await asyncio.sleep(0)
    tasks[1].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [Payment, asyncio.CancelledError, Payment, Payment, Payment]
    assert {payment.id for payment in payments} - await payments_of(lab.store) <= {payments[1].id}


async def test_a_full_queue_refuses_at_once(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "dargah.db")
    store = await lab.open(max_waiting=3)
    _, tasks = creates(store, 5)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [Payment, Payment, Payment, Overloaded, Overloaded]
    assert len(await payments_of(store)) == 3
    await store.close()


async def test_closing_finishes_what_waits_and_takes_nothing_more(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "dargah.db")
    store = await lab.open()
    payments, tasks = creates(store, 300)
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*tasks) == payments
    with pytest.raises(StoreUnavailable):
        await store.heartbeat.ping()
    with pytest.raises(StoreUnavailable):
        await store.payments.payment(MERCHANT_ID, payments[0].id)
    again = await lab.open()
    assert len(await payments_of(again)) == 300
    await again.close()


async def test_reads_do_not_see_what_is_not_committed(lab: Lab) -> None:
    seen: list[asyncio.Task[Payment]] = []
    started = False
    loop = asyncio.get_running_loop()
    payment = new_payment()

    def read_in_the_middle(sql: str) -> None:
        if started and sql == "COMMIT" and not seen:
            loop.call_soon_threadsafe(
                lambda: seen.append(asyncio.create_task(lab.store.payments.payment(MERCHANT_ID, payment.id)))
            )
            raise sqlite3.OperationalError("disk fault")

    await lab.store.close()
    lab.store = await open_store(lab.path, now=lambda: NOW, fault=read_in_the_middle)
    started = True
    with pytest.raises(StoreUnavailable):
        await create(lab.store, payment)
    with pytest.raises(NotFound):
        await seen[0]


async def test_reads_that_take_long_let_a_write_in_between(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "READ_SECONDS", 0.0)
    ended = list[str]()

    async def read(number: int) -> None:
        await lab.store.payments.next_check_at()
        ended.append(f"read {number}")

    async def write() -> None:
        await lab.store.heartbeat.ping()
        ended.append("write")

    await asyncio.gather(*map(read, range(20)), write())
    assert [each for each in ended if each != "write"] == [f"read {number}" for number in range(20)]
    assert ended.index("write") < 10


async def test_an_observer_that_raises_does_not_stop_the_store(tmp_path: Path) -> None:
    def observer(batch: Batch) -> None:
        raise RuntimeError(batch)

    store = await open_store(tmp_path / "dargah.db", now=lambda: NOW, on_batch=observer)
    await create(store)
    await create(store, new_payment("x"))
    await store.close()


async def test_mixed_steps_in_one_batch_all_count(lab: Lab) -> None:
    payments = [await paid(lab.store, f"order-{number}") for number in range(3)]
    assert all(payment.status is Status.PAID for payment in payments)
    await lab.store.payments.create_payment(payment := new_payment("x"), new_intent(), new_watch(payment, NOW))
    claimed, _ = await asyncio.gather(lab.store.payments.claim_due_checks(NOW, LEASE, 10), lab.store.heartbeat.ping())
    assert [one.id for one, _ in claimed.checks] == [payment.id]
