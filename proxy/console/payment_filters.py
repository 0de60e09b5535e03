"""The filters of the list of payments: as its form has them, and as the list is read by them."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlencode

from multidict import MultiMapping

from proxy.console.page_context import PageContext
from proxy.gateways.registry import FAMILIES
from proxy.kernel.errors import NotFound
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import merchant_of_id
from proxy.kernel.money import MAX_RIALS, RIALS_PER_TOMAN
from proxy.kernel.text import without_direction
from proxy.locale.day_ranges import NamedRange, begin_of, end_of, named_range
from proxy.locale.persian import latin_digits, parse_number
from proxy.merchants.merchant import STOREFRONT, Merchant, Mode
from proxy.payments.finder import MAX_TEXT_CHARS, PAGE, PaymentFinder
from proxy.payments.payment import Status
from proxy.payments.scan import PaymentScan, ScanPage
from proxy.payments.search import Bounds, PaymentFilter, is_place

_CHOSEN: Final = frozenset({"merchant", "range", "gateway", "mode"})
STATUS, BEFORE = "status", "before"
_ALIASES: Final = (("day", "from"), ("day", "to"))  # of one day, as pages linked to it


@dataclass(frozen=True, slots=True)
class Filters:
    """`texts` are the fields as entered, without the empty ones; `wrong` are those of them that say nothing."""

    texts: Mapping[str, str]
    statuses: tuple[Status, ...]
    merchant_id: str | None
    wanted: PaymentFilter
    wrong: frozenset[str] = frozenset()

    def query(self, **changes: str) -> list[tuple[str, str]]:
        """As a link has them."""
        named = {**self.texts, **changes}
        return [*((STATUS, status.value) for status in self.statuses), *named.items()]

    @property
    def text(self) -> str:
        """The query as it is saved: without the place in the list."""
        return urlencode(self.query())

    @property
    def unread(self) -> list[str]:
        """Those wrong ones that are chosen from a list, so that no field shows what is wrong."""
        return [f"{name}={self.texts[name]}" for name in sorted(self.wrong & _CHOSEN)]

    @property
    def detailed(self) -> bool:
        """Whether there is one beside merchant and days."""
        return bool(self.statuses or self.texts.keys() - {"merchant", "range", "from", "to"})


def _merchant(text: str) -> str:
    if merchant_of_id(f"pay_{text.removeprefix('mer_')}{'0' * 18}") != text:
        raise ValueError("is not a merchant's id")
    return text


def _storefront(text: str) -> str:
    if not STOREFRONT.fullmatch(text):
        raise ValueError("is not a storefront's name")
    return text


def _family(text: str) -> str:
    return FAMILIES[text].name


def _toman(text: str) -> int:
    rials = parse_number(text) * RIALS_PER_TOMAN
    if rials > MAX_RIALS:
        raise ValueError("is more than there is")
    return rials


def _oldest(text: str) -> bool:
    return text == "oldest"


_READ: Final[Mapping[str, Callable[[str], Any]]] = {
    "merchant": _merchant,
    "range": NamedRange,
    "from": begin_of,
    "to": end_of,
    "storefront": _storefront,
    "terminal": str,
    "gateway": _family,
    "mode": Mode,
    "order": str,
    "bank_code": str,
    "min": _toman,
    "max": _toman,
    "paid_from": begin_of,
    "paid_to": end_of,
    "sort": _oldest,
}
_SIDE_OF_OPERATORS: Final = frozenset({"merchant", "storefront", "mode"})


def filters_of(context: PageContext) -> Filters:
    """The filters of the request's query. A wrong one is said to be so, and left out."""
    return read_filters(context.request.query, context)


def read_filters(query: MultiMapping[str], context: PageContext) -> Filters:
    given = {name: query.get(name, "") for name in (*_READ, BEFORE)}
    for alias, name in _ALIASES:
        given[name] = given[name] or query.get(alias, "")
    texts = {name: without_direction(text).strip()[:MAX_TEXT_CHARS] for name, text in given.items()}
    before = texts.pop(BEFORE)
    if context.token is not None:
        texts = {name: text for name, text in texts.items() if name not in _SIDE_OF_OPERATORS}
    texts = {name: text for name, text in texts.items() if text}
    values, wrong = _values(texts)
    if "range" in values:
        values["from"], values["to"] = named_range(values["range"], context.services.now())
    statuses = tuple(Status(each) for each in dict.fromkeys(query.getall(STATUS, ())) if each in set(Status))
    wanted = PaymentFilter(
        storefront=values.get("storefront"),
        order_id=values.get("order"),
        statuses=statuses,
        after=before if is_place(before) else None,
        limit=PAGE,
        mode=values.get("mode"),
        terminal_id=values.get("terminal"),
        gateway=values.get("gateway"),
        bank_code=latin_digits(values["bank_code"]) if "bank_code" in values else None,
        amount=Bounds(values.get("min"), None if (most := values.get("max")) is None else most + 1),
        created=Bounds(values.get("from"), values.get("to")),
        paid=Bounds(values.get("paid_from"), values.get("paid_to")),
        oldest_first=values.get("sort", False),
    )
    merchant_id = values.get("merchant") if context.token is None else context.token.merchant_id
    return Filters(texts, statuses, merchant_id, wanted, wrong)


def _values(texts: Mapping[str, str]) -> tuple[dict[str, Any], frozenset[str]]:
    values: dict[str, Any] = {}
    wrong = set()
    for name, text in texts.items():
        try:
            values[name] = _READ[name](text)
        except (ValueError, KeyError):
            wrong.add(name)
    return values, frozenset(wrong)


def scan_of(context: PageContext, filters: Filters) -> PaymentScan:
    """The walk over what the viewer may see of the filter."""
    return PaymentFinder(context.access).scan(filters.merchant_id, filters.wanted)


async def read_page(context: PageContext, filters: Filters) -> ScanPage:
    """A page of payments, in the filter's order."""
    return await scan_of(context, filters).page()


def reviews(merchant_id: str | None, limit: int) -> Filters:
    """The payments that need review."""
    return Filters({}, (), merchant_id, PaymentFilter(statuses=(Status.NEEDS_REVIEW,), limit=limit))


async def merchant_choices(context: PageContext, chosen: str | None, limit: int) -> list[Merchant]:
    """The merchants that a list can be narrowed to: the first ones that are not archived, and the chosen one."""
    if context.token is not None:
        return []
    store = context.services.store.merchants
    found = await store.list_merchants(None, limit, archived=False)
    if chosen and chosen not in {each.id for each in found}:
        with suppress(NotFound):
            found.append(await store.merchant(chosen))
    return found
