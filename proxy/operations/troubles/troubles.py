"""The look at everything that may be wrong: bounded, shared by all who ask, and kept for a few seconds."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import structlog

from proxy.kernel.clock import SECOND, Now
from proxy.operations.troubles.trouble import RANKS, Trouble, TroubleKind

log = structlog.get_logger()

KEEP: Final = 5 * SECOND
FIRST_WAIT_SECONDS: Final = 2.0
WAIT_SECONDS: Final = 0.1

Source = Callable[[], Awaitable[Sequence[Trouble]]]
"""Where troubles are read; it may raise when the database does not answer."""


def ordered(troubles: Iterable[Trouble]) -> list[Trouble]:
    """Urgent ones first, then by kind and since when."""
    return sorted(troubles, key=lambda each: (not each.urgent, RANKS[each.kind], each.since, each.subject))


class Troubles:
    """`now()` gives what is wrong. A source that fails keeps what it told last, so that nothing looks mended because it
    cannot be read.
    """

    def __init__(self, sources: Sequence[Source], now: Now) -> None:
        self._sources = sources
        self._now = now
        self._told: dict[int, Sequence[Trouble]] = {}
        self._failing_since: int | None = None
        self._task: asyncio.Task[None] | None = None
        self.looked_at: int | None = None
        """When the last whole look ended; None before the first."""

    async def now(self) -> Sequence[Trouble]:
        """What is wrong, urgent first, then by kind and since when.

        Returns within WAIT_SECONDS, and before the first look within FIRST_WAIT_SECONDS: a look that takes longer goes
        on, and the one before is shown.
        """
        if self._task is None:
            if self.looked_at is not None and 0 <= self._now() - self.looked_at < KEEP:
                return self._all()
            self._task = asyncio.create_task(self._look(), name="troubles")
        first = self.looked_at is None and self._failing_since is None
        await asyncio.wait([self._task], timeout=FIRST_WAIT_SECONDS if first else WAIT_SECONDS)
        return self._all()

    async def stop(self) -> None:
        """Ends a look that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _look(self) -> None:
        try:
            told = await asyncio.gather(*(source() for source in self._sources), return_exceptions=True)
        finally:
            self._task = None
        failed = [each for each in told if isinstance(each, BaseException)]
        for place, each in enumerate(told):
            if not isinstance(each, BaseException):
                self._told[place] = each
        for error in failed:
            log.warning("troubles_failed", error=type(error).__name__)
        if failed:
            self._failing_since = self._failing_since or self._now()
        else:
            self._failing_since, self.looked_at = None, self._now()

    def _all(self) -> Sequence[Trouble]:
        found = {trouble.key: trouble for told in self._told.values() for trouble in told}
        unread = self._unread()
        if unread is not None:
            found.setdefault(unread.key, unread)
        return ordered(found.values())

    def _unread(self) -> Trouble | None:
        """The trouble that the rest could not be read."""
        if self._failing_since is None:
            return None
        return Trouble(TroubleKind.DATABASE_UNAVAILABLE, "", None, self._failing_since, 1, urgent=True)
