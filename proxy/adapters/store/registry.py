"""Merchants, terminals, tokens and endpoints: the larger part of the Registry port."""

from collections.abc import Sequence

from proxy.adapters.store.audit import write_audit
from proxy.adapters.store.parts import LIST_LIMIT, StoreParts
from proxy.adapters.store.registry_rows import (
    endpoint_of,
    endpoint_row,
    merchant_of,
    merchant_row,
    scopes_text,
    sealed_row,
    terminal_of,
    terminal_row,
    token_of,
    token_row,
)
from proxy.adapters.store.transaction import Row, Transaction
from proxy.adapters.store.turns import ground, settle
from proxy.errors import NotFound, StaleVersion
from proxy.merchant import AuditEntry, Endpoint, EndpointState, Merchant, Terminal, Token
from proxy.records import Sealed

# Sorts before every id: the page before the first one.
_BEFORE_ALL_IDS = ""


class StoreRegistry(StoreParts):
    async def add_merchant(
        self, merchant: Merchant, secrets: Sequence[Sealed], audit: AuditEntry, logo: bytes | None = None
    ) -> None:
        async def step(transaction: Transaction) -> None:
            await transaction.run("insert_merchant", merchant_row(merchant))
            await _put_logo(transaction, merchant, logo)
            await transaction.run_all("put_secret", [sealed_row(secret) for secret in secrets])
            await write_audit(transaction, audit)

        await self._write.do(step, merchant.id)

    async def save_merchant(
        self, merchant: Merchant, audit: AuditEntry, secrets: Sequence[Sealed] = (), logo: bytes | None = None
    ) -> None:
        merchant_id, name, origins, looks, _, updated_at = merchant_row(merchant)

        async def step(transaction: Transaction) -> None:
            await _update(transaction, "merchant", (merchant_id, name, origins, looks, updated_at))
            await _put_logo(transaction, merchant, logo)
            await transaction.run_all("put_secret", [sealed_row(secret) for secret in secrets])
            await write_audit(transaction, audit)

        await self._write.do(step, merchant_id)

    async def merchant(self, merchant_id: str) -> Merchant:
        return merchant_of(await self._one("merchant", (merchant_id,)))

    async def logo(self, merchant_id: str, digest: str) -> bytes:
        [image] = await self._one("logo", (merchant_id, digest))
        return bytes(image)

    async def list_merchants(self, after: str | None, limit: int) -> list[Merchant]:
        return [merchant_of(row) for row in await self._rows("list_merchants", (after or _BEFORE_ALL_IDS, limit))]

    async def add_terminal(self, terminal: Terminal, secret: Sealed, audit: AuditEntry) -> None:
        async def step(transaction: Transaction) -> None:
            await _require_merchant(transaction, terminal.merchant_id)
            await transaction.run("insert_terminal", terminal_row(terminal))
            await transaction.run("put_secret", sealed_row(secret))
            await write_audit(transaction, audit)

        await self._write.do(step, terminal.merchant_id)

    async def save_terminal(self, terminal: Terminal, secret: Sealed | None, audit: AuditEntry) -> None:
        merchant_id, terminal_id, name, _, gateway_url, return_base_url, enabled, _, updated_at = terminal_row(terminal)

        async def step(transaction: Transaction) -> None:
            changes = (merchant_id, terminal_id, name, gateway_url, return_base_url, enabled, updated_at)
            await _update(transaction, "terminal", changes)
            if secret is not None:
                await transaction.run("put_secret", sealed_row(secret))
            await write_audit(transaction, audit)

        await self._write.do(step, merchant_id)

    async def terminal(self, merchant_id: str, terminal_id: str) -> Terminal:
        return terminal_of(await self._one("terminal", (merchant_id, terminal_id)))

    async def list_terminals(self, merchant_id: str) -> list[Terminal]:
        return [terminal_of(row) for row in await self._rows("list_terminals", (merchant_id, LIST_LIMIT))]

    async def add_token(self, token: Token, audit: AuditEntry) -> None:
        async def step(transaction: Transaction) -> None:
            await _require_merchant(transaction, token.merchant_id)
            await transaction.run("insert_token", token_row(token))
            await write_audit(transaction, audit)

        await self._write.do(step, token.merchant_id)

    async def save_token(self, token: Token, audit: AuditEntry) -> None:
        changes = (
            token.merchant_id,
            token.id,
            scopes_text(token.scopes),
            token.terminal_id,
            token.expires_at,
            token.revoked_at,
        )

        async def step(transaction: Transaction) -> None:
            await _update(transaction, "token", changes)
            await write_audit(transaction, audit)

        await self._write.do(step, token.merchant_id)

    async def token(self, merchant_id: str, token_id: str) -> Token:
        return token_of(await self._one("token", (merchant_id, token_id)))

    async def token_by_digest(self, merchant_id: str, digest: bytes) -> Token | None:
        rows = await self._rows("token_by_digest", (merchant_id, digest))
        return token_of(rows[0]) if rows else None

    async def list_tokens(self, merchant_id: str) -> list[Token]:
        return [token_of(row) for row in await self._rows("list_tokens", (merchant_id, LIST_LIMIT))]

    async def add_endpoint(self, endpoint: Endpoint, secrets: Sequence[Sealed], audit: AuditEntry) -> None:
        async def step(transaction: Transaction) -> None:
            await _require_merchant(transaction, endpoint.merchant_id)
            await transaction.run("insert_endpoint", endpoint_row(endpoint))
            await transaction.run_all("put_secret", [sealed_row(secret) for secret in secrets])
            await write_audit(transaction, audit)
            await _set_turns(transaction, endpoint)

        await self._write.do(step, endpoint.merchant_id)

    async def save_endpoint(
        self, before: Endpoint, after: Endpoint, audit: AuditEntry, secrets: Sequence[Sealed] = ()
    ) -> None:
        *changes, _, updated_at = endpoint_row(after)

        async def step(transaction: Transaction) -> None:
            if await transaction.run("update_endpoint", (*changes, updated_at, before.updated_at)) == 0:
                raise StaleVersion
            await transaction.run_all("put_secret", [sealed_row(secret) for secret in secrets])
            await write_audit(transaction, audit)
            await _set_turns(transaction, after)

        await self._write.do(step, before.merchant_id)

    async def delete_endpoint(self, merchant_id: str, endpoint_id: str, audit: AuditEntry | None = None) -> None:
        key = (merchant_id, endpoint_id)

        async def step(transaction: Transaction) -> None:
            await ground(transaction, key)
            if await transaction.run("delete_endpoint", key) == 0:
                raise NotFound("endpoint")
            for query in ("delete_secrets", "end_turns", "drop_deliveries"):
                await transaction.run(query, key)
            await _note(transaction, audit)

        await self._write.do(step, merchant_id)

    async def endpoint(self, merchant_id: str, endpoint_id: str) -> Endpoint:
        return endpoint_of(await self._one("endpoint", (merchant_id, endpoint_id)))

    async def list_endpoints(self, merchant_id: str) -> list[Endpoint]:
        return [endpoint_of(row) for row in await self._rows("list_endpoints", (merchant_id, LIST_LIMIT))]

    async def _one(self, what: str, key: Row) -> Row:
        row = await self._row(what, key)
        if row is None:
            raise NotFound(what)
        return row


async def _update(transaction: Transaction, what: str, changes: Row) -> None:
    if await transaction.run(f"update_{what}", changes) == 0:
        raise NotFound(what)


async def _note(transaction: Transaction, audit: AuditEntry | None) -> None:
    if audit is not None:
        await write_audit(transaction, audit)


async def _put_logo(transaction: Transaction, merchant: Merchant, image: bytes | None) -> None:
    """The new image, if there is one; none is kept of a merchant whose looks name none."""
    digest = merchant.looks.logo
    if digest is None:
        await transaction.run("delete_logo", (merchant.id,))
    elif image is not None:
        await transaction.run("put_logo", (merchant.id, digest, image))


async def _require_merchant(transaction: Transaction, merchant_id: str) -> None:
    if await transaction.row("merchant", (merchant_id,)) is None:
        raise NotFound("merchant")


async def _set_turns(transaction: Transaction, endpoint: Endpoint) -> None:
    """Only an enabled endpoint is served; one that comes back, or moves, begins anew with what was held for it."""
    key = (endpoint.merchant_id, endpoint.id)
    await transaction.run("hold_turns", key)
    if endpoint.state is EndpointState.ENABLED:
        await transaction.run("begin_turns", key)
        await settle(transaction, key, endpoint.updated_at)
