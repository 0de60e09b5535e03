"""Due times further ahead than their schedule allows, left by a clock that was ahead.

Each walk goes in pages by an index, a step for each, so nothing waits for long; a row that somebody else has written
since it was read is left to them, so replicas may walk at once.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

from proxy.database.repository import Repository
from proxy.database.transaction import Row, Transaction
from proxy.kernel.clock import MINUTE, SECOND
from proxy.payments.check_schedule import GAPS, JITTER, SOON
from proxy.payments.creation import REQUEST_LEASE
from proxy.webhooks.retry_policy import DEFAULT_SCHEDULE, LONGEST_PROBE_PAUSE, LONGEST_RETRY_AFTER, RetrySchedule
from proxy.webhooks.retry_policy import JITTER as RETRY_JITTER
from proxy.webhooks.storage.queue import Key, pull_in_queue

PAGE: Final = 500
# What no watch waits less than: leases, and what an open circuit breaker puts off.
LEAST_WAIT: Final = 10 * MINUTE
# A create that began since `now` was read, here or at another replica, keeps its lease.
LONGEST_LEASE: Final = 2 * REQUEST_LEASE
# A turn that was served later than now tells by itself that the clock was ahead.
_TOLERANCE: Final = 5 * SECOND


class DueTimeRepository(Repository):
    async def pull_in(self, now: int, *, strictly: bool, schedule: RetrySchedule = DEFAULT_SCHEDULE) -> dict[str, int]:
        """How many due times were pulled in, by kind. `strictly` ignores pauses that an endpoint requested; `schedule`
        is that of the deliveries.
        """
        leases = await self._write.do(
            lambda transaction: transaction.run("pull_in_request_leases", (now, now + LONGEST_LEASE))
        )
        watches = await self._pull_in_watches(now)
        queues = await self._pull_in_queues(schedule, now, strictly=strictly)
        rechecks = await self._write.do(partial(_pull_in_recheck, now=now))
        return {"watches": watches, "deliveries": queues, "leases": leases, "rechecks": rechecks}

    async def _pull_in_watches(self, now: int) -> int:
        pulled, place = 0, (now + LEAST_WAIT, "", "")
        while True:
            rows = await self._rows("watches_behind", (*place, PAGE))
            beyond = [(row[0], row[1], row[2], row[4], now) for row in rows if row[2] > now + _longest_wait(row)]
            if beyond:
                pulled += await self._write.do(partial(_move_watches, rows=beyond))
            if len(rows) < PAGE:
                return pulled
            place = (rows[-1][2], rows[-1][0], rows[-1][1])

    async def _pull_in_queues(self, schedule: RetrySchedule, now: int, *, strictly: bool) -> int:
        pulled, place = 0, ("", "")
        while True:
            rows = await self._rows("turns_behind", (*place, PAGE))
            for row in rows:
                if strictly or _was_ahead(row, schedule, now):
                    pulled += await self._pull_in_queue((row[0], row[1]), schedule, now)
            if len(rows) < PAGE:
                return pulled
            place = (rows[-1][0], rows[-1][1])

    async def _pull_in_queue(self, key: Key, schedule: RetrySchedule, now: int) -> int:
        pulled, after = 0, 0
        while True:
            count, reached = await self._write.do(
                partial(pull_in_queue, key=key, schedule=schedule, now=now, after=after, page=PAGE), key[0]
            )
            pulled += count
            if reached is None:
                return pulled
            after = reached


async def _move_watches(transaction: Transaction, rows: Sequence[Row]) -> int:
    return sum([await transaction.run("pull_in_watch", row) for row in rows])


async def _pull_in_recheck(transaction: Transaction, now: int) -> int:
    """Pulls in the oldest recheck, which is the next to continue."""
    row = await transaction.row("first_recheck", (0,))
    if row is None or row[2] <= now + LEAST_WAIT:
        return 0
    return await transaction.run("save_recheck", (row[0], row[2], now, row[3], row[4]))


def _longest_wait(row: Row) -> int:
    """The longest wait of a schedule now; rows of older code have no point, and a check is cheap."""
    _, _, _, soon, _, point = row
    wait = SOON[soon] if soon is not None else 0 if point is None else GAPS[min(point, len(GAPS) - 1)]
    return max(LEAST_WAIT, round(wait * (1 + JITTER))) + SECOND


def _was_ahead(row: Row, schedule: RetrySchedule, now: int) -> bool:
    _, _, due_at, served_at, failing_since, paused_until = row
    longest = now + (LONGEST_RETRY_AFTER * SECOND) + LONGEST_PROBE_PAUSE
    known_until = max(served_at, failing_since or 0) > now + _TOLERANCE
    furthest = now + max(2 * LONGEST_RETRY_AFTER * SECOND, round(max(schedule.delays) * (1 + RETRY_JITTER)))
    return known_until or paused_until > longest or (due_at or 0) > furthest
