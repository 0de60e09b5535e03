"""Watches the process clock, and pulls in due times that a clock ahead of time left in the future."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import structlog

from proxy.database.repository import Heartbeat, Repository
from proxy.database.transaction import Row, Transaction
from proxy.kernel.clock import AGAIN_AFTER, BEAT_EVERY, LOOK_EVERY, MINUTE, NOTABLE, SECOND, ProcessClock, system_now
from proxy.payments.check_schedule import GAPS, JITTER, SOON
from proxy.payments.creation import REQUEST_LEASE
from proxy.webhooks.retry_policy import DEFAULT_SCHEDULE, LONGEST_PROBE_PAUSE, LONGEST_RETRY_AFTER, RetrySchedule
from proxy.webhooks.retry_policy import JITTER as RETRY_JITTER
from proxy.webhooks.storage.queue import Key, pull_in_queue

log = structlog.get_logger()

PAGE: Final = 500
# What no watch waits less than: leases, and what an open circuit breaker puts off.
LEAST_WAIT: Final = 10 * MINUTE
# A create that began since `now` was read, here or at another replica, keeps its lease.
LONGEST_LEASE: Final = 2 * REQUEST_LEASE
# A turn that was served later than now tells by itself that the clock was ahead.
_TOLERANCE: Final = 5 * SECOND


class DueTimeRepository(Repository):
    """Due times further ahead than their schedule allows, left by a clock that was ahead.

    Each walk goes in pages by an index, a step for each, so nothing waits for long; a row that somebody else has
    written since it was read is left to them, so replicas may walk at once.
    """

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


# Between two looks: the process, or its machine, did not run.
PAUSED: Final = 10 * LOOK_EVERY


class ClockWatch:
    """`step` reads the clocks once a second, and pulls in due times that a clock ahead of time has left behind.

    It begins with the heartbeat of the process before: one in the future shows that the clock was ahead then.
    """

    def __init__(
        self,
        heartbeat: Heartbeat,
        due_times: DueTimeRepository,
        clock: ProcessClock,
        look: Callable[[], None],
        wall: Callable[[], int] = system_now,
        on_pulled_in: Callable[[], None] = lambda: None,
        schedule: RetrySchedule = DEFAULT_SCHEDULE,
    ) -> None:
        self._heartbeat = heartbeat
        self._due_times = due_times
        self.clock = clock
        self._look = look
        self._wall = wall
        self._schedule = schedule
        self._begun = False
        self._pending = True
        self._strictly = False
        self._beat_at = 0
        self._looked_at = clock.steady()
        self._again_at: int | None = None
        self._again_strictly = False
        self.pulled_in = 0
        self._on_pulled_in = on_pulled_in
        clock.on_jump = self._jumped

    @property
    def skew(self) -> int:
        """By how many milliseconds the process's clock, which on PostgreSQL is the database's, is before ours."""
        return self.clock.now() - self._wall()

    async def step(self) -> int | None:
        self._look()
        if not self._begun:
            await self.begin()
        self._walk_again_if_due()
        await self._beat()  # before the walk, so that the next start knows of a clock that is ahead
        if self._pending:
            await self._pull_in()
        await self._beat()
        return self.clock.now() + LOOK_EVERY

    async def begin(self) -> None:
        """Reads the heartbeat of the process before. Nobody may ask about skipped times before it."""
        (beat, settled_at), now = await self._heartbeat.last_heartbeat(), self.clock.now()
        # Older code left none, and its heartbeat is the newest time that it saw.
        self.clock.settle(beat or None if settled_at is None else settled_at)
        if beat > now + NOTABLE:
            self._strictly = True
            log.warning("clock_was_ahead", milliseconds=beat - now)
        elif beat:
            self.clock.skip(beat, now)
        self._begun = True

    async def _beat(self) -> None:
        """Until the second walk is done the heartbeat of a clock that was ahead does not go back."""
        if self.clock.steady() >= self._beat_at:
            was_ahead = self._strictly or self._again_strictly
            await self._heartbeat.ping(None if was_ahead else self.clock.settled())
            self._beat_at = self.clock.steady() + BEAT_EVERY

    def _walk_again_if_due(self) -> None:
        """Plans the second walk after a jump once the process has run on for long enough; a pause does not count."""
        looked_at, self._looked_at = self._looked_at, self.clock.steady()
        if self._again_at is None:
            return
        if self._looked_at - looked_at > PAUSED:
            self._again_at = self._looked_at + AGAIN_AFTER
        elif self._looked_at >= self._again_at:
            self._pending, self._strictly = True, self._strictly or self._again_strictly
            self._again_at, self._again_strictly = None, False

    async def _pull_in(self) -> None:
        """One walk; a jump meanwhile asks for another."""
        strictly, self._pending, self._strictly = self._strictly, False, False
        try:
            counts = await self._due_times.pull_in(self.clock.now(), strictly=strictly, schedule=self._schedule)
        except BaseException:
            self._pending, self._strictly = True, strictly or self._strictly
            raise
        if strictly:
            self._beat_at = 0
        for kind, count in counts.items():
            if count:
                self.pulled_in += count
                log.warning("due_times_pulled_in", kind=kind, count=count)
        self._on_pulled_in()

    def _jumped(self, jump: int) -> None:
        self._pending, self._beat_at = True, 0  # the next start must know, even if this process dies soon
        self._strictly = self._strictly or jump < 0
        self._again_strictly = self._again_strictly or self._strictly  # an earlier jump's second walk may be to come
        self._again_at = self.clock.steady() + AGAIN_AFTER
