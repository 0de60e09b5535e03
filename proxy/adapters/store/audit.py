"""The audit log, a hash chain per merchant."""

from collections.abc import Sequence
from typing import cast

from proxy.adapters.store.parts import StoreParts
from proxy.adapters.store.registry_rows import audit_of, audit_row
from proxy.adapters.store.transaction import Row, Transaction
from proxy.audit.chain import GENESIS, Head, Link
from proxy.merchant import AuditEntry

# Later than every entry: the page before the first one.
_AFTER_ALL_TIMES = 2**63 - 1


async def write_audit(transaction: Transaction, entry: AuditEntry) -> None:
    """The entry at the end of its merchant's chain, within the transaction of the act that it tells of."""
    merchant_id, entry_id, at, actor, action, target, data = audit_row(entry)
    # All rows are fetched, as with the events' numbers: a RETURNING that is not read to its end is not done.
    [(number, previous)] = await transaction.rows("advance_audit", (merchant_id, GENESIS))
    content = (entry_id, at, actor, action, target, data)
    digest = Link(merchant_id, number, *content, b"").hash_after(previous)
    await transaction.run("insert_audit", (merchant_id, *content, number, digest))
    await transaction.run("set_audit_head", (merchant_id, digest))


class StoreAudit(StoreParts):
    async def add_audit(self, entry: AuditEntry) -> None:
        async def step(transaction: Transaction) -> None:
            await write_audit(transaction, entry)

        await self._write.do(step)

    async def list_audit(self, merchant_id: str | None, after: str | None, limit: int) -> list[AuditEntry]:
        async def step(transaction: Transaction) -> Sequence[Row]:
            point: tuple[int, str] = (_AFTER_ALL_TIMES, "")
            if after is not None:
                row = await transaction.row("audit_at", (after,))
                if row is None:
                    return []
                point = (row[0], after)
            if merchant_id is None:
                return await transaction.rows("list_audit_of_all", (*point, limit))
            return await transaction.rows("list_audit", (merchant_id, *point, limit))

        return [audit_of(row) for row in await self._read.do(step)]

    async def audit_merchants(self, after: str, limit: int) -> list[str]:
        return [row[0] for row in await self._rows("audit_merchants", (after, limit))]

    async def audit_links(self, merchant_id: str, after: int, limit: int) -> tuple[Sequence[Link], Head | None]:
        async def step(transaction: Transaction) -> tuple[Sequence[Row], Row | None]:
            # In this order: a head that is read later knows every entry that was read.
            rows = await transaction.rows("audit_links", (merchant_id, after, limit))
            return rows, await transaction.row("audit_head", (merchant_id,))

        rows, head = await self._read.do(step)
        return [Link(*row) for row in rows], None if head is None else Head(*cast("tuple[int, bytes]", tuple(head)))
