"""Access checks of callers: payments, endpoints, deliveries and events by their ids, and lists of them.

A token sees the records of its storefront and mode, and of its terminal when it is bound to one. Records of the
merchant as a whole, such as an endpoint of all storefronts, are the operator's. A record that the caller may not see is
answered like one that does not exist.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import orjson

from proxy.kernel.errors import NotFound
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import merchant_of_id, merchant_of_link
from proxy.merchants.merchant import Mode, Token
from proxy.payments.history import History, read_history
from proxy.payments.payment import Payment
from proxy.payments.storage.repository import PaymentRepository
from proxy.webhooks.delivery import Attempt, Delivery
from proxy.webhooks.endpoint import Endpoint
from proxy.webhooks.event import StoredEvent
from proxy.webhooks.storage.repository import WebhookRepository

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Access:
    """The records that one caller may see. `token` None stands for an operator, with access to every merchant's."""

    payments: PaymentRepository
    webhooks: WebhookRepository
    token: Token | None

    async def payment(self, payment_id: str) -> Payment:
        """Raises NotFound."""
        return await self._visible("payment", payment_id, self.payments.payment, self.sees_payment)

    async def payment_by_link(self, link: str) -> Payment:
        """Raises NotFound."""
        merchant_id = merchant_of_link(link)
        return await self._visible_of(merchant_id, "payment", link, self.payments.payment_by_link, self.sees_payment)

    async def history(self, payment: Payment) -> History:
        """The payment's history, without its deliveries to endpoints that the caller may not see."""
        if self.token is None:
            return await read_history(self.payments, self.webhooks, payment)
        endpoints = await self.endpoints(payment.merchant_id)
        return await read_history(
            self.payments, self.webhooks, payment, frozenset(endpoint.id for endpoint in endpoints)
        )

    async def endpoint(self, endpoint_id: str) -> Endpoint:
        """Raises NotFound."""
        return await self._visible("webhook endpoint", endpoint_id, self.webhooks.endpoint, self.sees_endpoint)

    async def endpoints(self, merchant_id: str) -> list[Endpoint]:
        return [each for each in await self.webhooks.list_endpoints(merchant_id) if self.sees_endpoint(each)]

    async def delivery_log(self, delivery_id: str) -> tuple[Delivery, list[Attempt]]:
        """The delivery with its attempts. Raises NotFound, for a token also when the endpoint was deleted."""
        what = "delivery"
        log = await self._visible(what, delivery_id, self.webhooks.delivery_log, lambda log: self.sees_delivery(log[0]))
        if self.token is not None:
            try:
                await self.endpoint(log[0].endpoint_id)
            except NotFound:
                raise NotFound(what) from None
        return log

    async def event(self, event_id: str) -> StoredEvent:
        """Raises NotFound."""
        return await self._visible("event", event_id, self.webhooks.event, self.sees_event)

    def sees_payment(self, payment: Payment) -> bool:
        return self._sees(payment.merchant_id, payment.storefront, payment.mode, payment.terminal_id)

    def sees_endpoint(self, endpoint: Endpoint) -> bool:
        return self._sees(endpoint.merchant_id, endpoint.storefront, endpoint.mode, None)

    def sees_delivery(self, delivery: Delivery) -> bool:
        """Whether the caller may see its event: an endpoint that changed hands keeps its deliveries."""
        return self._sees(delivery.merchant_id, delivery.storefront, delivery.mode, None)

    def sees_event(self, event: StoredEvent) -> bool:
        bound = self.token is not None and self.token.terminal_id is not None
        terminal_id = orjson.loads(event.body)["data"].get("terminal_id") if bound else None
        return self._sees(event.merchant_id, event.storefront, Mode(event.mode or Mode.LIVE), terminal_id)

    def _sees(self, merchant_id: str, storefront: str | None, mode: Mode, terminal_id: str | None) -> bool:
        token = self.token
        return token is None or (token.merchant_id == merchant_id and token.sees(storefront, mode, terminal_id))

    async def _visible(
        self,
        what: str,
        record_id: str,
        read: Callable[[str, str], Awaitable[Record]],
        sees: Callable[[Record], bool],
    ) -> Record:
        return await self._visible_of(merchant_of_id(record_id), what, record_id, read, sees)

    async def _visible_of(
        self,
        merchant_id: str | None,
        what: str,
        key: str,
        read: Callable[[str, str], Awaitable[Record]],
        sees: Callable[[Record], bool],
    ) -> Record:
        if merchant_id is not None and (self.token is None or merchant_id == self.token.merchant_id):
            with suppress(NotFound):
                record = await read(merchant_id, key)
                if sees(record):
                    return record
        raise NotFound(what)
