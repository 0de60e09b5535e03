"""The pace of a resend at one endpoint: what was answered is counted, and as much becomes due as there is room for.

Each look is a transaction with a bounded number of deliveries, in which the deliveries, the place and the figures are
written together: a process that dies leaves nothing half done, and whichever process looks next goes on there.
"""

from typing import Any, Final

import orjson

from proxy.database.transaction import Row, Transaction
from proxy.kernel.clock import DAY, MINUTE, SECOND
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import DELIVERY, base62, merchant_key, partition_of
from proxy.webhooks.endpoint import Endpoint
from proxy.webhooks.resend import ResendFilter
from proxy.webhooks.retry_policy import DeliveryStatus
from proxy.webhooks.storage.queue import AT_ONCE, EndpointQueue, read_queue

WINDOW: Final = 200
"""A resend makes deliveries due at an endpoint while fewer are: a new event waits for so many there, not for all
that is sent again.
"""
LONGEST: Final = 7 * DAY
"""Then what an endpoint that does not answer has not taken is left as it is."""
FIRST_PAUSE: Final = SECOND // 4
LONGEST_PAUSE: Final = 30 * SECOND
AHEAD: Final = MINUTE
"""What is due later was planned by a clock that was ahead."""
_LOOKED_AT: Final = 500
_END: Final = "~"

Key = tuple[str, str, str]
"""Of an endpoint in a resend: merchant, endpoint, resend."""


@dataclass(slots=True)
class _Look:
    """An endpoint of a resend as it is read and written. `waiting` has the deliveries that are due again and have had
    no answer yet: by id, how many attempts came before, and when it was made due.
    """

    key: Key
    filter: ResendFilter
    created_at: int
    stopped: bool
    reached: str | None
    waiting: dict[str, list[int]]
    requeued: int
    delivered: int
    failed: int
    changed_at: int

    @classmethod
    def of(cls, key: Key, row: Row) -> "_Look":
        reached, waiting, requeued, delivered, failed, changed_at, _, created_at, wanted, stopped_at = row
        figures = (requeued, delivered, failed, changed_at)
        wanted = ResendFilter.of(orjson.loads(wanted))
        return cls(key, wanted, created_at, stopped_at is not None, reached, orjson.loads(waiting), *figures)

    def row(self, now: int, *, over: bool) -> Row:
        pause = min(max((now - self.changed_at) // 4, FIRST_PAUSE), LONGEST_PAUSE)
        ends = (None, now) if over else (now + pause, None)
        figures = (self.requeued, self.delivered, self.failed, self.changed_at)
        return (*self.key, self.reached, orjson.dumps(self.waiting).decode(), *figures, *ends)


async def advance(transaction: Transaction, key: Key, now: int) -> int:
    """One look at an endpoint, if it is due: how many deliveries became due."""
    row = await transaction.row("resend_endpoint", key)
    if row is None or row[6] is None or now < row[6] <= now + AHEAD:
        return 0
    look = _Look.of(key, row)
    queue = await read_queue(transaction, key[:2])
    await _count_answers(transaction, look, now)
    requeued = 0
    if look.stopped:
        look.reached = _END
    elif queue is not None and not queue.held and look.reached != _END:
        requeued = await _requeue(transaction, look, queue, now)
    done = look.reached == _END and not look.waiting
    over = done or queue is None or now > look.created_at + LONGEST
    await transaction.run("save_resend_endpoint", look.row(now, over=over))
    return requeued


async def _count_answers(transaction: Transaction, look: _Look, now: int) -> None:
    """Takes those from `waiting` that were answered: a success, or a failure after which the schedule goes on."""
    asked = orjson.dumps([[each, partition_of(each)] for each in look.waiting]).decode()
    rows = await transaction.rows("states_of_deliveries", (look.key[0], asked)) if look.waiting else ()
    states = {row[0]: row[1:] for row in rows}
    for delivery_id, (attempts_before, due_before) in list(look.waiting.items()):
        status, attempts, due_at = states.get(delivery_id, (DeliveryStatus.DROPPED, 0, None))
        delivered = status == DeliveryStatus.DELIVERED
        # A claim that was lost leaves the time as it was: the delivery goes out again at once.
        failed = due_at is None or (attempts > attempts_before and due_at > due_before)
        if delivered or failed:
            del look.waiting[delivery_id]
            look.delivered += delivered
            look.failed += not delivered
            look.changed_at = now


async def _requeue(transaction: Transaction, look: _Look, queue: EndpointQueue, now: int) -> int:
    """Makes the next deliveries due, as many as there is room for. The first one to an endpoint that is held back goes
    at once and alone, as any that a person sends again.
    """
    first = look.requeued == 0
    chosen = await _choose(transaction, look, queue, now)
    rows = [row for row in (_requeued_row(look, queue, each, now) for each in chosen) if row is not None]
    if first and rows and queue.health.holds_back(now):
        rows[0] = (*rows[0][:2], AT_ONCE, *rows[0][3:])
        await transaction.run("call_turn", (*queue.key, AT_ONCE))
    await transaction.run_all("requeue_delivery", rows)
    if chosen:
        await transaction.run("hasten_turn", (*queue.key, now))
        look.requeued += len(chosen)
        look.changed_at = now
    return len(chosen)


async def _choose(transaction: Transaction, look: _Look, queue: EndpointQueue, now: int) -> list[Row]:
    """The next deliveries for which there is room, the first of all in any case. What is due takes none there: it is
    in the endpoint's queue already.
    """
    [(due,)] = await transaction.rows("count_due", (*queue.key, now, WINDOW))
    least = int(look.requeued == 0)
    room, room_in_queue = max(WINDOW - len(look.waiting), least), max(WINDOW - due, least)
    chosen: list[Row] = []
    for row in await _next_rows(transaction, look, queue.endpoint) if room else ():
        wanted, is_due = len(row) > 1, len(row) > 1 and row[2] is not None and row[2] <= now
        if wanted and (len(chosen) == room or (not is_due and room_in_queue == 0)):
            break
        look.reached = row[0]
        if wanted:
            room_in_queue -= not is_due
            chosen.append(row)
    return chosen


async def _next_rows(transaction: Transaction, look: _Look, endpoint: Endpoint) -> list[Row]:
    """The next deliveries; of those that the filter leaves out, and of the end, only the place."""
    first, last = bounds(endpoint.merchant_id, look.filter)
    found: list[Any] = []
    more = False
    for status in sorted(look.filter.statuses):
        span = (*look.key[:2], status.value, look.reached or first, last, *look.filter.partitions, _LOOKED_AT)
        rows = await transaction.rows("deliveries_in_status", span)
        more = more or len(rows) == _LOOKED_AT
        found += rows
    found = sorted(found, key=lambda row: row[0])[: _LOOKED_AT if more else None]
    wanted = [row if _is_wanted(look, endpoint, row) else row[:1] for row in found]
    return wanted if more else [*wanted, (_END,)]


def _is_wanted(look: _Look, endpoint: Endpoint, row: Row) -> bool:
    """What was delivered since the resend was asked for is not sent another time."""
    _, _, _, delivered_at, event_type, mode, storefront = row
    since_then = delivered_at is not None and delivered_at > look.created_at
    return not since_then and look.filter.accepts(endpoint, event_type, mode, storefront)


def _requeued_row(look: _Look, queue: EndpointQueue, row: Row, now: int) -> Row | None:
    """The parameters that make a delivery due; None for one that is on its way. What is due earlier stays so."""
    delivery_id, attempts, due_at = row[:3]
    if queue.in_flight.is_live(delivery_id, now):
        look.waiting[delivery_id] = [attempts, now]
        return None
    lost = int(delivery_id in queue.in_flight)
    look.waiting[delivery_id] = [attempts + lost, now]
    due = now if due_at is None else min(due_at, now)
    return (look.key[0], delivery_id, due, lost, partition_of(delivery_id))


def bounds(merchant_id: str, wanted: ResendFilter) -> tuple[str, str]:
    """The ids between which an endpoint's deliveries of the filter are, both excluded."""
    prefix = f"{DELIVERY}_{merchant_key(merchant_id)}"
    return f"{prefix}{base62(wanted.since, 8)}", f"{prefix}{base62(wanted.until, 8)}"
