"""Sealed secrets and the audit log: the rest of the Registry port."""

from collections.abc import Sequence

from proxy.adapters.store.parts import StoreParts
from proxy.adapters.store.registry_rows import audit_of, audit_row, sealed_of
from proxy.adapters.store.transaction import Row, Transaction
from proxy.merchant import AuditEntry
from proxy.records import Sealed

# Later than every entry: the page before the first one.
_AFTER_ALL_TIMES = 2**63 - 1


class StoreSecrets(StoreParts):
    async def secrets(self, merchant_id: str, owner_id: str) -> list[Sealed]:
        return [sealed_of(row) for row in await self._rows("secrets", (merchant_id, owner_id))]

    async def sealed_otherwise(self, kek_id: str, limit: int) -> list[Sealed]:
        return [sealed_of(row) for row in await self._rows("sealed_otherwise", (kek_id, limit))]

    async def kek_ids(self) -> set[str]:
        return {row[0] for row in await self._rows("kek_ids", ())}

    async def rewrap(self, before: Sealed, after: Sealed, audit: AuditEntry | None) -> None:
        key = (before.merchant_id, before.owner_id, before.name, before.blob)

        async def step(transaction: Transaction) -> None:
            replaced = await transaction.run("rewrap_secret", (*key, after.kek_id, after.blob)) == 1
            if replaced and audit is not None:
                await transaction.run("insert_audit", audit_row(audit))

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
