"""The delivery of webhooks: claim by lease, commit, sign and send, record by compare-and-set. No transaction is ever
open across HTTP, and an attempt is counted at its claim, so that one that died is visible.
"""

from typing import Final

import structlog

from proxy import __version__, webhook
from proxy.clock import SECOND
from proxy.errors import LeaseLost
from proxy.ids import Ids
from proxy.loops import Tasks
from proxy.ports import Jitter, Now, Sender, Store, Vault
from proxy.records import Answer, Attempt, Claim, Outgoing, Recorded
from proxy.webhook import DeliveryStatus

log = structlog.get_logger()

# The longest attempt and five seconds more: a shorter lease would have two workers send.
LEASE: Final = 25 * SECOND
MAX_IN_FLIGHT: Final = 256


class Delivery:
    """`step` claims and starts what can start now; `tasks` holds what is in flight."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        sender: Sender,
        ids: Ids,
        now: Now,
        jitter: Jitter,
        *,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        self._store = store
        self._vault = vault
        self._sender = sender
        self._ids = ids
        self._now = now
        self._jitter = jitter
        self._max_in_flight = max_in_flight
        self.tasks = Tasks(max_in_flight)

    async def step(self) -> int | None:
        """Starts an attempt of each due delivery that there is room for; gives when the next one is due."""
        room = self._max_in_flight - len(self.tasks)
        if room <= 0:
            return self._now() + SECOND
        now = self._now()
        for claim in await self._store.claim_deliveries(now, now + LEASE, room, self._ids.random(12)):
            self.tasks.start(self._attempt(claim))
        return await self._store.next_delivery_at()

    async def _attempt(self, claim: Claim) -> None:
        try:
            started = self._now()
            answer = await self._sender.send(await self._outgoing(claim, started))
            await self._store.record_attempt(self._recorded(claim, started, answer))
        except LeaseLost:
            log.warning("delivery_lease_lost", delivery_id=claim.delivery_id, merchant_id=claim.merchant_id)
        except Exception:
            # The attempt stays as `unknown`, the lease runs out, and the delivery is tried again.
            log.exception("delivery_failed", delivery_id=claim.delivery_id, merchant_id=claim.merchant_id)

    async def _outgoing(self, claim: Claim, now: int) -> Outgoing:
        """The message as it leaves now: keys and URL are read at send time, timestamp and signature are new."""
        sealed = await self._store.secrets(claim.merchant_id, claim.endpoint.id)
        keys = [self._vault.open(secret) for secret in sealed if secret.name.startswith("signing:")]
        seconds = now // SECOND
        return Outgoing(
            claim.endpoint.url,
            {
                **claim.endpoint.headers,
                "content-type": "application/json",
                "user-agent": f"Dargah/{__version__}",
                "webhook-id": claim.event.id,
                "webhook-timestamp": str(seconds),
                "webhook-signature": webhook.sign(keys, claim.event.id, seconds, claim.event.body),
            },
            claim.event.body,
        )

    def _recorded(self, claim: Claim, started: int, answer: Answer) -> Recorded:
        outcome = "delivered" if answer.delivered else "failed"
        attempt = Attempt(
            claim.attempt, started, answer.duration_ms, outcome, answer.status, answer.error, answer.excerpt
        )
        if answer.delivered:
            return Recorded(claim, attempt, DeliveryStatus.DELIVERED, None)
        due_at = webhook.retry_at(claim.attempt, self._now(), self._jitter())
        status = DeliveryStatus.FAILED if due_at is None else DeliveryStatus.PENDING
        return Recorded(claim, attempt, status, due_at)
