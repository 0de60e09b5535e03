"""The saved filters that stand on a list's page."""

from collections.abc import Sequence
from typing import Final

from proxy.console.page_context import PageContext
from proxy.kernel.frozen import dataclass
from proxy.operators.records import Role
from proxy.operators.saved_filters import FilteredList, SavedFilter

SHOWN: Final = 20
"""How many stand on a list's page; a page of their own has them all."""


@dataclass(frozen=True, slots=True)
class SavedOfList:
    """`filters` are the first ones of the list that the operator sees, of `count`; `query` is the present one, empty
    where nothing is filtered, and `current` the filter that it is, the operator's own before another's.
    """

    list: FilteredList
    filters: Sequence[SavedFilter]
    count: int
    query: str
    current: SavedFilter | None


async def saved_of(context: PageContext, of: FilteredList, query: str) -> SavedOfList | None:
    """None for a merchant: its pages belong to a token, which is no person."""
    if context.token is not None:
        return None
    seen = await context.services.store.saved_filters.seen_by(context.viewer.person)
    found = [each for each in seen if each.list is of]
    current = next((each for each in found if each.query == query), None)
    return SavedOfList(of, found[:SHOWN], len(found), query, current)


def may_share(context: PageContext) -> bool:
    return context.viewer.may(Role.OPERATE, None)


def may_delete(context: PageContext, kept: SavedFilter) -> bool:
    """One's own; of those that are for everyone also an owner."""
    return kept.owner == context.viewer.person or (kept.shared and context.owns)
