"""When tokens were last used: noted beside the requests, and written together now and then.

A token's row is read every two seconds at most, which is when a use is noticed; it is written once a minute at most.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from proxy.audit.log import INSTALLATION
from proxy.kernel.clock import MINUTE, SECOND, Now
from proxy.kernel.errors import StoreUnavailable
from proxy.merchants.merchant import Token
from proxy.operators.records import Operator, TokenUse

WRITTEN_EVERY: Final = 5 * SECOND
WRITTEN_AGAIN: Final = MINUTE
# Beyond it a use goes unnoticed until the next writing: what is noted is a help to people, and no request waits for it.
MAX_NOTED: Final = 10_000


class TokenUsage:
    def __init__(self, write: Callable[[Sequence[TokenUse]], Awaitable[None]], now: Now) -> None:
        self._write = write
        self._now = now
        self._noted: dict[tuple[str, str], TokenUse] = {}

    def token_used(self, token: Token) -> None:
        self._note(token.merchant_id, token.id, token.last_used_at)

    def operator_used(self, operator: Operator) -> None:
        self._note(INSTALLATION, operator.id, operator.last_used_at)

    async def step(self) -> int:
        """Writes the noted uses; gives the time of the next step."""
        noted, self._noted = self._noted, {}
        if noted:
            await self._write(list(noted.values()))
        return self._now() + WRITTEN_EVERY

    async def end(self) -> None:
        """The last step, which is no reason to end with an error."""
        with suppress(StoreUnavailable):
            await self.step()

    def _note(self, merchant_id: str, record_id: str, before: int | None) -> None:
        now = self._now()
        known = before is not None and now - before < WRITTEN_AGAIN
        if not known and len(self._noted) < MAX_NOTED:
            self._noted.setdefault((merchant_id, record_id), TokenUse(merchant_id, record_id, now))
