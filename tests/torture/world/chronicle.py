"""What everybody saw in a story, as a history for the judge: the storefronts, their customers, receivers and the bank.

Nobody speaks HTTP in the simulation, so the lines are what the API would have answered at that moment.
"""

from collections.abc import AsyncIterator, Sequence
from io import BytesIO
from typing import Any, Final

import orjson

from proxy.api.v1.objects import attempt_object, delivery_object, event_object
from proxy.gateways.registry import FAMILIES
from proxy.gateways.simulation.replies import WireReply
from proxy.kernel.clock import rfc3339
from proxy.merchants.merchant import Mode
from proxy.payments.payment import Payment
from proxy.payments.search import PaymentFilter
from proxy.payments.serializers import payment_data
from proxy.webhooks.delivery import DeliveryFilter
from proxy.webhooks.event import EventFilter

from ..history import judge
from ..history_lines import Notes
from .process import Process
from .setup import Cast, Shop

PAGE: Final = 500
MOST_BYTES: Final = 100_000
_OUTCOMES: Final = {201: "open", 202: "canceled"}


class Chronicle:
    """`began` is taken before what is noted began: the order of such moments is the order of what happened."""

    def __init__(self, cast: Cast, shops: Sequence[Shop]) -> None:
        self._lines = BytesIO()
        self._notes = Notes(self._lines)
        self._cast = cast
        self._moment = 0
        self._shops = shops
        for shop in shops:
            account = {"api_key": shop.api_key, "token": shop.token, **rules_of(shop.family)}
            self._notes.note("terminal", **_owner(shop), **account)
        for hook in cast.hooks:
            owner = {"merchant": hook.merchant_id, "mode": Mode.LIVE, "storefront": hook.storefront}
            self._notes.note("endpoint", name=hook.url, id=hook.endpoint_id, secret=hook.secret, **owner)

    def moment(self) -> int:
        self._moment += 1
        return self._moment

    def call(
        self,
        shop: Shop,
        method: str,
        path: str,
        answer: Any,
        began: int,
        *,
        status: int = 200,
        key: str | None = None,
        sent: Any = None,
    ) -> None:
        """A storefront's call that has just ended."""
        asked = {"method": method, "path": path, "key": key, "sent": sent}
        times = {"began": began, "ended": self.moment()}
        self._notes.note("call", **_owner(shop), **asked, **times, status=status, answer=answer)

    def page(self, payment: Payment, page: str) -> None:
        """Where a customer was led."""
        location = f"https://shop.example/?payment_id={payment.id}&status={payment.status}" if page == "return" else ""
        self._notes.note("page", payment=payment.id, page=page, status=303, location=location)

    def webhook(self, url: str, headers: dict[str, str], body: bytes, status: int) -> None:
        self._notes.note("webhook", endpoint=url, headers=headers, body=body.decode(), status=status)

    def said(self, invoice_key: str, reply: WireReply, at: int) -> None:
        """The answer to a check, where it says what became of the invoice."""
        told = _read(reply.body)
        if told is not None:
            self._notes.note("said", invoice_key=invoice_key, at=rfc3339(at), **told)

    def refused(self, api_key: str, amount_rials: int, reply: WireReply) -> None:
        """The answer to a request for an invoice, where it gives an error."""
        code = _code(reply.body)
        if code is not None:
            self._notes.note("refused", api_key=api_key, amount_rials=amount_rials, code=code)

    def refused_with(self, api_key: str, amount_rials: int, code: str) -> None:
        """The answer of another family than the script, by the code that its simulator says it has."""
        if code.removeprefix("-").isdigit():
            self._notes.note("refused", api_key=api_key, amount_rials=amount_rials, code=int(code))

    def clock(self, wrong: int, at: int) -> None:
        """The time of day is wrong by so much from now on."""
        self._notes.note("clock", wrong=wrong, at=rfc3339(at))

    async def rest(self, process: Process, invoices: list[dict[str, Any]]) -> None:
        """The last readings of everybody."""
        self._notes.note("rest")
        for invoice in invoices:
            self._notes.note("invoice", **invoice)
        for shop in self._shops:
            async for answers in _payments(process, shop):
                self.call(shop, "GET", "/v1/payments", {"data": answers}, self.moment())
            async for answers in _events(process, shop):
                self.call(shop, "GET", "/v1/events", {"data": answers}, self.moment())
        for hook in self._cast.hooks:
            shop = next(shop for shop in self._shops if shop.merchant_id == hook.merchant_id)
            async for answer in _deliveries(process, hook.merchant_id, hook.endpoint_id):
                self.call(shop, "GET", f"/v1/deliveries/{answer['id']}", answer, self.moment())

    def broken(self) -> list[tuple[str, str]]:
        """The promises that the judge finds broken, each with what breaks it."""
        return [(broken.promise, broken.what) for broken in judge(self._lines.getvalue().splitlines()).broken]


def _code(body: bytes) -> int | None:
    if len(body) > MOST_BYTES:
        return None
    try:
        return int(orjson.loads(body)["errorCode"])
    except (ValueError, KeyError, TypeError):
        return None


def _read(body: bytes) -> dict[str, Any] | None:
    """As the protocol's page has it, numbers as strings too; not by the adapter's parser, which is under test."""
    if len(body) > MOST_BYTES:
        return None
    try:
        answer = orjson.loads(body)
        if int(answer["status"]) == 1:
            return {"outcome": "captured", "amount_rials": int(answer["amount"]), "bank_code": answer["bank_code"]}
        return {"outcome": _OUTCOMES[int(answer["errorCode"])]}
    except (ValueError, KeyError, TypeError):
        return None


def rules_of(family: str) -> dict[str, Any]:
    """What the judge must know of a terminal's family."""
    traits = FAMILIES[family].traits
    return {
        "gateway": family,
        "confirms": traits.confirms,
        "checks": traits.checks,
        "keeps": traits.gives_back_after is None,
        "needs_return": traits.needs_return,
    }


def _owner(shop: Shop) -> dict[str, Any]:
    return {"merchant": shop.merchant_id, "mode": Mode.LIVE, "storefront": shop.storefront}


async def _payments(process: Process, shop: Shop) -> AsyncIterator[list[dict[str, Any]]]:
    after = None
    while True:
        wanted = PaymentFilter(shop.storefront, after=after, limit=PAGE, mode=Mode.LIVE)
        page = await process.file.store.payments.list_payments(shop.merchant_id, wanted)
        yield [payment_data(payment) for payment in page.payments]
        after = page.reached
        if after is None:
            return


async def _events(process: Process, shop: Shop) -> AsyncIterator[list[dict[str, Any]]]:
    """The storefront's, and those that are about all of its merchant's."""
    after = 0
    while True:
        events = await process.file.store.webhooks.list_events(shop.merchant_id, EventFilter(after=after, limit=PAGE))
        yield [event_object(event) for event in events if event.storefront in (shop.storefront, None)]
        if len(events) < PAGE:
            return
        after = events[-1].sequence


async def _deliveries(process: Process, merchant_id: str, endpoint_id: str) -> AsyncIterator[dict[str, Any]]:
    webhooks, after = process.file.store.webhooks, None
    while True:
        page = await webhooks.list_endpoint_deliveries(
            merchant_id, endpoint_id, DeliveryFilter(after=after, limit=PAGE)
        )
        for each in page:
            delivery, attempts = await webhooks.delivery_log(merchant_id, each.id)
            yield delivery_object(delivery) | {"log": [attempt_object(attempt) for attempt in attempts]}
        if len(page) < PAGE:
            return
        after = page[-1].id
