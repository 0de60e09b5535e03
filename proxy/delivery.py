"""The delivery engine: claim by lease, commit, sign and send, record by compare-and-set, and go on.

No transaction is ever open across HTTP, and an attempt is counted at its claim, so that one that died is visible. The
store claims only what may start now: enabled endpoints in turn, a few at once of each, one at a time of those that do
not answer. A recorded attempt brings the endpoint's next delivery with it while nobody else is waiting for the place.
"""

from itertools import count
from typing import Final

import structlog

from proxy import __version__, ids, webhook
from proxy.clock import SECOND
from proxy.directory import Directory
from proxy.errors import LeaseLost
from proxy.ids import Ids
from proxy.loops import Tasks
from proxy.ports import Jitter, Now, Sender, Store
from proxy.records import Answer, Attempt, Claim, Finished, Lease, Outgoing
from proxy.verdict import DisabledReason
from proxy.views import endpoint_data
from proxy.webhook import Event

log = structlog.get_logger()

# The longest attempt and five seconds more: a shorter lease would have two workers send.
LEASE: Final = 25 * SECOND
MAX_IN_FLIGHT: Final = 256
USER_AGENT: Final = f"Dargah/{__version__} (webhooks)"


class Delivery:
    """`step` claims and starts what can start now; `tasks` holds what is in flight."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        sender: Sender,
        ids: Ids,
        now: Now,
        jitter: Jitter,
        *,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        self._store = store
        self._directory = directory
        self._sender = sender
        self._ids = ids
        self._now = now
        self._jitter = jitter
        self._max_in_flight = max_in_flight
        self._process = ids.random(12)  # no other process's token is the same, nor is another of ours
        self._leases = count(1)
        self._crowded = False
        self._stopping = False
        self.tasks = Tasks(max_in_flight)

    async def step(self) -> int | None:
        """Starts an attempt of each delivery that may start now; gives when to look again."""
        room = self._max_in_flight - len(self.tasks)
        now = self._now()
        if room <= 0:
            self._crowded = True
            return now + SECOND
        claims = await self._store.claim_deliveries(now, self._lease(now), room)
        for claim in claims:
            self.tasks.start(self._attempt(claim))
        # A claim that used up the room may have left endpoints waiting for their turn.
        self._crowded = len(claims) == room
        return now if self._crowded else await self._store.next_delivery_at()

    def stop(self) -> None:
        """Nothing more is started: what is claimed and not yet sent is given back."""
        self._stopping = True

    async def _attempt(self, claim: Claim) -> None:
        following: Claim | None = claim
        while following is not None:
            following = await self._once(following)

    async def _once(self, claim: Claim) -> Claim | None:
        """Attempts one delivery; gives the endpoint's next one when it was claimed along."""
        try:
            if self._stopping:
                await self._store.release_deliveries([claim])
                return None
            started = self._now()
            answer = await self._sender.send(await self._outgoing(claim, started))
            return await self._record(claim, started, answer)
        except LeaseLost:
            log.warning("delivery_lease_lost", delivery_id=claim.delivery_id, merchant_id=claim.merchant_id)
        except Exception:
            # The attempt stays as `unknown`, the lease runs out, and the delivery is tried again.
            log.exception("delivery_failed", delivery_id=claim.delivery_id, merchant_id=claim.merchant_id)
        return None

    async def _record(self, claim: Claim, started: int, answer: Answer) -> Claim | None:
        now = self._now()
        outcome = "delivered" if answer.delivered else "failed"
        attempt = Attempt(
            claim.attempt, started, answer.duration_ms, outcome, answer.status, answer.error, answer.excerpt
        )
        finished = Finished(claim, attempt, answer.retry_after_seconds, now, self._jitter())
        follow = None if self._crowded or self._stopping else self._lease(now)
        judged = await self._store.record_attempt(finished, follow)
        if judged.verdict.disable is not None:
            await self._disable(claim, judged.verdict.disable, now)
        return judged.following

    async def _disable(self, claim: Claim, reason: DisabledReason, now: int) -> None:
        event = Event(
            id=self._ids.record(ids.EVENT, claim.merchant_id, now),
            merchant_id=claim.merchant_id,
            storefront=claim.endpoint.storefront,
            type="endpoint.disabled",
            payment_id=None,
            occurred_at=now,
            data=endpoint_data(claim.endpoint) | {"state": "disabled", "state_reason": reason.value},
        )
        if await self._store.disable_endpoint(claim.endpoint, reason.value, now, event):
            log.warning(
                "endpoint_disabled", endpoint_id=claim.endpoint.id, merchant_id=claim.merchant_id, code=reason.value
            )

    async def _outgoing(self, claim: Claim, now: int) -> Outgoing:
        """The message as it leaves now: keys and URL are as they are now, timestamp and signature are new."""
        keys = await self._directory.signing_keys(claim.endpoint)
        seconds = now // SECOND
        return Outgoing(
            claim.endpoint.url,
            {
                **claim.endpoint.headers,
                "content-type": "application/json",
                "user-agent": USER_AGENT,
                "webhook-id": claim.event.id,
                "webhook-timestamp": str(seconds),
                "webhook-signature": webhook.sign(keys, claim.event.id, seconds, claim.event.body),
            },
            claim.event.body,
        )

    def _lease(self, now: int) -> Lease:
        return Lease(now + LEASE, f"{self._process}{next(self._leases)}")
