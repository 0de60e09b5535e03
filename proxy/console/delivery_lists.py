"""The deliveries and the attempts over all endpoints that the viewer sees, with filters, a page at a time."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web
from multidict import MultiMapping

from proxy.console.page_context import PageContext
from proxy.console.payment_filters import merchant_choices
from proxy.console.saved_filters import saved_of
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import merchant_of_id
from proxy.locale.day_ranges import begin_of, end_of
from proxy.merchants.merchant import Mode
from proxy.operators.saved_filters import FilteredList
from proxy.payments.finder import MAX_TEXT_CHARS, PaymentFinder
from proxy.webhooks.delivery_search import AttemptSearch, DeliverySearch, SearchPage
from proxy.webhooks.endpoint import Endpoint
from proxy.webhooks.event import EVENT_TYPES, EventFilter
from proxy.webhooks.retry_policy import DeliveryStatus
from proxy.webhooks.storage.delivery_lists import DeliveryLine

PAGE: Final = 25
MAX_MERCHANTS: Final = 200
"""That are looked at together; with more, the page asks to choose one."""
MAX_ENDPOINTS: Final = 1000
MAX_PAYMENTS: Final = 10
MAX_EVENTS: Final = 100
MAX_VALUE_CHARS: Final = 100
OUTCOMES: Final = ("delivered", "failed")
STATUS_CLASSES: Final = (2, 3, 4, 5, 0)


@dataclass(frozen=True, slots=True)
class Texts:
    """What the form's fields hold, and which of them cannot be read."""

    values: Mapping[str, str]
    wrong: frozenset[str]

    def get(self, name: str) -> str:
        return self.values.get(name, "")

    def query(self, **more: str) -> str:
        """The same list, or a page of it, as a query."""
        return urlencode({name: text for name, text in {**self.values, **more}.items() if text})


def read_deliveries(query: MultiMapping[str]) -> tuple[Texts, DeliverySearch]:
    """The list of deliveries that a query asks for."""
    read = _Reader(query)
    wanted = DeliverySearch(
        status=read.choice("status", DeliveryStatus),
        event_type=read.choice("type", {name: name for name in EVENT_TYPES}.get),
        mode=read.choice("mode", Mode),
        since=read.day("from", begin_of),
        until=read.day("to", end_of),
        after=read.place(),
    )
    read.text("number", MAX_TEXT_CHARS)
    return read.done(), wanted


async def list_deliveries(context: PageContext) -> web.StreamResponse:
    texts, wanted = read_deliveries(context.request.query)
    page, lines = SearchPage((), None), list[DeliveryLine]()
    if texts.wrong:
        pass
    elif number := texts.get("number"):
        lines = await _of_number(context, number, wanted)
    else:
        page = await _delivery_page(context, texts, wanted)
        lines = await context.services.store.webhooks.delivery_lines([row.id for row in page.rows])
    lines = [line for line in lines if context.access.sees_delivery(line.delivery)]
    return context.page(
        "deliveries.html",
        status=422 if texts.wrong else 200,
        texts=texts,
        page=page,
        lines=lines,
        orders=await _orders(context, lines),
        event_types=sorted(EVENT_TYPES),
        saved=await saved_of(context, FilteredList.DELIVERIES, texts.query()),
        **await _names(context, [line.delivery.merchant_id for line in lines]),
    )


def read_attempts(query: MultiMapping[str]) -> tuple[Texts, AttemptSearch]:
    """The list of attempts that a query asks for."""
    read = _Reader(query)
    wanted = AttemptSearch(
        outcome=read.choice("outcome", {name: name for name in OUTCOMES}.get),
        status_class=read.choice("http", {str(digit): digit for digit in STATUS_CLASSES}.get),
        since=read.day("from", begin_of),
        until=read.day("to", end_of),
        after=read.place(),
    )
    return read.done(), wanted


async def list_attempts(context: PageContext) -> web.StreamResponse:
    texts, wanted = read_attempts(context.request.query)
    page = SearchPage((), None)
    if not texts.wrong:
        endpoints, complete = await _endpoints(context, texts)
        page = await context.services.store.webhooks.attempts_of_endpoints(endpoints, wanted, PAGE)
        page = SearchPage(page.rows, page.following, complete)
    lines = await context.services.store.webhooks.delivery_lines(list({row.delivery_id: 0 for row in page.rows}))
    deliveries = {line.delivery.id: line for line in lines if context.access.sees_delivery(line.delivery)}
    return context.page(
        "attempts.html",
        status=422 if texts.wrong else 200,
        texts=texts,
        page=page,
        attempts=[row for row in page.rows if row.delivery_id in deliveries],
        deliveries=deliveries,
        status_classes=STATUS_CLASSES,
        saved=await saved_of(context, FilteredList.ATTEMPTS, texts.query()),
        **await _names(context, [row.merchant_id for row in page.rows]),
    )


async def _delivery_page(context: PageContext, texts: Texts, wanted: DeliverySearch) -> SearchPage:
    """By the endpoints where a status or an endpoint is named; else all that the merchants have, deleted ones too."""
    store = context.services.store.webhooks
    of_gone = wanted.status is DeliveryStatus.DROPPED and not texts.get("endpoint")
    if context.token is None and not texts.get("endpoint") and (wanted.status is None or of_gone):
        merchants, complete = await _merchants(context, texts)
        page = await store.deliveries_of_merchants(merchants, wanted, PAGE)
    else:
        endpoints, complete = await _endpoints(context, texts)
        page = await store.deliveries_of_endpoints(endpoints, wanted, PAGE)
    return SearchPage(page.rows, page.following, complete)


async def _merchants(context: PageContext, texts: Texts) -> tuple[list[str], bool]:
    """The merchants to look at, and whether they are all that there are."""
    if context.token is not None:
        return [context.token.merchant_id], True
    if chosen := texts.get("merchant"):
        return [chosen], True
    found = await context.services.store.merchants.list_merchants(None, MAX_MERCHANTS + 1)
    return [merchant.id for merchant in found[:MAX_MERCHANTS]], len(found) <= MAX_MERCHANTS


async def _endpoints(context: PageContext, texts: Texts) -> tuple[list[tuple[str, str]], bool]:
    """The endpoints to look at, each with its merchant, and whether they are all that there are."""
    if chosen := texts.get("endpoint"):
        merchant_id = merchant_of_id(chosen)
        if context.token is not None and chosen not in {each.id for each in await _own(context)}:
            return [], True
        return ([(merchant_id, chosen)] if merchant_id else []), True
    if context.token is not None:
        return [(each.merchant_id, each.id) for each in await _own(context)], True
    merchants, complete = await _merchants(context, texts)
    found = await context.services.store.webhooks.endpoints_of_merchants(merchants)
    return found[:MAX_ENDPOINTS], complete and len(found) <= MAX_ENDPOINTS


async def _own(context: PageContext) -> list[Endpoint]:
    assert context.token is not None
    return await context.access.endpoints(context.token.merchant_id)


async def _of_number(context: PageContext, number: str, wanted: DeliverySearch) -> list[DeliveryLine]:
    """The deliveries of the payments that an order, an id or another number names."""
    store = context.services.store.webhooks
    ids: list[str] = []
    for payment in (await PaymentFinder(context.access).find(number)).payments[:MAX_PAYMENTS]:
        of_payment = EventFilter(payment_id=payment.id, limit=MAX_EVENTS)
        for event in await store.list_events(payment.merchant_id, of_payment):
            ids += [each.id for each in await store.list_deliveries(payment.merchant_id, event.id)]
    seen = None if context.token is None else {each.id for each in await _own(context)}
    lines = await store.delivery_lines(sorted(ids, reverse=True)[:MAX_EVENTS])
    return [line for line in lines if _fits(line, wanted) and (seen is None or line.delivery.endpoint_id in seen)]


def _fits(line: DeliveryLine, wanted: DeliverySearch) -> bool:
    return (
        wanted.status in {None, line.delivery.status}
        and wanted.event_type in {None, line.type}
        and wanted.mode in {None, line.delivery.mode}
    )


async def _orders(context: PageContext, lines: Sequence[DeliveryLine]) -> dict[str, str]:
    """The order of each payment."""
    ids = list({line.delivery.payment_id: 0 for line in lines if line.delivery.payment_id})
    return {each.id: each.order_id for each in await context.services.store.payments.payments_of_ids(ids)}


async def _names(context: PageContext, merchants: Sequence[str]) -> dict[str, Any]:
    """The merchants' names and the endpoints' URLs that a page shows, and the merchants to choose from."""
    cache, names, urls = context.services.merchant_cache, dict[str, str](), dict[str, str]()
    for each in dict.fromkeys(merchants):
        names[each] = (await cache.merchant(each)).called(context.words.language)
        urls |= {endpoint.id: endpoint.url for endpoint in await context.access.endpoints(each)}
    choices = await merchant_choices(context, context.request.query.get("merchant"), MAX_MERCHANTS)
    return {"names": names, "urls": urls, "choices": choices}


class _Reader:
    """Reads the fields of a list's form, and keeps which of them are wrong."""

    def __init__(self, query: MultiMapping[str]) -> None:
        self._query = query
        self._texts: dict[str, str] = {}
        self._wrong: set[str] = set()
        for name, prefix in (("merchant", "mer_"), ("endpoint", "ep_")):
            text = self.text(name)
            if text and not (
                text.startswith(prefix) and text[len(prefix) :].isascii() and text[len(prefix) :].isalnum()
            ):
                self._wrong.add(name)

    def text(self, name: str, most: int = MAX_VALUE_CHARS) -> str:
        text = self._query.get(name, "").strip()[:most]
        self._texts[name] = text
        return text

    def choice(self, name: str, read: Callable[[str], Any]) -> Any:
        text = self.text(name)
        try:
            value = read(text) if text else None
        except ValueError:
            value = None
        if text and value is None:
            self._wrong.add(name)
        return value

    def day(self, name: str, read: Callable[[str], int | None]) -> int | None:
        found: int | None = self.choice(name, read)
        return found

    def place(self) -> str | None:
        """Where the page begins; what is no place begins anew."""
        text = self._query.get("after", "")
        return text if 0 < len(text) <= MAX_VALUE_CHARS and text.isascii() and text.replace("_", "").isalnum() else None

    def done(self) -> Texts:
        return Texts(self._texts, frozenset(self._wrong))
