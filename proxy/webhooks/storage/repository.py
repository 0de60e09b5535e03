"""Webhooks in the store: endpoints, events, and the deliveries that take events to endpoints."""

from collections.abc import Sequence

from proxy.audit.log import AuditEntry, write_audit
from proxy.database.repository import LIST_LIMIT, Repository
from proxy.database.transaction import Row, Transaction
from proxy.kernel.errors import NotFound, StaleVersion
from proxy.merchants.merchant import Mode
from proxy.merchants.storage.repository import require_merchant
from proxy.merchants.storage.rows import sealed_row
from proxy.merchants.vault import HEADERS, SealedSecret
from proxy.webhooks.endpoint import Endpoint, EndpointState
from proxy.webhooks.storage.deliveries import DeliveryStorage
from proxy.webhooks.storage.delivery_lists import DeliveryLists
from proxy.webhooks.storage.events import EventStorage
from proxy.webhooks.storage.queue import abandon_claims, settle
from proxy.webhooks.storage.redelivery import RedeliveryStorage
from proxy.webhooks.storage.rows import endpoint_of, endpoint_row


class EndpointStorage(Repository):
    async def add_endpoint(self, endpoint: Endpoint, secrets: Sequence[SealedSecret], audit: AuditEntry) -> None:
        async def step(transaction: Transaction) -> None:
            await require_merchant(transaction, endpoint.merchant_id)
            await transaction.run("insert_endpoint", endpoint_row(endpoint))
            await transaction.run_all("put_secret", [sealed_row(secret) for secret in secrets])
            await write_audit(transaction, audit)
            await _begin_queue(transaction, endpoint)

        await self._write.do(step, endpoint.merchant_id)

    async def save_endpoint(
        self, before: Endpoint, after: Endpoint, audit: AuditEntry, secrets: Sequence[SealedSecret] = ()
    ) -> None:
        """Also adds the secrets given. Raises StaleVersion when it changed, or went, since `before` was read."""
        merchant_id, endpoint_id, _, *changes, _, updated_at = endpoint_row(after)
        changed = (merchant_id, endpoint_id, *changes, updated_at, before.updated_at)

        async def step(transaction: Transaction) -> None:
            if await transaction.run("update_endpoint", changed) == 0:
                raise StaleVersion
            if not after.header_names:
                await transaction.run("delete_secret", (after.merchant_id, after.id, HEADERS))
            await transaction.run_all("put_secret", [sealed_row(secret) for secret in secrets])
            await write_audit(transaction, audit)
            await _begin_queue(transaction, after)

        await self._write.do(step, before.merchant_id)

    async def delete_endpoint(self, merchant_id: str, endpoint_id: str, audit: AuditEntry | None = None) -> None:
        """Removes it with its secrets; its undelivered webhooks become `dropped`. Raises NotFound."""
        key = (merchant_id, endpoint_id)

        async def step(transaction: Transaction) -> None:
            await abandon_claims(transaction, key)
            if await transaction.run("delete_endpoint", key) == 0:
                raise NotFound("endpoint")
            for query in ("delete_secrets", "end_turns", "drop_deliveries"):
                await transaction.run(query, key)
            await _note(transaction, audit)

        await self._write.do(step, merchant_id)

    async def endpoint(self, merchant_id: str, endpoint_id: str) -> Endpoint:
        return endpoint_of(await self._endpoint_row(merchant_id, endpoint_id))

    async def list_endpoints(self, merchant_id: str) -> list[Endpoint]:
        """At most 1000."""
        return [endpoint_of(row) for row in await self._rows("list_endpoints", (merchant_id, LIST_LIMIT))]

    async def all_endpoints(self, mode: Mode | None, limit: int) -> list[Endpoint]:
        """The first ones of all merchants, of a mode or of both."""
        modes = (min(Mode), max(Mode)) if mode is None else (mode, mode)
        return [endpoint_of(row) for row in await self._rows("all_endpoints", ("", *modes, limit))]

    async def _endpoint_row(self, merchant_id: str, endpoint_id: str) -> Row:
        row = await self._row("endpoint", (merchant_id, endpoint_id))
        if row is None:
            raise NotFound("endpoint")
        return row


async def _note(transaction: Transaction, audit: AuditEntry | None) -> None:
    if audit is not None:
        await write_audit(transaction, audit)


async def _begin_queue(transaction: Transaction, endpoint: Endpoint) -> None:
    """Only an enabled endpoint is served; one that comes back, or moves, begins anew with its held deliveries."""
    key = (endpoint.merchant_id, endpoint.id)
    await transaction.run("hold_turns", key)
    if endpoint.state is EndpointState.ENABLED:
        await transaction.run("begin_turns", key)
        await settle(transaction, key, endpoint.updated_at)


class WebhookRepository(EndpointStorage, EventStorage, DeliveryStorage, RedeliveryStorage, DeliveryLists):
    """Every method is one step in one transaction, durable when it returns. Raises StoreUnavailable."""
