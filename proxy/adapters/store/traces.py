"""The Traces port: in which trace a payment was created."""

from proxy.adapters.store.parts import StoreParts


class StoreTraces(StoreParts):
    async def trace_of_payment(self, merchant_id: str, payment_id: str) -> str | None:
        row = await self._row("trace_of_payment", (merchant_id, payment_id))
        return None if row is None else row[0]

    async def trace_of_link(self, merchant_id: str, link: str) -> str | None:
        row = await self._row("trace_of_link", (merchant_id, link))
        return None if row is None else row[0]
