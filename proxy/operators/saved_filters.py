"""Filters of the console's lists that operators keep by a name: their own, and those that they show to everyone.

A filter is the query of its list's page. It is read anew whenever it is opened, so one that says something that is no
longer there is told of as any query is.
"""

import unicodedata
from collections.abc import Sequence
from enum import StrEnum
from typing import Final
from urllib.parse import unquote_plus

from proxy.audit.log import INSTALLATION, AuditEntry, write_audit
from proxy.database.repository import Repository
from proxy.database.transaction import Row, Transaction
from proxy.kernel.clock import Now
from proxy.kernel.errors import Conflict, NotFound, invalid
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import AUDIT, FILTER, NO_MERCHANT, Ids
from proxy.kernel.text import is_blank, refused_in

MAX_OWN: Final = 50
MAX_SHARED: Final = 100
MAX_NAME_CHARS: Final = 60
MAX_QUERY_CHARS: Final = 2000


class FilteredList(StrEnum):
    """The lists that can be filtered, by their paths in the console."""

    PAYMENTS = "payments"
    DELIVERIES = "deliveries"
    ATTEMPTS = "attempts"


@dataclass(frozen=True, slots=True)
class SavedFilter:
    """`owner` is the person who keeps it, `owner_name` their name when it was kept; `shared` ones are for everyone."""

    id: str
    owner: str
    owner_name: str
    list: FilteredList
    name: str
    query: str
    shared: bool
    updated_at: int

    @property
    def text(self) -> str:
        """The query as people read it."""
        return unquote_plus(self.query)


class SavedFilterRepository(Repository):
    async def seen_by(self, owner: str) -> Sequence[SavedFilter]:
        """The operator's own, and those of others that are for everyone; by list and name."""
        own = await self._rows("own_filters", (owner, MAX_OWN))
        shared = await self._rows("shared_filters", (MAX_SHARED,))
        found = map(_filter_of, [*own, *(row for row in shared if row[1] != owner)])
        return sorted(found, key=lambda each: (each.list, each.owner != owner, each.name))

    async def filter(self, filter_id: str) -> SavedFilter:
        """Raises NotFound."""
        row = await self._row("saved_filter", (filter_id,))
        if row is None:
            raise NotFound("filter")
        return _filter_of(row)

    async def named(self, owner: str, of: FilteredList, name: str) -> SavedFilter | None:
        row = await self._row("filter_named", (owner, of.value, name))
        return None if row is None else _filter_of(row)

    async def save(self, kept: SavedFilter, audit: AuditEntry | None) -> None:
        """In place of the owner's one of the same name. Raises Conflict where there are too many already."""
        key = (kept.owner, kept.list.value, kept.name)

        async def step(transaction: Transaction) -> None:
            if audit is not None:
                await write_audit(transaction, audit)
            [(own,)] = await transaction.rows("count_own_filters", key)
            [(shared,)] = await transaction.rows("count_shared_filters", key)
            if own >= MAX_OWN:
                raise Conflict(
                    f"you have {own} filters already; delete one first", f"{own} صافی دارید؛ نخست یکی را پاک کنید"
                )
            if kept.shared and shared >= MAX_SHARED:
                raise Conflict(
                    f"there are {shared} filters for everyone already; one of them must go first",
                    f"{shared} صافی همگانی هست؛ نخست باید یکی پاک شود",
                )
            await transaction.run("save_filter", _row(kept))

        await self._write.do(step, INSTALLATION)

    async def delete(self, filter_id: str, audit: AuditEntry | None) -> None:
        """Raises NotFound."""

        async def step(transaction: Transaction) -> None:
            if audit is not None:
                await write_audit(transaction, audit)
            if await transaction.run("delete_filter", (filter_id,)) == 0:
                raise NotFound("filter")

        await self._write.do(step, INSTALLATION)


def _row(kept: SavedFilter) -> Row:
    shared = int(kept.shared)
    return (kept.id, kept.owner, kept.owner_name, kept.list.value, kept.name, kept.query, shared, kept.updated_at)


def _filter_of(row: Row) -> SavedFilter:
    filter_id, owner, owner_name, of, name, query, shared, updated_at = row
    return SavedFilter(filter_id, owner, owner_name, FilteredList(of), name, query, bool(shared), updated_at)


class SavedFilters:
    """Keeps and deletes them. What concerns everyone is in the audit log."""

    def __init__(self, filters: SavedFilterRepository, ids: Ids, now: Now) -> None:
        self._filters = filters
        self._ids = ids
        self._now = now

    async def keep(
        self, owner: str, owner_name: str, of: FilteredList, name: str, query: str, *, shared: bool
    ) -> SavedFilter:
        """The filter, in place of the owner's one of that name. Raises InvalidInput and Conflict."""
        if not query or len(query) > MAX_QUERY_CHARS:
            raise invalid(
                "query",
                "out_of_range",
                f"must have 1 to {MAX_QUERY_CHARS} characters",
                f"باید ۱ تا {MAX_QUERY_CHARS} نویسه داشته باشد",
            )
        name, now = filter_name(name), self._now()
        before = await self._filters.named(owner, of, name)
        filter_id = self._ids.record(FILTER, NO_MERCHANT, now) if before is None else before.id
        kept = SavedFilter(filter_id, owner, owner_name, of, name, query, shared, now)
        action = "filter.share" if shared else "filter.withdraw" if before is not None and before.shared else None
        await self._filters.save(kept, None if action is None else self._audit(owner_name, action, kept))
        return kept

    async def delete(self, kept: SavedFilter, actor: str) -> None:
        """Raises NotFound."""
        await self._filters.delete(kept.id, self._audit(actor, "filter.withdraw", kept) if kept.shared else None)

    def _audit(self, actor: str, action: str, kept: SavedFilter) -> AuditEntry:
        now = self._now()
        data = {"name": kept.name, "list": kept.list.value, "query": kept.query, "kept_by": kept.owner_name}
        return AuditEntry(self._ids.record(AUDIT, NO_MERCHANT, now), INSTALLATION, now, actor, action, kept.id, data)


def filter_name(text: str) -> str:
    """The name without white space around it or twice, in one form of its letters. Raises InvalidInput."""
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not 0 < len(name) <= MAX_NAME_CHARS or refused_in(name) is not None or is_blank(name):
        raise invalid(
            "name",
            "name_invalid",
            f"must be one line of 1 to {MAX_NAME_CHARS} characters that can be seen",
            f"باید یک خط دیدنی از ۱ تا {MAX_NAME_CHARS} نویسه باشد",
        )
    return name
