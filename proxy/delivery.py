"""The delivery engine: claim by lease, commit, sign and send, record by compare-and-set, and go on.

What happens in this process is claimed in the commit that writes it, where its endpoint has room; what waits is looked
for in rounds.

No transaction is ever open across HTTP, and an attempt is counted at its claim, so that one that died is visible. The
store claims only what may start now: enabled endpoints in turn, a few at once of each, one at a time of those that do
not answer. A recorded attempt brings the endpoint's next delivery with it, but not for ever while others wait.
"""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

import structlog

from proxy import ids
from proxy.clock import SECOND
from proxy.directory import Directory
from proxy.errors import DargahError, LeaseLost, NotFound
from proxy.ids import Ids
from proxy.loops import Tasks
from proxy.outgoing import outgoing
from proxy.ports import Jitter, Now, Sender, Store
from proxy.records import Answer, Attempt, Claim, Finished, Lease
from proxy.verdict import DisabledReason
from proxy.views import endpoint_data
from proxy.webhook import Event

log = structlog.get_logger()

# The longest attempt and five seconds more: a shorter lease would have two workers send.
LEASE: Final = 25 * SECOND
# What begins later after its claim might outlast its lease: the process was paused, or waited for the store.
LATEST_START: Final = 5 * SECOND
MAX_IN_FLIGHT: Final = 512
# What an endpoint that answers is sent on one place before the place goes to another that waits for it. One alone
# would double the store's work under load; more would make the others wait.
ATTEMPTS_IN_A_TURN: Final = 8


class Delivery:
    """`step` claims and starts what can start now, `begin` what was claimed on the terms of an `offer`; `tasks` holds
    what is in flight.

    `on_event` is called with the merchant after a commit that made an event, `on_attempt` with each claim that was
    attempted, when that began, and the answer.
    """

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
        self._put_off: deque[Claim] = deque()
        self._stopping = False
        self.tasks = Tasks(max_in_flight)
        self.on_event: Callable[[str], None] = lambda _merchant_id: None
        self.on_attempt: Callable[[Claim, int, Answer], None] = lambda _claim, _started, _answer: None

    async def step(self) -> int | None:
        """Starts an attempt of each delivery that may start now; gives when to look again."""
        self.begin([self._put_off.popleft() for _ in range(len(self._put_off))])
        room = self._room
        now = self._now()
        if room <= 0:
            self._crowded = True
            return now + SECOND
        claims = await self._store.claim_deliveries(now, self._lease(now), room)
        self.begin(claims)  # commits may have taken of the room meanwhile
        # A claim that used up the room may have left endpoints waiting for their turn.
        self._crowded = len(claims) == room
        return now if self._crowded else await self._store.next_delivery_at()

    def offer(self) -> Lease | None:
        """The terms on which what is about to happen may be claimed at once; None when it must wait for its turn."""
        idle = self._room > 0 and not self._crowded and not self._stopping
        return self._lease(self._now()) if idle else None

    def begin(self, claims: Sequence[Claim]) -> None:
        """Starts an attempt of each. Those that have no room any more are begun with the next step, if in time."""
        for claim in claims:
            if self._room > 0:
                self.tasks.start(self._attempt(claim))
            else:
                self._put_off.append(claim)

    def stop(self) -> None:
        """Nothing more is started: what is claimed and not sent is given back, by `give_back` where it has no room."""
        self._stopping = True

    async def give_back(self) -> None:
        """What found no room until the end: another process need not wait for its lease."""
        claims = [self._put_off.popleft() for _ in range(len(self._put_off))]
        if not claims:
            return
        try:
            await self._store.release_deliveries(claims)
        except DargahError:
            log.warning("deliveries_not_given_back", count=len(claims))

    async def _attempt(self, claim: Claim) -> None:
        """One delivery after the other of one endpoint; where others wait for the place, no more than its turn."""
        following: Claim | None = claim
        number = 0
        while following is not None:
            number += 1
            following = await self._once(following, number)

    async def _once(self, claim: Claim, number: int) -> Claim | None:
        """Attempts one delivery; gives the endpoint's next one when it was claimed along."""
        try:
            if self._stopping:
                await self._store.release_deliveries([claim])
                return None
            started = self._now()
            event = claim.event
            message = await outgoing(self._directory, claim.endpoint, event.id, event.body, started, event.traceparent)
            if self._now() - claim.claimed_at > LATEST_START:
                log.warning("delivery_begun_late", delivery_id=claim.delivery_id, merchant_id=claim.merchant_id)
                await self._store.release_deliveries([claim])
                return None
            answer = await self._sender.send(message)
            self.on_attempt(claim, started, answer)
            return await self._record(claim, started, answer, number)
        except (LeaseLost, NotFound):  # it is another's by now, or its endpoint and the keys are no more
            log.warning("delivery_lease_lost", delivery_id=claim.delivery_id, merchant_id=claim.merchant_id)
        except Exception:
            # The attempt stays as `unknown`, the lease runs out, and the delivery is tried again.
            log.exception("delivery_failed", delivery_id=claim.delivery_id, merchant_id=claim.merchant_id)
        return None

    async def _record(self, claim: Claim, started: int, answer: Answer, number: int) -> Claim | None:
        now = self._now()
        outcome = "delivered" if answer.delivered else "failed"
        attempt = Attempt(
            claim.attempt, started, answer.duration_ms, outcome, answer.status, answer.error, answer.excerpt
        )
        finished = Finished(claim, attempt, answer.retry_after_seconds, now, self._jitter())
        goes_on = not self._crowded or (answer.delivered and number < ATTEMPTS_IN_A_TURN)
        follow = self._lease(now) if goes_on and not self._stopping else None
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
            self.on_event(claim.merchant_id)

    @property
    def _room(self) -> int:
        return self._max_in_flight - len(self.tasks)

    def _lease(self, now: int) -> Lease:
        return Lease(now + LEASE, f"{self._process}{next(self._leases)}")
