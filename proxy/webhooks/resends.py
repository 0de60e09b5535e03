"""Resends as operators and shops ask for them, and the loop that brings them forward."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import structlog

from proxy.audit.log import INSTALLATION, AuditEntry
from proxy.kernel.clock import Now
from proxy.kernel.errors import Conflict, DargahError, NotFound, invalid
from proxy.kernel.ids import AUDIT, NO_MERCHANT, RESEND, Ids, merchant_of_id
from proxy.merchants.storage.repository import MerchantRepository
from proxy.webhooks.endpoint import Endpoint
from proxy.webhooks.resend import (
    MAX_ENDPOINTS,
    Resend,
    ResendActor,
    ResendChoice,
    ResendFilter,
    ResendRequest,
)
from proxy.webhooks.storage.repository import WebhookRepository
from proxy.webhooks.storage.resends import ResendRepository

log = structlog.get_logger()

ENDPOINTS_IN_A_STEP: Final = 20
# A millisecond or two of the store's time.
COUNTED_TOGETHER: Final = 50
_SHORTEST_PAUSE: Final = 50


class Resends:
    """`on_begun` is called when there is a resend to bring forward, `on_due` when deliveries became due."""

    def __init__(
        self,
        resends: ResendRepository,
        webhooks: WebhookRepository,
        merchants: MerchantRepository,
        ids: Ids,
        now: Now,
        on_begun: Callable[[], None] = lambda: None,
        on_due: Callable[[], None] = lambda: None,
    ) -> None:
        self._resends = resends
        self._webhooks = webhooks
        self._merchants = merchants
        self._ids = ids
        self._now = now
        self._on_begun = on_begun
        self._on_due = on_due

    async def choose(self, wanted: ResendFilter, own: Sequence[Endpoint] | None = None) -> ResendChoice:
        """What the filter wants, endpoint by endpoint: of all endpoints, or of a shop's `own`.

        Raises InvalidInput about a span that is none, and NotFound for a merchant or endpoint that there is not.
        """
        wanted = replace(wanted, since=max(0, wanted.since), until=min(wanted.until, self._now() + 1))
        if wanted.since >= wanted.until:
            raise invalid(
                "since", "not_a_span", "must be in the past, and before `until`", "باید گذشته و پیش از until باشد"
            )
        chosen = [each for each in await self._endpoints(wanted, own) if wanted.mode in {None, each.mode}]
        counted: list[tuple[Endpoint, int]] = []
        for start in range(0, min(len(chosen), MAX_ENDPOINTS), COUNTED_TOGETHER):
            some = chosen[start : min(start + COUNTED_TOGETHER, MAX_ENDPOINTS)]
            counted += zip(some, await self._resends.counts(some, wanted), strict=True)
        complete = len(chosen) <= MAX_ENDPOINTS
        return ResendChoice.of(wanted, [row for row in counted if row[1]], complete=complete)

    async def begin(self, asked: ResendRequest) -> tuple[Resend, bool]:
        """The resend, and whether it is new. Raises IdempotencyKeyReused, and Conflict for more endpoints than one
        resend looks at, and when too many of this actor are under way.
        """
        choice = asked.choice
        if not choice.complete:
            raise Conflict(
                f"there are more than {MAX_ENDPOINTS} endpoints: choose merchants or endpoints",
                f"بیش از {MAX_ENDPOINTS} نشانی هست؛ پذیرنده یا نشانی را برگزینید",
            )
        resend_id = self._ids.record(RESEND, NO_MERCHANT, self._now())
        data = {**choice.filter.record(), "resend_id": resend_id, "endpoints": len(choice.rows), "wanted": choice.total}
        resend, new = await self._resends.add(resend_id, asked, self._audit(asked.by, "webhooks.resend", data))
        if new:
            self._on_begun()
        return resend, new

    async def known(self, resend_id: str, actor: str | None = None) -> Resend:
        """A resend, of one actor or of any. Raises NotFound."""
        resend = await self._resends.resend(resend_id)
        if actor not in {None, resend.actor}:
            raise NotFound("resend")
        return resend

    async def stop(self, resend_id: str, by: ResendActor) -> Resend:
        """Stops it; one that is over stays as it is. Raises NotFound, for a shop also when it is another actor's."""
        await self.known(resend_id, None if by.merchant_id is None else by.name)
        audit = self._audit(by, "webhooks.resend_stop", {"resend_id": resend_id})
        stopped = await self._resends.stop(resend_id, audit)
        self._on_begun()
        return stopped

    async def step(self) -> int | None:
        """Looks at the endpoints where a resend is to go on; gives when to look again."""
        now = self._now()
        due = await self._resends.due_endpoints(now, ENDPOINTS_IN_A_STEP)
        for key in due:
            try:
                if await self._resends.advance(key):
                    self._on_due()
            except DargahError as error:  # of one endpoint: the others go on, and it is looked at again
                log.warning("resend_not_advanced", merchant_id=key[0], endpoint_id=key[1], code=error.code)
        next_at = await self._resends.next_at()
        return None if next_at is None else max(next_at, now + _SHORTEST_PAUSE)

    async def _endpoints(self, wanted: ResendFilter, own: Sequence[Endpoint] | None) -> list[Endpoint]:
        if own is not None:
            return [each for each in own if not wanted.endpoints or each.id in wanted.endpoints]
        if wanted.endpoints:
            found = [await self._webhooks.endpoint(merchant_of_id(each) or "", each) for each in wanted.endpoints]
            return [each for each in found if not wanted.merchants or each.merchant_id in wanted.merchants]
        if not wanted.merchants:
            return await self._webhooks.all_endpoints(wanted.mode, MAX_ENDPOINTS + 1)
        endpoints: list[Endpoint] = []
        for each in wanted.merchants:
            endpoints += await self._webhooks.list_endpoints((await self._merchants.merchant(each)).id)
        return endpoints

    def _audit(self, by: ResendActor, action: str, data: Mapping[str, object]) -> AuditEntry:
        now = self._now()
        entry_id = self._ids.record(AUDIT, by.merchant_id or NO_MERCHANT, now)
        return AuditEntry(entry_id, by.merchant_id or INSTALLATION, now, by.name, action, INSTALLATION, data)
