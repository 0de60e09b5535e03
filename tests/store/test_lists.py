"""Lists and look-ups over all merchants: whole, in order, and at a cost that does not grow with the payments.

And what monitoring and restores ask of a store: statistics, unsettled payments, rechecks.
"""

import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.database.repository import STRETCH
from proxy.gateways.port import Canceled, Captured, InvoiceIssued, NotPaid, RequestRefused
from proxy.kernel.clock import DAY, HOUR, MINUTE
from proxy.kernel.ids import PAYMENT, Ids
from proxy.merchants.merchant import Mode
from proxy.observability.statistics import DueStatistics
from proxy.operations.restores import Recheck
from proxy.payments.change import PAID_AMOUNT, PAID_UNCHECKED, PAID_UNTOLD, PENDING_UNWATCHED, Change, Entry
from proxy.payments.check_schedule import ScheduleChange, begin
from proxy.payments.finder import ROWS_AT_ONCE
from proxy.payments.order_match import OrderMatch
from proxy.payments.payment import Decision, OperatorDecision, Payment, Status
from proxy.payments.scan import MERCHANTS_AT_ONCE
from proxy.payments.search import FIRST_PLACE, DaySum, Number, PaymentFilter, id_at, place_at, place_of
from proxy.payments.storage.lists import FOUND_AT_MOST
from proxy.stores.sqlite import SqliteStore, open_store
from proxy.stores.store import Store
from proxy.webhooks.delivery import DeliveryFilter, Lease
from proxy.webhooks.endpoint import EndpointState
from proxy.webhooks.event import EventFilter
from proxy.webhooks.retry_policy import DeliveryStatus
from store import records
from store.records import (
    IDS,
    MERCHANT_ID,
    NOW,
    add_endpoint,
    add_merchant,
    captured,
    change,
    create,
    new_audit,
    new_intent,
    new_payment,
    new_terminal,
    paid,
    pending,
    sealed,
    step,
)

SMALL, LARGE = 2_000, 8_000
# SQLite does more than twenty in a microsecond.
MOST_INSTRUCTIONS: Final = 100_000
GROWTH: Final = 1.25
EVERY: Final = 50
# What is counted only up to 10,000.
COUNTED: Final = {"due figures", "endpoint figures"}

Look = Callable[[SqliteStore], Awaitable[Any]]

# The live payments of one storefront, all of one order. Where a list looks last there are a few of a test, of another
# storefront, another order and status.
PAYMENTS: Final = """
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :count)
INSERT INTO payments (merchant_id, id, storefront, terminal_id, mode, order_id, amount_rials, currency, metadata, link,
    expires_at, created_at, updated_at, status, version, invoice_key, bank_code, captured_rials, late,
    idempotency_key, request_digest, lease_until)
SELECT :merchant_id, :prefix || printf('%018d', n), iif(n BETWEEN 5 AND 9, 'second', 'main'), 'trm_1',
    iif(n < 5, 'test', 'live'), iif(n BETWEEN 10 AND 14, 'seldom', 'common'), 150000, 'IRR', '{}', 'link-' || n,
    :now, :now, :now, iif(n % 5 = 0 AND n < 20, 'failed', :status), 2, 'inv-' || n, 'bank-' || n, 150000,
    0, 'key-' || n, zeroblob(32), 0
FROM numbers
"""
EVENTS: Final = """
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :count)
INSERT INTO events (merchant_id, id, sequence, storefront, mode, type, payment_id, payment_version, occurred_at, body)
SELECT :merchant_id, 'evt_' || :key || printf('%018d', n), n + 1, iif(:count - n BETWEEN 6 AND 10, 'second', 'main'),
    iif(:count - n <= 5, 'test', 'live'), iif(:count - n BETWEEN 11 AND 15, 'payment.failed', 'payment.paid'),
    :prefix || printf('%018d', n), 2, :now, zeroblob(100)
FROM numbers
"""
DELIVERIES: Final = """
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :count)
INSERT INTO deliveries (merchant_id, id, endpoint_id, event_id, payment_id, status, attempts, scheduled_from, due_at,
    created_at)
SELECT :merchant_id, 'dlv_' || :key || printf('%018d', n), :endpoint_id, 'evt_' || :key || printf('%018d', n),
    :prefix || printf('%018d', n), iif(n < 5, 'failed', 'delivered'), 1, 0, NULL, :now
FROM numbers
"""
WATCHES: Final = """
INSERT INTO watches (merchant_id, payment_id, terminal_id, due_at, version)
SELECT merchant_id, id, terminal_id, :now, 1 FROM payments WHERE merchant_id = :merchant_id
"""


@dataclass
class Filled:
    """A store with so many payments of one merchant, all in one status but for a few."""

    store: SqliteStore
    endpoint_id: str
    status: Status
    instructions: list[int] = field(default_factory=lambda: [0])

    async def cost(self, look: Look) -> int:
        """What a call takes of the database, in instructions."""
        before = self.instructions[0]
        await look(self.store)
        return (self.instructions[0] - before) * EVERY


async def fill(path: Path, count: int, status: Status) -> Filled:
    store = await open_store(path, now=lambda: NOW)
    await add_merchant(store)
    endpoint = await add_endpoint(store)
    key = MERCHANT_ID.removeprefix("mer_")
    given = {
        "count": count,
        "merchant_id": MERCHANT_ID,
        "key": key,
        "prefix": f"{PAYMENT}_{key}",
        "now": NOW,
        "status": status.value,
        "endpoint_id": endpoint.id,
    }
    made = Filled(store, endpoint.id, status)

    def counted() -> int:
        made.instructions[0] += 1
        return 0

    def write(connection: Any) -> None:
        connection.execute("BEGIN")
        for statement in (PAYMENTS, EVENTS, DELIVERIES, WATCHES):
            connection.execute(statement, given)
        connection.execute("COMMIT")
        connection.set_progress_handler(counted, EVERY)

    await store._file._database.run(write)
    return made


def payment_lists() -> dict[str, Look]:
    filters = itertools.product(
        (None, "main", "second", "nobody"),
        (None, Mode.LIVE, Mode.TEST),
        (None, Status.PAID, Status.NEEDS_REVIEW, Status.FAILED),
        (None, "common", "seldom"),
    )
    wanted = [
        PaymentFilter(place, order, () if status is None else (status,), None, 20, mode, oldest_first=oldest)
        for place, mode, status, order in filters
        for oldest in (False, True)
    ]
    return {
        f"payments {each}": lambda store, each=each: store.payments.list_payments(MERCHANT_ID, each)  # type: ignore[misc]  # binds the loop's variable
        for each in wanted
    }


def event_lists() -> dict[str, Look]:
    looks: dict[str, Look] = {}
    kinds = ("payment.paid", "payment.failed", "payment.expired")
    for place, mode, kind in itertools.product((None, "main", "second"), (None, *Mode), (None, *kinds)):
        wanted = EventFilter(place, kind, None, 0, 20, mode)
        looks[f"events {wanted}"] = lambda store, each=wanted: store.webhooks.list_events(MERCHANT_ID, each)  # type: ignore[misc]  # as above
        for got in (True, False):
            looks[f"events {wanted}, delivered {got}"] = lambda store, each=wanted, got=got: (  # type: ignore[misc]  # as above
                store.webhooks.list_events_by_delivery(MERCHANT_ID, each, delivered=got)
            )
    return looks


def walks() -> dict[str, Look]:
    looks: dict[str, Look] = {
        "heads": lambda store: store.payments.heads(None, PaymentFilter(), MERCHANTS_AT_ONCE),
        "lines": lambda store: store.payments.lines(MERCHANT_ID, PaymentFilter(terminal_id="none"), 500),
    }
    looks |= {
        f"search by {number}": lambda store, number=number: store.payments.find_ids(None, number, "common")  # type: ignore[misc]  # as above
        for number in Number
    }
    return looks | {
        "search among the newest": lambda store: store.payments.ids_among_newest(
            [MERCHANT_ID], FIRST_PLACE, OrderMatch("12345").accepts, ROWS_AT_ONCE, 25
        ),
        "day": lambda store: store.payments.day_sums((MERCHANT_ID, "", "~"), 0, DAY, 500),
        "open figures": lambda store: store.statistics.open_statistics(None, 20),
        "due figures": lambda store: store.statistics.due_statistics(),
        "audit of invariants": lambda store: store.statistics.audit(None, 0, 5),
        "unsettled": lambda store: store.payments.unsettled_since(0, None, 100),
        "endpoint figures": _of_endpoint,
        "audit": lambda store: store.audit.list_audit(MERCHANT_ID, None, 50),
        "next due": lambda store: store.payments.next_check_at(),
        "a payment's events": lambda store: store.webhooks.list_events(
            MERCHANT_ID, EventFilter(payment_id=id_of("pay", 1))
        ),
        "an event's deliveries": lambda store: store.webhooks.list_deliveries(MERCHANT_ID, id_of("evt", 1)),
        "a delivery's attempts": lambda store: store.webhooks.delivery_log(MERCHANT_ID, id_of("dlv", 1)),
        "payments of ids": lambda store: store.payments.payments_of_ids(
            [id_of("pay", number) for number in range(100)]
        ),
        "what may be forgotten": lambda store: store.retention.forget_events(NOW, None, 100),
    }


def id_of(kind: str, number: int) -> str:
    return f"{kind}_{MERCHANT_ID.removeprefix('mer_')}{number:018}"


async def _of_endpoint(store: SqliteStore) -> None:
    [endpoint] = await store.webhooks.list_endpoints(MERCHANT_ID)
    await store.webhooks.endpoint_statistics(MERCHANT_ID, endpoint.id, 0)


def delivery_lists() -> dict[str, Look]:
    def listing(status: DeliveryStatus | None) -> Look:
        async def look(store: SqliteStore) -> Any:
            [endpoint] = await store.webhooks.list_endpoints(MERCHANT_ID)
            return await store.webhooks.list_endpoint_deliveries(
                MERCHANT_ID, endpoint.id, DeliveryFilter(status, None, 20)
            )

        return look

    return {f"deliveries {status}": listing(status) for status in (None, *DeliveryStatus)}


LOOKS: Final = payment_lists() | event_lists() | walks() | delivery_lists()


@pytest.fixture(params=[Status.PAID, Status.NEEDS_REVIEW, Status.CANCELED])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Filled, Filled]]:
    small = await fill(tmp_path / "small.db", SMALL, request.param)
    large = await fill(tmp_path / "large.db", LARGE, request.param)
    yield small, large
    for each in (small, large):
        await each.store.close()


async def test_no_list_costs_more_in_a_larger_history(stores: tuple[Filled, Filled]) -> None:
    small, large = stores
    bad = {}
    for name, look in LOOKS.items():
        before, after = await small.cost(look), await large.cost(look)
        grown = after > before * GROWTH + EVERY * 4 and name not in COUNTED
        if grown or after > MOST_INSTRUCTIONS:
            bad[name] = (before, after)
    assert bad == {}


async def test_a_page_that_no_index_narrows_says_where_it_goes_on(tmp_path: Path) -> None:
    filled = await fill(tmp_path / "dargah.db", LARGE, Status.CANCELED)
    wanted, found, pages = PaymentFilter("second", "common", mode=Mode.LIVE), list[str](), 0
    while True:
        page = await filled.store.payments.list_payments(MERCHANT_ID, wanted)
        found, pages = [*found, *(payment.id for payment in page.payments)], pages + 1
        if page.reached is None:
            break
        wanted = wanted.behind(page.reached)
    assert len(found) == len(set(found)) == 5
    assert pages <= LARGE // STRETCH + 2
    await filled.store.close()


MERCHANTS = sorted(IDS.merchant() for _ in range(5))


@pytest.fixture
async def shops(store: Store) -> Store:
    for merchant_id in MERCHANTS:
        await add_merchant(store, merchant_id)
    return store


async def every_payment(store: Store) -> list[Payment]:
    """Of all merchants in turn and out of it, two of them in one millisecond; newest first."""
    made = []
    order = MERCHANTS * 4
    random.Random(3).shuffle(order)
    for number, merchant_id in enumerate(order):
        at = NOW + number // 2
        made.append(await create(store, new_payment(f"order-{number}", merchant_id=merchant_id, at=at)))
    return sorted(made, key=lambda payment: place_of(payment.id), reverse=True)


async def test_payments_are_read_in_the_order_of_their_ids_and_what_is_not_there_is_left_out(shops: Store) -> None:
    made = await every_payment(shops)
    nobodys = IDS.record(PAYMENT, MERCHANTS[0], NOW)
    wanted = [made[7].id, nobodys, made[2].id]
    assert [each.id for each in await shops.payments.payments_of_ids(wanted)] == [made[7].id, made[2].id]


async def found(store: Store, number: Number, text: str) -> set[str]:
    return set(await store.payments.find_ids(None, number, text))


async def test_a_payment_is_found_by_each_of_its_numbers_whoever_sells(shops: Store) -> None:
    terminal = new_terminal(MERCHANTS[3])
    await shops.merchants.add_terminal(
        terminal, [sealed(terminal.id, "api_key", MERCHANTS[3])], new_audit(MERCHANTS[3])
    )
    before = await pending(shops, "order-17", merchant_id=MERCHANTS[3], terminal_id=terminal.id, invoice_key="inv-17")
    one = await step(shops, before, Captured("inv-17", before.amount_rials, "bank-17"))
    other = await paid(shops, "order-17", "bank-18", merchant_id=MERCHANTS[1])
    assert await found(shops, Number.BANK_CODE, "bank-17") == {one.id}
    assert await found(shops, Number.INVOICE_KEY, "inv-17") == {one.id}
    assert await found(shops, Number.ORDER_ID, "order-17") == {one.id, other.id}
    for number in Number:
        assert await found(shops, number, "bank-1") == set()
    assert await shops.payments.find_ids(MERCHANTS[1], Number.ORDER_ID, "order-17") == [other.id]


async def test_a_number_is_found_by_its_beginning_of_all_merchants_and_of_one(shops: Store) -> None:
    made = []
    for number in (0, 1):
        own = new_terminal(MERCHANTS[number])
        key = sealed(own.id, "api_key", own.merchant_id)
        await shops.merchants.add_terminal(own, [key], new_audit(own.merchant_id))
        of_it = {"merchant_id": own.merchant_id, "terminal_id": own.id, "invoice_key": f"inv-{number}"}
        made.append(await pending(shops, f"order-{number}", **of_it))
    exact = await pending(shops, "order-", merchant_id=MERCHANTS[2], invoice_key="inv-")
    numbers = (Number.ORDER_ID, Number.INVOICE_KEY, Number.BANK_CODE, Number.TRACE_NUMBER)
    for beginning in ("order-", "inv-"):
        found_exact, begun = await shops.payments.find(None, numbers, [beginning])
        assert (found_exact, set(begun)) == ([exact.id], {exact.id, *(each.id for each in made)})
        assert await shops.payments.find(MERCHANTS[1], numbers, [beginning]) == ([], [made[1].id])
    assert await shops.payments.find(None, numbers, ["or", "order-2"]) == ([], [])
    for chars in (3, 4, 7, 12, 20):
        _, begun = await shops.payments.find(None, (Number.ID,), [made[0].id[:chars]])
        assert made[0].id in begun
        assert {each[:chars] for each in begun} == {made[0].id[:chars]}
        _, begun = await shops.payments.find(MERCHANTS[1], (Number.ID,), [made[0].id[:chars]])
        assert made[0].id not in begun
    assert (await shops.payments.find(None, (Number.ID,), [made[1].id]))[0] == [made[1].id]


async def test_a_number_is_found_behind_many_that_begin_so(shops: Store) -> None:
    exact = [await pending(shops, "n-1", merchant_id=each, invoice_key=f"k-{each}") for each in MERCHANTS]
    for number in range(FOUND_AT_MOST):
        await create(shops, new_payment(f"n-1{number:03}", merchant_id=MERCHANTS[0]))
    found_exact, begun = await shops.payments.find(None, (Number.ORDER_ID,), ["n-1"])
    assert set(found_exact) == {each.id for each in exact}
    assert len(begun) == FOUND_AT_MOST


async def test_an_amount_is_found_in_rials_and_in_toman_among_the_newest(shops: Store) -> None:
    await every_payment(shops)
    dear = await create(shops, new_payment("dear", merchant_id=MERCHANTS[2], amount_rials=990_010, at=NOW + 100))
    for amount in (990_010, 99_001):
        accepts = OrderMatch(str(amount)).accepts
        stretch = await shops.payments.ids_among_newest(MERCHANTS, FIRST_PLACE, accepts, 100, 9)
        assert (list(stretch.ids), stretch.reached) == ([dear.id], None)
    assert (await shops.payments.ids_among_newest(MERCHANTS[1:2], FIRST_PLACE, accepts, 100, 9)).ids == []
    newer = await create(shops, new_payment("newer", merchant_id=MERCHANTS[2], at=NOW + 200))
    stretch = await shops.payments.ids_among_newest(MERCHANTS[2:3], FIRST_PLACE, accepts, 1, 9)
    assert (list(stretch.ids), stretch.reached) == ([], place_of(newer.id))
    stretch = await shops.payments.ids_among_newest(MERCHANTS[2:3], place_of(newer.id), accepts, 1, 9)
    assert (list(stretch.ids), stretch.reached) == ([dear.id], place_of(dear.id))


async def test_money_that_came_otherwise_than_asked_is_found_by_its_bank_code(shops: Store) -> None:
    before = await pending(shops, "odd", merchant_id=MERCHANTS[4])
    odd = Captured(before.invoice_key or "", before.amount_rials + 1, "bank-odd")
    after = await step(shops, before, odd)
    assert after.status is Status.NEEDS_REVIEW
    assert await found(shops, Number.BANK_CODE, "bank-odd") == {after.id}


async def test_a_days_sums_come_in_stretches_that_add_up(shops: Store) -> None:
    mine = [each for each in await every_payment(shops) if each.merchant_id == MERCHANTS[0]]
    after, until, sums = id_at(MERCHANTS[0], place_at(NOW)), id_at(MERCHANTS[0], place_at(NOW + DAY)), list[DaySum]()
    while True:
        stretch = await shops.payments.day_sums((MERCHANTS[0], after, until), NOW, MINUTE, 3)
        sums += stretch.sums
        if stretch.reached is None:
            break
        after = stretch.reached
    assert {(each.mode, each.part) for each in sums} == {(p.mode, (p.created_at - NOW) // MINUTE) for p in mine}
    for status in Status:
        these = [each for each in sums if each.status is status]
        expected = [payment.amount_rials for payment in mine if payment.status is status]
        assert (sum(each.count for each in these), sum(each.amount_rials for each in these)) == (
            len(expected),
            sum(expected),
        )


OTHER_ID = "mer_ZZZZZZZZ"
CHECKED = Entry(NOW, "gateway.check", 5, {"outcome": "captured"})
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_an_empty_store_has_nothing_open_and_nothing_due(store: Store) -> None:
    statistics = await store.statistics.open_statistics(None, 10)
    assert (statistics.reached, sum(statistics.payments.values()), statistics.oldest) == (None, 0, {})
    assert await store.statistics.due_statistics() == DueStatistics(0, None, 0, None)
    assert (await store.statistics.audit(None, 0, 10)).violations == {}


async def test_open_payments_are_counted_by_status_with_the_oldest_of_each(store: Store) -> None:
    await add_merchant(store)
    await create(store, new_payment("a", created_at=NOW - HOUR))
    await pending(store, "b")
    await pending(store, "c")
    await paid(store, "d")
    statistics = await store.statistics.open_statistics(None, 10)
    assert {name: count for name, count in statistics.payments.items() if count} == {"created": 1, "pending": 2}
    assert statistics.oldest == {"created": NOW - HOUR, "pending": NOW}


async def test_a_review_is_open_until_somebody_resolved_it(store: Store) -> None:
    await add_merchant(store)
    before = await pending(store)
    less = replace(captured(before), amount_rials=1_000)
    review = await step(store, before, less)
    assert (await store.statistics.open_statistics(None, 10)).payments["needs_review"] == 1
    await step(store, review, OperatorDecision(Decision.REFUNDED, "sent back", "sara"))
    statistics = await store.statistics.open_statistics(None, 10)
    assert (statistics.payments["needs_review"], statistics.oldest) == (0, {})


async def test_merchants_are_walked_in_stretches(store: Store) -> None:
    for merchant_id in (MERCHANT_ID, OTHER_ID):
        await add_merchant(store, merchant_id)
        await add_endpoint(store, merchant_id)
    await add_endpoint(store, state=EndpointState.PAUSED)
    first = await store.statistics.open_statistics(None, 1)
    assert first.reached == min(MERCHANT_ID, OTHER_ID)
    second = await store.statistics.open_statistics(first.reached, 1)
    third = await store.statistics.open_statistics(second.reached, 1)
    assert third.reached is None
    states = [{name: count for name, count in each.endpoints.items() if count} for each in (first, second, third)]
    assert sorted(states, key=len) == [{}, {"enabled": 1}, {"enabled": 1, "paused": 1}]


async def test_what_is_due_is_counted_with_the_first_of_it(store: Store) -> None:
    await add_merchant(store)
    await add_endpoint(store)
    watched = await pending(store, "a")
    await paid(store, "b")
    await store.payments.transition(replace_watch(await change_nothing(store, watched.id), NOW + HOUR))
    statistics = await store.statistics.due_statistics()
    assert (statistics.deliveries, statistics.delivery_due_at) == (1, NOW)
    assert statistics.watches >= 1
    await store.webhooks.claim_deliveries(NOW, Lease(NOW + DAY, "t"), 10)
    assert (await store.statistics.due_statistics()).deliveries == 1, "one that is on its way is not delivered yet"


async def change_nothing(store: Store, payment_id: str) -> Change:
    payment = await store.payments.payment(MERCHANT_ID, payment_id)
    watch = await store.payments.check_schedule(MERCHANT_ID, payment_id)
    return Change(payment, payment, schedule=ScheduleChange(watch, watch))


def replace_watch(written: Change, due_at: int) -> Change:
    assert written.schedule is not None
    read = written.schedule.read
    assert read is not None
    later = replace(read, due_at=due_at, version=read.version + 1)
    return replace(written, schedule=ScheduleChange(read, later))


async def test_an_audit_finds_nothing_in_what_is_right(store: Store) -> None:
    await add_merchant(store)
    before = await pending(store)
    await step(store, before, captured(before), entries=(CHECKED,), schedule=ScheduleChange(None, None))
    await pending(store, "b")
    assert (await store.statistics.audit(None, 0, 10)).violations == {}


async def test_an_audit_finds_what_can_never_be(store: Store) -> None:
    await add_merchant(store)
    before = await pending(store)
    wrong = change(before, captured(before))
    after = replace(wrong.after, captured_rials=1)
    await store.payments.transition(replace(wrong, after=after, events=(), schedule=ScheduleChange(None, None)))
    unwatched = await pending(store, "b")
    watch = await store.payments.check_schedule(MERCHANT_ID, unwatched.id)
    await store.payments.transition(Change(unwatched, unwatched, schedule=ScheduleChange(watch, None)))
    found = (await store.statistics.audit(None, 0, 10)).violations
    assert found == {PAID_UNCHECKED: 1, PAID_AMOUNT: 1, PAID_UNTOLD: 1, PENDING_UNWATCHED: 1}
    assert (await store.statistics.audit(None, NOW + 1, 10)).violations == {}, "only what was created since then"


async def test_a_payments_trace_goes_over_to_its_events(store: Store) -> None:
    await add_merchant(store)
    await add_endpoint(store)
    payment = new_payment()
    await store.payments.create_payment(payment, replace(new_intent(), traceparent=TRACEPARENT), begin(payment))
    assert await store.payments.trace_of_payment(MERCHANT_ID, payment.id) == TRACEPARENT
    assert await store.payments.trace_of_link(MERCHANT_ID, payment.link) == TRACEPARENT
    await paid(store, "untraced")
    await step(store, payment, RequestRefused(100))
    claims = await store.webhooks.claim_deliveries(NOW, Lease(NOW + DAY, "t"), 10)
    assert {claim.event.payment_id: claim.event.traceparent for claim in claims}[payment.id] == TRACEPARENT
    assert [claim.event.traceparent for claim in claims if claim.event.payment_id != payment.id] == [None]


async def test_what_is_not_there_has_no_trace(store: Store) -> None:
    await add_merchant(store)
    payment = await create(store)
    assert await store.payments.trace_of_payment(MERCHANT_ID, payment.id) is None
    assert await store.payments.trace_of_payment(MERCHANT_ID, "pay_nothing") is None
    assert await store.payments.trace_of_link(OTHER_ID, payment.link) is None


async def walk(store: Store, since: int, limit: int) -> list[str]:
    """The ids in the order in which the walk gives them; it must end."""
    found: list[str] = []
    after = None
    for _ in range(1000):
        page = await store.payments.unsettled_since(since, after, limit)
        assert len(page.payments) <= limit
        found += [payment.id for payment in page.payments]
        after = page.reached
        if after is None:
            return found
    raise AssertionError("the walk does not end")


async def one_of_each(store: Store, merchant_id: str, at: int) -> tuple[list[Payment], list[Payment]]:
    """Payments that the walk gives, and such that it does not."""
    options: dict[str, Any] = {"merchant_id": merchant_id, "at": at}
    order = IDS.random(6)
    open_one = await pending(store, order, **options)
    canceled = await pending(store, order, **options)
    canceled = await step(store, canceled, Canceled(canceled.invoice_key or ""))
    expired = await pending(store, order, **options)
    expired = await step(store, expired, NotPaid(expired.invoice_key or ""), now=expired.expires_at)
    failed = await step(store, await create(store, new_payment(order, **options)), RequestRefused(101))
    failed = await step(store, failed, InvoiceIssued(IDS.random(12)))
    asked = await create(store, new_payment(order, **options))
    done = await paid(store, f"{order}-paid", **options)
    odd = await pending(store, order, **options)
    odd = await step(store, odd, replace(captured(odd), amount_rials=1000))
    assert [each.status for each in (canceled, expired, failed, odd)] == [
        Status.CANCELED,
        Status.EXPIRED,
        Status.FAILED,
        Status.NEEDS_REVIEW,
    ]
    return [open_one, canceled, expired, failed], [asked, done, odd]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
async def test_it_gives_every_payment_once_by_merchant_and_age_and_skips_what_is_settled(
    store: Store, limit: int
) -> None:
    merchants = sorted(IDS.merchant() for _ in range(3))
    expected: list[str] = []
    for merchant_id in merchants:
        await add_merchant(store, merchant_id)
        given: list[Payment] = []
        for age in (2, 1):
            given += (await one_of_each(store, merchant_id, NOW - age * HOUR))[0]
        expected += sorted(payment.id for payment in given)
    assert await walk(store, NOW - 3 * HOUR, limit) == expected


async def test_it_begins_at_the_time_and_not_before(store: Store) -> None:
    merchant = await add_merchant(store)
    before, at, later = [
        await pending(store, str(moment), merchant_id=merchant.id, at=moment) for moment in (NOW - 1, NOW, NOW + 1)
    ]
    assert await walk(store, NOW, 10) == [at.id, later.id]
    assert await walk(store, NOW - 1, 10) == [before.id, at.id, later.id]
    assert await walk(store, NOW + 2, 10) == []


async def test_what_is_settled_while_it_goes_on_is_left_out_and_the_rest_still_given(store: Store) -> None:
    merchant = await add_merchant(store)
    payments = [await pending(store, str(n), merchant_id=merchant.id, at=NOW + n) for n in range(4)]
    first = await store.payments.unsettled_since(NOW, None, 2)
    assert [payment.id for payment in first.payments] == [payment.id for payment in payments[:2]]
    await step(store, payments[2], captured(payments[2]))
    rest = await store.payments.unsettled_since(NOW, first.reached, 2)
    assert [payment.id for payment in rest.payments] == [payments[3].id]
    assert rest.payments[0] == payments[3]


async def test_many_merchants_with_nothing_are_passed_in_bounded_steps(store: Store) -> None:
    ids = sorted(IDS.merchant() for _ in range(450))
    for merchant_id in ids:
        await add_merchant(store, merchant_id)
    last = await pending(store, merchant_id=ids[-1], at=NOW)
    steps, after, found = 0, None, []
    while steps == 0 or after is not None:
        page = await store.payments.unsettled_since(NOW, after, 10)
        found += list(page.payments)
        after, steps = page.reached, steps + 1
        assert steps < 20
    assert found == [last]
    assert steps > 1, "one step looked at every merchant"


async def test_a_store_without_merchants_has_nothing(store: Store) -> None:
    page = await store.payments.unsettled_since(NOW, None, 10)
    assert (list(page.payments), page.reached) == ([], None)
    page = await store.payments.unsettled_since(NOW, Ids(bytes).merchant(), 10)
    assert (list(page.payments), page.reached) == ([], None)


async def test_a_restore_goes_back_to_when_the_store_was_last_seen_to_be_written(store: Store) -> None:
    assert await store.recovery.next_recheck_at() is None
    await store.heartbeat.ping()
    assert await store.recovery.note_restore(None, NOW + 5000) == NOW
    assert await store.recovery.next_recheck_at() == NOW + 5000
    assert await store.recovery.claim_recheck(NOW + 5000, NOW + 9000) == Recheck(NOW + 5000, NOW, NOW + 9000)


async def test_a_walk_is_one_processs_until_its_lease_is_over(store: Store) -> None:
    await store.recovery.note_restore(NOW - 1, NOW)
    assert await store.recovery.claim_recheck(NOW - 1, NOW + 50) is None
    held = await store.recovery.claim_recheck(NOW, NOW + 50)
    assert held is not None
    assert await store.recovery.claim_recheck(NOW + 49, NOW + 99) is None
    other = await store.recovery.claim_recheck(NOW + 50, NOW + 99)
    assert other is not None
    await store.recovery.save_recheck(held, None)
    await store.recovery.save_recheck(held, replace(held, reached="pay_late"))
    assert await store.recovery.next_recheck_at() == NOW + 99
    await store.recovery.save_recheck(other, replace(other, reached="pay_1", unclear=2, due_at=NOW + 60))
    again = await store.recovery.claim_recheck(NOW + 60, NOW + 70)
    assert again == Recheck(NOW, NOW - 1, NOW + 70, "pay_1", 2)
    await store.recovery.save_recheck(again, None)
    assert await store.recovery.next_recheck_at() is None


async def test_the_older_walk_comes_first(store: Store) -> None:
    await store.recovery.note_restore(NOW - 100, NOW)
    await store.recovery.note_restore(NOW - 50, NOW + 10)
    held = await store.recovery.claim_recheck(NOW + 10, NOW + 20)
    assert held is not None
    assert held.noted_at == NOW
    await store.recovery.save_recheck(held, None)
    held = await store.recovery.claim_recheck(NOW + 10, NOW + 20)
    assert held is not None
    assert (held.noted_at, held.moment) == (NOW + 10, NOW - 50)


async def test_events_are_numbered_on_behind_those_that_may_have_been_told_of(store: Store) -> None:
    await records.add_merchant(store)
    await records.add_endpoint(store)
    await records.paid(store, "order-1")
    before = await store.webhooks.last_sequence(MERCHANT_ID)
    await store.recovery.note_restore(None, NOW)
    await records.paid(store, "order-2")
    assert before == 1
    assert await store.webhooks.last_sequence(MERCHANT_ID) == before + 1_000_001
