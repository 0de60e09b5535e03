"""Watches the process clock, and pulls in due times that a clock ahead of time left in the future."""

from collections.abc import Callable
from typing import Final

import structlog

from proxy.database.repository import Heartbeat
from proxy.kernel.clock import AGAIN_AFTER, BEAT_EVERY, LOOK_EVERY, NOTABLE, ProcessClock, system_now
from proxy.operations.storage.due_times import DueTimeRepository
from proxy.webhooks.retry_policy import DEFAULT_SCHEDULE, RetrySchedule

log = structlog.get_logger()

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
