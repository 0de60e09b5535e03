"""The page of the saved filters, and how one is kept, replaced and deleted."""

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote_plus

from aiohttp import web
from multidict import MultiDict, MultiMapping

from proxy.console.confirmation import Question, Time, unanswered
from proxy.console.delivery_lists import read_attempts, read_deliveries
from proxy.console.guard import RightLacking
from proxy.console.language import Pair
from proxy.console.page_context import PageContext
from proxy.console.payment_filters import read_filters
from proxy.console.saved_filters import may_delete, may_share
from proxy.kernel.errors import NotFound, invalid
from proxy.operators.records import Role
from proxy.operators.saved_filters import MAX_QUERY_CHARS, FilteredList, SavedFilter, filter_name

PATH: Final = "/filters"
MAX_FIELDS: Final = 60
LISTS: Final[Mapping[FilteredList, Pair]] = {
    FilteredList.PAYMENTS: ("پرداخت‌ها", "Payments"),
    FilteredList.DELIVERIES: ("فرستاده‌ها", "Deliveries"),
    FilteredList.ATTEMPTS: ("تلاش‌ها", "Attempts"),
}
_FILTER: Final = ("صافی", "Filter")


async def list_filters(context: PageContext) -> web.StreamResponse:
    """Those that the operator sees."""
    seen = await context.services.store.saved_filters.seen_by(context.viewer.person)
    deletable = {each.id for each in seen if may_delete(context, each)}
    return context.page("filters.html", filters=seen, deletable=deletable, lists=LISTS)


async def save(context: PageContext) -> web.StreamResponse:
    """Keeps the filter by its name. To replace another filter by it asks first."""
    form = context.form
    of, shared = _list_of(form.get("list", "")), form.get("shared") == "on"
    if shared and not may_share(context):
        raise RightLacking(Role.OPERATE)
    query, name = _canonical(context, of, form.get("query", "")), filter_name(form.get("name", ""))
    viewer = context.viewer
    before = await context.services.store.saved_filters.named(viewer.person, of, name)
    if before is not None and (before.query, before.shared) != (query, shared):
        question = _replacing(before, {"list": of.value, "query": query, "name": name}, query, shared=shared)
        if (page := unanswered(context, question)) is not None:
            return page
    await context.services.saved_filters.keep(viewer.person, viewer.name, of, name, query, shared=shared)
    return context.go(f"/{of}?{query}&said=filter_saved")


async def delete(context: PageContext) -> web.StreamResponse:
    await context.services.saved_filters.delete(await _deletable(context), context.viewer.name)
    return context.go(f"{PATH}?said=filter_deleted")


async def ask_delete(context: PageContext) -> Question:
    kept = await _deletable(context)
    happens: list[Pair] = [
        (
            "این نام از صفحهٔ شما می‌رود؛ به خود فهرست کاری ندارد.",
            "The name leaves your page; the list itself stays as it is.",
        )
    ]
    if kept.shared:
        happens.append(("از صفحهٔ همهٔ گردانندگان هم می‌رود.", "It leaves the pages of all operators, too."))
    return Question(
        title=("صافی پاک شود؟", "Delete this filter?"),
        subject=kept.name,
        happens=happens,
        facts=_facts(kept),
        yes=("پاک کن", "Delete it"),
        back=PATH,
        section=f"/{kept.list}",
    )


def _replacing(before: SavedFilter, fields: Mapping[str, str], query: str, *, shared: bool) -> Question:
    happens: list[Pair] = [
        (
            "صافی‌ای به این نام دارید؛ تازه جای آن را می‌گیرد.",
            "You have a filter of this name: the new one takes its place.",
        )
    ]
    if before.shared and not shared:
        happens.append(("دیگر همگانی نیست.", "It is no longer for everyone."))
    elif shared:
        happens.append(("برای همهٔ گردانندگان چنین می‌شود.", "It becomes so for all operators."))
    return Question(
        title=("جای صافی پیشین را بگیرد؟", "Replace the filter?"),
        subject=before.name,
        happens=happens,
        facts=[*_facts(before), (("صافی تازه", "The new filter"), unquote_plus(query))],
        yes=("جایگزین کن", "Replace it"),
        back=f"/{before.list}?{query}",
        section=f"/{before.list}",
        carried={**fields, **({"shared": "on"} if shared else {})},
    )


def _facts(kept: SavedFilter) -> list[tuple[Pair, Time | int | str]]:
    return [(_FILTER, kept.text), (("نگه‌داشته در", "Kept at"), Time(kept.updated_at))]


async def _deletable(context: PageContext) -> SavedFilter:
    """Another's own is not told of. Raises NotFound, and RightLacking for one that is another's for everyone."""
    kept = await context.services.store.saved_filters.filter(context.request.match_info["filter_id"])
    if may_delete(context, kept):
        return kept
    if kept.shared:
        raise RightLacking(Role.OWNER)
    raise NotFound("filter")


def _list_of(text: str) -> FilteredList:
    try:
        return FilteredList(text)
    except ValueError:
        raise invalid("list", "not_a_choice", "must be one of the lists", "باید یکی از فهرست‌ها باشد") from None


def _canonical(context: PageContext, of: FilteredList, text: str) -> str:
    """The query with what its list reads of it, in one order. Raises InvalidInput where that is nothing, or wrong."""
    try:
        pairs = parse_qsl(text[: MAX_QUERY_CHARS + 1], max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise invalid("query", "malformed", "cannot be read", "خوانده نمی‌شود") from None
    query, wrong = _READ[of](MultiDict(pairs), context)
    if wrong:
        fields = ", ".join(sorted(wrong))
        raise invalid("query", "malformed", f"cannot be read: {fields}", f"خوانده نمی‌شود: {fields}")
    if not query:
        raise invalid("query", "empty", "must filter something", "باید چیزی را برگزیند")
    return query


def _payments(query: MultiMapping[str], context: PageContext) -> tuple[str, frozenset[str]]:
    filters = read_filters(query, context)
    return filters.text, filters.wrong


def _deliveries(query: MultiMapping[str], _context: PageContext) -> tuple[str, frozenset[str]]:
    texts, _ = read_deliveries(query)
    return texts.query(), texts.wrong


def _attempts(query: MultiMapping[str], _context: PageContext) -> tuple[str, frozenset[str]]:
    texts, _ = read_attempts(query)
    return texts.query(), texts.wrong


_READ: Final[Mapping[FilteredList, Callable[[MultiMapping[str], PageContext], tuple[str, frozenset[str]]]]] = {
    FilteredList.PAYMENTS: _payments,
    FilteredList.DELIVERIES: _deliveries,
    FilteredList.ATTEMPTS: _attempts,
}
