"""The one box: payments by any number, and for operators also merchants and what belongs to them.

An id leads straight to its page, and so does a text that names just one record. Names are looked through, of so many
merchants at most: they are few beside payments, which indexes find.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import field
from typing import Final

import orjson
from aiohttp import web

from proxy.console.page_context import PageContext
from proxy.console.payments import names_of
from proxy.kernel.errors import NotFound
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import (
    DELIVERY,
    ENDPOINT,
    EVENT,
    MERCHANT,
    OPERATOR,
    PAYMENT,
    TERMINAL,
    TOKEN,
    merchant_of_id,
)
from proxy.locale.persian import folded
from proxy.merchants.storage.repository import Name, Named
from proxy.payments.finder import ROWS, PaymentFinder, cleaned
from proxy.webhooks.endpoint import Endpoint

MAX_MERCHANTS, MERCHANTS_AT_ONCE = 2000, 200
MAX_HITS: Final = 20
FEWEST_CHARS: Final = 2
_SECRET: Final = re.compile(r"dg_(?:live|test|op)_[0-9A-Za-z]{0,4}")


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """A record that was found: `path` is its page, below the side's base."""

    kind: str
    name: str
    more: str
    path: str


@dataclass(slots=True)
class Findings:
    """The records whose name, id or address has the text in it; of each kind MAX_HITS at most."""

    text: str
    found: dict[str, list[FoundRecord]] = field(default_factory=dict)

    def add(self, kind: str, path: str, record_id: str, name: str, more: str = "") -> None:
        places = (record_id, name, more)
        hits = self.found.setdefault(kind, [])
        if len(hits) < MAX_HITS and any(self.text in folded(place) for place in places):
            hits.append(FoundRecord(kind, name, more or record_id, path))

    def may_be_in(self, text: str) -> bool:
        """Whether it may be in one of the places of which this text is made, as it is or in JSON."""
        whole = folded(text)
        return self.text in whole or orjson.dumps(self.text)[1:-1].decode() in whole

    def all(self) -> list[FoundRecord]:
        return [hit for hits in self.found.values() for hit in hits]


async def search(context: PageContext) -> web.StreamResponse:
    """Straight to the page when just one record is found."""
    # Nobody needs a whole token here, and what is searched for is shown again.
    text = cleaned(context.request.query.get("q", ""))
    text = token[0] if (token := _SECRET.match(text)) else text
    if path := await _page_of_id(context, text):
        return context.go(path)
    found = await PaymentFinder(context.access).find(text)
    payments = found.payments
    hits = await _hits(context, text)
    paths = [*(f"/payments/{payment.id}" for payment in payments), *(hit.path for hit in hits)]
    if len(paths) == 1:
        return context.go(paths[0])
    return context.page(
        "search.html",
        text=text,
        payments=payments,
        among_newest=found.among_newest,
        rows=ROWS,
        hits=hits,
        merchants=await names_of(context, payments),
    )


async def _page_of_id(context: PageContext, text: str) -> str | None:
    """The page of the record with this id, where the viewer may see it."""
    kind = text.partition("_")[0]
    finder = _FINDERS.get(kind)
    if finder is None or (kind != MERCHANT and merchant_of_id(text) is None):
        return None
    try:
        return await finder(context, text)
    except NotFound:
        return None


async def _endpoint(context: PageContext, text: str) -> str | None:
    return f"/endpoints/{(await context.access.endpoint(text)).id}" if context.sees_webhooks else None


async def _delivery(context: PageContext, text: str) -> str | None:
    return f"/deliveries/{(await context.access.delivery_log(text))[0].id}" if context.sees_webhooks else None


async def _payment(context: PageContext, text: str) -> str | None:
    return f"/payments/{(await context.access.payment(text)).id}"


async def _event(context: PageContext, text: str) -> str | None:
    event = await context.access.event(text) if context.sees_webhooks else None
    return None if event is None or event.payment_id is None else f"/payments/{event.payment_id}"


async def _merchant(context: PageContext, text: str) -> str | None:
    return None if context.token else f"/merchants/{(await context.services.store.merchants.merchant(text)).id}"


async def _of_merchant(context: PageContext, text: str) -> str | None:
    merchant_id = merchant_of_id(text)
    if context.token is not None or merchant_id is None:
        return None
    store = context.services.store.merchants
    read = store.terminal if text.startswith(TERMINAL) else store.token
    return f"/merchants/{(await read(merchant_id, text)).merchant_id}"


_FINDERS: Final = {
    PAYMENT: _payment,
    ENDPOINT: _endpoint,
    DELIVERY: _delivery,
    EVENT: _event,
    MERCHANT: _merchant,
    TERMINAL: _of_merchant,
    TOKEN: _of_merchant,
}


async def _hits(context: PageContext, text: str) -> list[FoundRecord]:
    hits = Findings(folded(text))
    if len(text) < FEWEST_CHARS:
        return []
    if context.token is not None:
        if context.sees_webhooks:
            _add_endpoints(hits, await context.access.endpoints(context.token.merchant_id))
        return hits.all()
    for operator in await context.services.store.operators.list_operators():
        hits.add(OPERATOR, "/operators", operator.id, operator.name, operator.prefix)
    await _add_merchants(context, hits)
    return hits.all()


def _add_endpoints(hits: Findings, endpoints: Iterable[Endpoint]) -> None:
    for endpoint in endpoints:
        hits.add(ENDPOINT, f"/endpoints/{endpoint.id}", endpoint.id, endpoint.url, endpoint.description)


async def _add_merchants(context: PageContext, hits: Findings) -> None:
    """Names are read one by one only where one look at all of a stretch tells that there is something."""
    merchants = await context.services.store.payments.first_merchants(MAX_MERCHANTS)
    for start in range(0, len(merchants), MERCHANTS_AT_ONCE):
        some = merchants[start : start + MERCHANTS_AT_ONCE]
        texts = await context.services.store.merchants.names_in_one_text(some[0], some[-1])
        for named, kind, path in _NAMED:
            if named not in texts or not hits.may_be_in(texts[named]):
                continue
            names = await context.services.store.merchants.names(named, some[0], some[-1])
            for each in map(_with_branding, names) if named is Named.MERCHANTS else names:
                hits.add(kind, path(each.merchant_id, each.id), each.id, each.name, each.more)


def _with_branding(merchant: Name) -> Name:
    """By its Persian name, or by its origins."""
    looks, origins = orjson.loads(merchant.more)
    return merchant._replace(more=looks.get("name_fa") or " ".join(origins))


_NAMED: Final[tuple[tuple[Named, str, Callable[[str, str], str]], ...]] = (
    (Named.MERCHANTS, MERCHANT, lambda merchant_id, _: f"/merchants/{merchant_id}"),
    (Named.TERMINALS, TERMINAL, lambda merchant_id, _: f"/merchants/{merchant_id}"),
    (Named.ENDPOINTS, ENDPOINT, lambda _, endpoint_id: f"/endpoints/{endpoint_id}"),
    (Named.TOKENS, TOKEN, lambda merchant_id, _: f"/merchants/{merchant_id}"),
)
