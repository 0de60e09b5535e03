"""The watcher: asks the gateway about payments whose customer has not come back, or whose outcome is unclear.

A watch is claimed by moving its due time to the end of a lease, so a watcher that dies leaves it to be found again.
"""

from dataclasses import replace
from typing import Final

import structlog

from proxy.checkout import Checkout
from proxy.clock import SECOND
from proxy.facts import TimeUp
from proxy.gate import Gate
from proxy.loops import Tasks
from proxy.payment import Payment
from proxy.ports import Now, Store
from proxy.records import Change
from proxy.settlement import Settlement
from proxy.watch import Watch

log = structlog.get_logger()

# Longer than waiting for a slot and the call itself: a second watcher then asks once more, which does no harm.
LEASE: Final = 45 * SECOND
MAX_AT_ONCE: Final = 128
# How long a watch waits when its terminal's calls in flight are at their limit.
BUSY_PAUSE: Final = 2 * SECOND


class Watcher:
    """`step` claims and starts what can start now; `tasks` holds what runs."""

    def __init__(
        self,
        store: Store,
        checkout: Checkout,
        settlement: Settlement,
        gate: Gate,
        now: Now,
        *,
        max_at_once: int = MAX_AT_ONCE,
    ) -> None:
        self._store = store
        self._checkout = checkout
        self._settlement = settlement
        self._gate = gate
        self._now = now
        self._max_at_once = max_at_once
        self.tasks = Tasks(max_at_once)

    async def step(self) -> int | None:
        """Starts a check of each due watch that there is room for; gives when the next one is due."""
        room = self._max_at_once - len(self.tasks)
        if room <= 0:
            return self._now() + SECOND
        now = self._now()
        for payment, due in await self._store.claim_watches(now, now + LEASE, room):
            self.tasks.start(self._look(payment, due))
        return await self._store.next_watch_at()

    async def _look(self, payment: Payment, due: Watch) -> None:
        try:
            await self._check(payment, due)
        except Exception:
            # The lease runs out by itself, and somebody looks again.
            log.exception("watch_failed", payment_id=payment.id, merchant_id=payment.merchant_id)

    async def _check(self, payment: Payment, due: Watch) -> None:
        if not payment.invoice_keys():
            await self._settlement.settle(payment, TimeUp(), plan=due, read=due)
            return
        if not payment.open_invoice_keys():
            # A return that raced with the last capture began it anew: without an end it would be claimed for ever.
            await self._store.transition(Change(payment, payment, watch=None, watch_read=due))
            return
        pause = self._pause(payment.terminal_id)
        if pause > 0:
            later = replace(due, due_at=self._now() + pause, version=due.version + 1)
            await self._store.transition(Change(payment, payment, watch=later, watch_read=due))
            return
        await self._checkout.check(payment, read=due, plan=due)

    def _pause(self, terminal_id: str) -> int:
        """How long to put off a watch of this terminal, without counting it as asked; 0 when it can be asked now."""
        spared = self._gate.spared_for(terminal_id)
        if spared > 0:
            return spared
        return 0 if self._gate.has_room(terminal_id) else BUSY_PAUSE
