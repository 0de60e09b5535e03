"""Sealed secrets."""

from proxy.adapters.store.audit import write_audit
from proxy.adapters.store.parts import StoreParts
from proxy.adapters.store.registry_rows import sealed_of
from proxy.adapters.store.transaction import Transaction
from proxy.merchant import AuditEntry
from proxy.records import Sealed


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
                await write_audit(transaction, audit)

        await self._write.do(step)
