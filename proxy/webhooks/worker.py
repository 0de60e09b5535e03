"""The delivery engine: claim by lease, commit, sign and send, record by compare-and-set, and go on.

The commit that writes an event of this process claims its deliveries if the endpoint has room; rounds find deliveries
that wait.

No transaction is ever open across HTTP, and an attempt is counted at its claim, so that one that died is visible. The
store claims only deliveries that may start now: enabled endpoints in turn, a few at once of each, one at a time of
those that do not answer. A recorded attempt brings the endpoint's next delivery with it, but not for ever while others
wait.
"""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

import structlog

from proxy.kernel import ids
from proxy.kernel.background import Tasks
from proxy.kernel.clock import SECOND, Jitter, Now
from proxy.kernel.errors import CredentialUnusable, DargahError, LeaseLost, NotFound
from proxy.kernel.ids import Ids
from proxy.webhooks.delivery import Attempt, AttemptReport, Claim, Lease
from proxy.webhooks.endpoint import EndpointSecrets, endpoint_data
from proxy.webhooks.event import Event, EventType
from proxy.webhooks.request import Sender, WebhookRequest, WebhookResult, build_request
from proxy.webhooks.retry_policy import DEFAULT_SCHEDULE, DisabledReason, RetrySchedule
from proxy.webhooks.storage.repository import WebhookRepository

log = structlog.get_logger()

# The longest attempt and five seconds more: a shorter lease would have two workers send.
LEASE: Final = 25 * SECOND
# A later start might outlast the lease: the process was paused, or waited for the store.
LATEST_START: Final = 5 * SECOND
MAX_IN_FLIGHT: Final = 512
# So many attempts an endpoint gets on one place before the place goes to another that waits for it. One alone
# would double the store's work under load; more would make the others wait.
ATTEMPTS_IN_A_TURN: Final = 8


# Of 500 deliveries each: more keep the times of their schedules.
MAX_BACKLOG_BATCHES: Final = 200
_UNSENT: Final = WebhookResult(None, "sealed_elsewhere", 0)


class DeliveryWorker:
    """`step` claims and starts the deliveries that can start now, `begin` those claimed on the terms of an `offer`;
    `tasks` holds the running ones.

    `signing_time` stands in the signatures: receivers compare it with the time of day, even if the store's clock
    differs. `on_event` is called with the merchant after a commit that made an event, `on_attempt` with each attempted
    claim, the time of its start, and the answer.
    """

    def __init__(
        self,
        webhooks: WebhookRepository,
        secrets: EndpointSecrets,
        sender: Sender,
        ids: Ids,
        now: Now,
        jitter: Jitter,
        *,
        schedule: RetrySchedule = DEFAULT_SCHEDULE,
        max_in_flight: int = MAX_IN_FLIGHT,
        signing_time: Now | None = None,
        on_event: Callable[[str], None] = lambda _merchant_id: None,
        on_attempt: Callable[[Claim, int, WebhookResult], None] = lambda _claim, _started, _answer: None,
        on_room: Callable[[], None] = lambda: None,
    ) -> None:
        self._webhooks = webhooks
        self._secrets = secrets
        self._sender = sender
        self._ids = ids
        self._now = now
        self._jitter = jitter
        self._schedule = schedule
        self._signing_time = signing_time or now
        self._process = ids.random(12)  # no other process's token is the same, nor is another of ours
        self._leases = count(1)
        self._crowded = False
        self._put_off: list[Claim] = []
        self._stopping = False
        self.tasks = Tasks(max_in_flight, on_room)
        self._on_event = on_event
        self._on_attempt = on_attempt

    async def step(self) -> int | None:
        """Starts an attempt of each delivery that may start now; gives when to look again."""
        late, self._put_off = self._put_off, []
        self.begin(late)
        shares, now = self.tasks.shares, self._now()
        room = shares.free
        if room == 0:
            self._crowded = self.tasks.short = True
            return now + SECOND
        at_limit = shares.at_limit()
        claims = await self._webhooks.claim_deliveries(now, self._lease(now), room, shares)
        self.begin(claims)  # commits may have taken of the room meanwhile
        # A claim that used up the room, or a merchant's share, may have left endpoints waiting.
        self._crowded = len(claims) == room
        if self._crowded or not at_limit >= shares.at_limit():
            return now
        if at_limit:
            # Their waiting deliveries are due already. The end of one of their attempts starts the next step for them.
            self.tasks.short = True
            return now + SECOND
        return await self._webhooks.next_delivery_at()

    def offer(self, merchant_id: str) -> Lease | None:
        """The terms on which the deliveries of a new event may be claimed at once; None when they must wait for a
        round.
        """
        idle = self.tasks.shares.has_room(merchant_id) and not self._crowded and not self._stopping
        return self._lease(self._now()) if idle else None

    def begin(self, claims: Sequence[Claim]) -> None:
        """Starts an attempt of each. Those that have no room any more are begun with the next step, if in time."""
        for claim in claims:
            if self.tasks.shares.has_room(claim.merchant_id):
                self.tasks.start(self._attempt(claim), claim.merchant_id)
            else:
                self.tasks.short = True
                self._put_off.append(claim)

    def stop(self) -> None:
        """Starts nothing more; `give_back` returns the claimed and unsent deliveries for which it has no room."""
        self._stopping = True

    async def give_back(self) -> None:
        """Releases claims that found no room until the end, so that another process need not wait for their leases."""
        late, self._put_off = self._put_off, []
        try:
            await self._webhooks.release_deliveries(late)
        except DargahError:
            log.warning("deliveries_not_given_back", count=len(late))

    async def _attempt(self, claim: Claim) -> None:
        """One delivery after the other of one endpoint; at most ATTEMPTS_IN_A_TURN where others wait for the place."""
        following: Claim | None = claim
        number = 0
        while following is not None:
            number += 1
            following = await self._once(following, number)

    async def _once(self, claim: Claim, number: int) -> Claim | None:
        """Attempts one delivery; gives the endpoint's next one when it was claimed along."""
        try:
            if self._stopping:
                await self._webhooks.release_deliveries([claim])
                return None
            message = await self._message(claim)
            started = self._now()
            if not 0 <= started - claim.claimed_at <= LATEST_START:  # before its claim: the clock went back meanwhile
                log.warning("delivery_begun_late", delivery_id=claim.delivery_id, merchant_id=claim.merchant_id)
                await self._webhooks.release_deliveries([claim])
                return None
            answer = _UNSENT if message is None else await self._sender.send(message)
            self._on_attempt(claim, started, answer)
            if answer.error is not None:
                log.info(
                    "webhook_unanswered",
                    endpoint_id=claim.endpoint.id,
                    merchant_id=claim.merchant_id,
                    delivery_id=claim.delivery_id,
                    error=answer.error,
                )
            return await self._record(claim, started, answer, number)
        except (LeaseLost, NotFound):  # it is another's by now, or its endpoint and the keys are no more
            log.warning("delivery_lease_lost", delivery_id=claim.delivery_id, merchant_id=claim.merchant_id)
        except Exception:
            # The attempt stays as `unknown`, the lease runs out, and the delivery is tried again.
            log.exception("delivery_failed", delivery_id=claim.delivery_id, merchant_id=claim.merchant_id)
        return None

    async def _message(self, claim: Claim) -> WebhookRequest | None:
        """The request; None when its headers cannot be opened for the endpoint's URL."""
        event = claim.event
        try:
            at = self._signing_time()
            return await build_request(self._secrets, claim.endpoint, event.id, event.body, at, event.traceparent)
        except CredentialUnusable:
            return None

    async def _record(self, claim: Claim, started: int, answer: WebhookResult, number: int) -> Claim | None:
        now = self._now()
        outcome = "delivered" if answer.delivered else "failed"
        attempt = Attempt(
            claim.attempt, started, answer.duration_ms, outcome, answer.status, answer.error, answer.excerpt
        )
        finished = AttemptReport(claim, attempt, answer.retry_after_seconds, now, self._jitter(), self._schedule)
        shares = self.tasks.shares
        others_wait = self._crowded or not shares.has_room(claim.merchant_id)
        goes_on = not others_wait or (answer.delivered and number < ATTEMPTS_IN_A_TURN)
        goes_on = goes_on and shares.keeps_room(claim.merchant_id)
        follow = self._lease(now) if goes_on and not self._stopping else None
        recorded = await self._webhooks.record_attempt(finished, follow)
        if recorded.decision.disable is not None:
            await self._disable(claim, recorded.decision.disable, now)
        if claim.asked and answer.delivered:
            await self._send_backlog(claim)
        return recorded.following

    async def _send_backlog(self, claim: Claim) -> None:
        """Has what waits at the endpoint go now, after a person's probe got through; what is left keeps its times."""
        self.tasks.short = True  # the end of this attempt begins a round
        for _ in range(MAX_BACKLOG_BATCHES):
            if not await self._webhooks.hasten_deliveries(claim.merchant_id, claim.endpoint.id):
                return

    async def _disable(self, claim: Claim, reason: DisabledReason, now: int) -> None:
        event = Event(
            id=self._ids.record(ids.EVENT, claim.merchant_id, now),
            merchant_id=claim.merchant_id,
            storefront=claim.endpoint.storefront,
            mode=claim.endpoint.mode,
            type=EventType.ENDPOINT_DISABLED,
            payment_id=None,
            occurred_at=now,
            data=endpoint_data(claim.endpoint) | {"state": "disabled", "state_reason": reason.value},
        )
        if await self._webhooks.disable_endpoint(claim.endpoint, reason.value, now, event):
            log.warning(
                "endpoint_disabled", endpoint_id=claim.endpoint.id, merchant_id=claim.merchant_id, code=reason.value
            )
            self._on_event(claim.merchant_id)

    def _lease(self, now: int) -> Lease:
        return Lease(now + LEASE, f"{self._process}{next(self._leases)}")
