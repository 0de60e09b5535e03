"""What the PostgreSQL store promises of its batches: one commit for many, a truthful answer for each when it fails."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest

from proxy.database.postgresql.transaction import PostgresqlTransaction, run_whole
from proxy.database.transaction import Batch
from proxy.gateways.port import InvoiceIssued
from proxy.kernel.errors import LeaseLost, NotFound, OrderAlreadyPaid, Overloaded, StaleVersion, StoreUnavailable
from proxy.payments.change import BankCodeTaken, Change, Entry, InvoiceKeyTaken, StoredCreation
from proxy.payments.payment import Payment, Status
from proxy.payments.search import PaymentFilter
from proxy.payments.storage.rows import payment_of
from proxy.stores import postgresql
from proxy.webhooks.delivery import EventClaims
from store.records import (
    LEASE,
    MERCHANT_ID,
    NOW,
    captured,
    change,
    create,
    create_with,
    new_payment,
    paid,
    pending,
)

Step = Callable[[Any], Coroutine[Any, Any, Any]]


@dataclass
class Lab:
    store: postgresql.PostgresqlStore
    url: str
    batches: list[Batch] = field(default_factory=list)

    async def payments(self) -> set[str]:
        return {
            payment.id
            for payment in (await self.store.payments.list_payments(MERCHANT_ID, PaymentFilter(limit=1000))).payments
        }

    async def sql(self, text: str) -> list[Any]:
        """What somebody else's connection to the database is told."""
        connection = await asyncpg.connect(self.url)
        try:
            found: list[Any] = await connection.fetch(text)
            return found
        finally:
            await connection.close()


@pytest.fixture
async def lab(postgresql_url: str) -> AsyncIterator[Lab]:
    batches: list[Batch] = []
    store = await postgresql.open_store(
        postgresql_url, postgresql.ServerOptions(now=lambda: NOW, on_batch=batches.append)
    )
    yield Lab(store, postgresql_url, batches)
    await store.close()


def creates(store: postgresql.PostgresqlStore, count: int) -> tuple[list[Payment], list[asyncio.Task[Payment]]]:
    payments = [new_payment(f"order-{number}") for number in range(count)]
    return payments, [asyncio.create_task(create(store, payment)) for payment in payments]


def raw(transaction: Any) -> Any:
    assert isinstance(transaction, PostgresqlTransaction)
    return transaction._connection


class Killed:
    """A step whose connection the server ends, the first time or the first few; then it creates the payment."""

    def __init__(self, lab: Lab, times: int = 1) -> None:
        self.lab = lab
        self.times = times
        self.runs = 0

    async def __call__(self, transaction: Any) -> str:
        self.runs += 1
        await transaction.run("insert_watch", (MERCHANT_ID, "pay_1", "trm_1", NOW, 0, 1, 0))
        if self.runs <= self.times:
            await raw(transaction).execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return "done"


async def test_steps_that_wait_share_a_transaction(lab: Lab) -> None:
    payments, tasks = creates(lab.store, 300)
    await asyncio.gather(*tasks)
    assert len(await lab.payments()) == len(payments)
    assert sum(batch.steps for batch in lab.batches) == 300
    assert len(lab.batches) <= 3
    assert all(batch.seconds > 0 and not batch.failed for batch in lab.batches)


async def test_a_step_that_fails_is_undone_alone(lab: Lab) -> None:
    payment = await create(lab.store)
    stale = change(payment, InvoiceIssued("a"))
    await lab.store.payments.transition(stale)
    first, second = new_payment("x"), new_payment("y")
    results = await asyncio.gather(
        create(lab.store, first),
        lab.store.payments.transition(stale),
        lab.store.payments.lease_request(payment, NOW, LEASE),
        lab.store.webhooks.delete_endpoint(MERCHANT_ID, "ep_none"),
        create(lab.store, second),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [Payment, StaleVersion, LeaseLost, NotFound, Payment]
    assert await lab.payments() == {payment.id, first.id, second.id}


async def test_what_a_failed_statement_wrote_is_gone_and_what_the_others_wrote_is_not(lab: Lab) -> None:
    first = new_payment("x")
    twin, other = new_payment("y", id=first.id), new_payment("z")
    results = await asyncio.gather(
        create(lab.store, first), create(lab.store, twin), create(lab.store, other), return_exceptions=True
    )
    assert [results[0], results[2]] == [first, other]
    assert isinstance(results[1], asyncpg.UniqueViolationError)
    assert await lab.payments() == {first.id, other.id}


async def test_a_step_that_wrote_before_it_failed_is_undone_alone(lab: Lab) -> None:
    await paid(lab.store, "x", "bank-1")
    seconds = [await pending(lab.store, order_id) for order_id in ("y", "z")]
    taken, free = (change(each, captured(each, code)) for each, code in zip(seconds, ("bank-1", "bank-2"), strict=True))
    results = await asyncio.gather(
        lab.store.payments.transition(taken), lab.store.payments.transition(free), return_exceptions=True
    )
    assert [type(result) for result in results] == [BankCodeTaken, EventClaims]
    stored = [(await lab.store.payments.payment(MERCHANT_ID, each.id)).status for each in seconds]
    assert stored == [Status.PENDING, Status.PAID]


async def test_creates_that_wait_together_are_told_each_its_own(lab: Lab) -> None:
    await paid(lab.store, "paid-order")
    known = await create(lab.store, new_payment("x"), key="known")
    first, twin = new_payment("y"), new_payment("y")
    replayed, fresh, refused, same = await asyncio.gather(
        create_with(lab.store, new_payment("x"), "known"),
        create_with(lab.store, first, "same"),
        create_with(lab.store, new_payment("paid-order"), "other"),
        create_with(lab.store, twin, "same"),
        return_exceptions=True,
    )
    assert isinstance(refused, OrderAlreadyPaid)
    told = [each for each in (replayed, fresh, same) if isinstance(each, StoredCreation)]
    assert [(each.payment.id, each.fresh) for each in told] == [(known.id, False), (first.id, True), (first.id, False)]


def issued(payment: Payment, invoice_key: str) -> Change:
    """With what a create tells of it: what one statement stores."""
    return change(payment, InvoiceIssued(invoice_key), entries=(Entry(NOW, "gateway.request", 1, {}),))


async def lines(lab: Lab, *payments: Payment) -> list[int]:
    return [len(await lab.store.payments.timeline(MERCHANT_ID, payment.id)) for payment in payments]


async def test_invoices_that_come_together_are_told_each_its_own(lab: Lab) -> None:
    one, two, three, four = [await create(lab.store, new_payment(order_id)) for order_id in "abcd"]
    await lab.store.payments.transition(issued(one, "x"))
    results = await asyncio.gather(
        lab.store.payments.transition(issued(two, "x")),
        lab.store.payments.transition(issued(one, "y")),
        lab.store.payments.transition(issued(three, "z")),
        lab.store.payments.transition(issued(four, "z")),
        create(lab.store, new_payment("e")),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [
        InvoiceKeyTaken,
        StaleVersion,
        EventClaims,
        InvoiceKeyTaken,
        Payment,
    ]
    stored = [await lab.store.payments.payment(MERCHANT_ID, each.id) for each in (one, two, three, four)]
    assert [payment.invoice_key for payment in stored] == ["x", None, "z", None]
    assert await lines(lab, *stored) == [1, 0, 1, 0]
    # A claim that a stale change left is the payment's own.
    again = issued(stored[1], "w")
    claim = (MERCHANT_ID, two.terminal_id, "w", two.id)
    await lab.store.payments._write.do(lambda transaction: transaction.run("claim_invoice_key", claim))
    await lab.store.payments.transition(again)
    assert await lab.store.payments.payment(MERCHANT_ID, two.id) == again.after


async def test_a_step_that_no_statement_can_be_made_of_is_told(lab: Lab) -> None:
    first, second = new_payment("x", metadata={"at": object()}), new_payment("y")
    results = await asyncio.gather(create(lab.store, first), create(lab.store, second), return_exceptions=True)
    assert [type(result) for result in results] == [TypeError, Payment]


@pytest.mark.parametrize("together", [1, 3])
@pytest.mark.parametrize("is_stored", [True, False])
async def test_a_create_whose_answer_is_lost_is_stored_once(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, together: int, *, is_stored: bool
) -> None:
    lost = 0

    async def without_an_answer(*given: Any) -> list[bool]:
        nonlocal lost
        lost += 1
        if is_stored:
            assert all(await run_whole(*given))
        raise asyncpg.ConnectionDoesNotExistError

    monkeypatch.setattr("proxy.database.postgresql.lanes.run_whole", without_an_answer)
    payments, tasks = creates(lab.store, together)
    assert await asyncio.gather(*tasks) == payments
    changes = [issued(payment, f"invoice-{number}") for number, payment in enumerate(payments)]
    told = await asyncio.gather(*map(lab.store.payments.transition, changes), return_exceptions=True)
    assert [type(each) for each in told] == [StaleVersion if is_stored else EventClaims] * together
    assert lost == 2
    assert await lab.payments() == {payment.id for payment in payments}
    for each in changes:
        assert await lab.store.payments.payment(MERCHANT_ID, each.after.id) == each.after
    assert await lines(lab, *payments) == [1] * together


async def test_what_was_not_committed_when_the_connection_was_cut_is_done_on_another(lab: Lab) -> None:
    killed, beside = Killed(lab), new_payment("beside")
    done, created = await asyncio.gather(lab.store.payments._write.do(killed), create(lab.store, beside))
    assert (done, created, killed.runs) == ("done", beside, 2)
    assert [row["payment_id"] for row in await lab.sql("SELECT payment_id FROM watches ORDER BY 1")] == sorted(
        ["pay_1", beside.id]
    )


async def test_connections_that_are_cut_again_and_again_are_told(lab: Lab) -> None:
    killed = Killed(lab, times=1000)
    with pytest.raises(StoreUnavailable):
        await lab.store.payments._write.do(killed)
    assert 1 < killed.runs < 10
    assert lab.batches[-1].failed
    await create(lab.store)


async def test_idle_connections_that_were_cut_are_opened_anew(lab: Lab) -> None:
    payment = await create(lab.store)
    cut = await lab.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert len(cut) >= 2
    assert await lab.store.payments.payment(MERCHANT_ID, payment.id) == payment
    await create(lab.store, new_payment("x"))


async def test_a_commit_without_an_answer_is_unclear_and_asking_again_is_safe(lab: Lab) -> None:
    await lab.sql("CREATE TABLE bombs (number int)")
    await lab.sql(
        "CREATE FUNCTION explode() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"
    )
    await lab.sql(
        "CREATE CONSTRAINT TRIGGER at_the_commit AFTER INSERT ON bombs DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION explode()"
    )
    runs = 0

    async def step(transaction: Any) -> None:
        nonlocal runs
        runs += 1
        await raw(transaction).execute("INSERT INTO bombs VALUES (1)")

    payment = new_payment()
    results = await asyncio.gather(
        lab.store.payments._write.do(step), create_with(lab.store, payment, "key"), return_exceptions=True
    )
    await lab.sql("DROP TABLE bombs")
    assert [type(result) for result in results] == [StoreUnavailable, StoreUnavailable]
    assert runs == 1
    again = await create_with(lab.store, payment, "key")
    assert again.payment == payment


async def test_a_statement_without_an_answer_is_given_up(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.database.postgresql.connections.WORK_SECONDS", 0.2)

    async def step(transaction: Any) -> None:
        await raw(transaction).execute("SELECT pg_sleep(6)")

    async with asyncio.timeout(5):
        for lane in (lab.store.payments._write, lab.store.payments._query):
            with pytest.raises(StoreUnavailable) as told:
                await lane.do(step)
            assert isinstance(told.value.__cause__, TimeoutError)
    monkeypatch.undo()
    await create(lab.store)


async def test_a_deadlock_is_dissolved_and_both_are_done(lab: Lab) -> None:
    payments = [await create(lab.store, new_payment(order_id)) for order_id in ("x", "y")]
    reached = [asyncio.Event(), asyncio.Event()]
    runs = 0

    def crossing(first: int) -> Step:
        async def step(transaction: Any) -> None:
            nonlocal runs
            runs += 1
            for place in (first, 1 - first):
                await transaction.run("lease_request", (MERCHANT_ID, payments[place].id, LEASE, LEASE + 1))
                reached[first].set()
                await reached[1 - first].wait()

        return step

    await asyncio.gather(
        lab.store.payments._write.do(crossing(0), "mer_aaaaaaaa"),
        lab.store.payments._write.do(crossing(1), "mer_bbbbbbbb"),
    )
    assert runs == 3


async def test_a_merchants_steps_do_not_run_at_the_same_time_as_each_other(postgresql_url: str) -> None:
    stores = [await postgresql.open_store(postgresql_url, postgresql.ServerOptions(now=lambda: NOW)) for _ in range(2)]
    running = most = 0

    async def step(transaction: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await transaction.rows("list_endpoints", (MERCHANT_ID, 10))
        running -= 1

    steps = [stores[number % 2].payments._write.do(step, MERCHANT_ID) for number in range(40)]
    others = [stores[number % 2].payments._write.do(step, f"mer_{number:08}") for number in range(8)]
    await asyncio.gather(*steps)
    assert most == 1
    await asyncio.gather(*others)
    assert most > 1
    for store in stores:
        await store.close()


async def test_a_full_queue_refuses_at_once(postgresql_url: str) -> None:
    store = await postgresql.open_store(postgresql_url, postgresql.ServerOptions(now=lambda: NOW, max_waiting=3))
    _, tasks = creates(store, 5)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [Payment, Payment, Payment, Overloaded, Overloaded]
    await store.close()


async def test_closing_finishes_what_waits_and_takes_nothing_more(lab: Lab) -> None:
    payments, tasks = creates(lab.store, 300)
    await asyncio.sleep(0)
    await lab.store.close()
    assert await asyncio.gather(*tasks) == payments
    with pytest.raises(StoreUnavailable):
        await lab.store.heartbeat.ping()
    with pytest.raises(StoreUnavailable):
        await lab.store.payments.payment(MERCHANT_ID, payments[0].id)
    assert len(await lab.sql("SELECT 1 FROM payments")) == 300


async def test_a_caller_that_is_cancelled_while_it_waits_takes_its_step_back(lab: Lab) -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def slow(_transaction: Any) -> None:
        started.set()
        await release.wait()

    first = asyncio.create_task(lab.store.payments._write.do(slow, MERCHANT_ID))
    await started.wait()
    ran = []

    async def late(_transaction: Any) -> None:
        ran.append("late")

    second = asyncio.create_task(lab.store.payments._write.do(late, MERCHANT_ID))
    await asyncio.sleep(0)
    second.cancel()
    release.set()
    await first
    await lab.store.payments._write.do(late, MERCHANT_ID)
    assert ran == ["late"]


async def test_a_read_whose_connection_is_cut_is_asked_again(lab: Lab) -> None:
    payment = await create(lab.store)
    runs = 0

    async def step(transaction: Any) -> Any:
        nonlocal runs
        runs += 1
        if runs == 1:
            await raw(transaction).execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return await transaction.row("payment_by_id", (MERCHANT_ID, payment.id))

    assert payment_of(await lab.store.payments._read.do(step)).id == payment.id


async def test_an_observer_that_raises_does_not_stop_the_store(postgresql_url: str) -> None:
    def observer(batch: Batch) -> None:
        raise RuntimeError(batch)

    store = await postgresql.open_store(postgresql_url, postgresql.ServerOptions(now=lambda: NOW, on_batch=observer))
    await create(store)
    await create(store, new_payment("x"))
    await store.close()
