"""Merchants, terminals, tokens and endpoints: the larger part of the Registry port on SQLite."""

import sqlite3
from collections.abc import Sequence

from proxy.adapters.sqlite.lanes import LIST_LIMIT, SQL, Lanes
from proxy.adapters.sqlite.registry_rows import (
    Row,
    audit_row,
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
from proxy.adapters.sqlite.turns import settle
from proxy.errors import NotFound, StaleVersion
from proxy.merchant import AuditEntry, Endpoint, EndpointState, Merchant, Terminal, Token
from proxy.records import Sealed

# Sorts before every id: the page before the first one.
_BEFORE_ALL_IDS = ""


class SqliteRegistry(Lanes):
    async def add_merchant(self, merchant: Merchant, secrets: Sequence[Sealed], audit: AuditEntry) -> None:
        def step(connection: sqlite3.Connection) -> None:
            connection.execute(SQL["insert_merchant"], merchant_row(merchant))
            connection.executemany(SQL["put_secret"], [sealed_row(secret) for secret in secrets])
            connection.execute(SQL["insert_audit"], audit_row(audit))

        await self._write.do(step)

    async def save_merchant(self, merchant: Merchant, audit: AuditEntry, secrets: Sequence[Sealed] = ()) -> None:
        merchant_id, name, origins, _, updated_at = merchant_row(merchant)

        def step(connection: sqlite3.Connection) -> None:
            _update(connection, "merchant", (merchant_id, name, origins, updated_at))
            connection.executemany(SQL["put_secret"], [sealed_row(secret) for secret in secrets])
            connection.execute(SQL["insert_audit"], audit_row(audit))

        await self._write.do(step)

    async def merchant(self, merchant_id: str) -> Merchant:
        return merchant_of(await self._one("merchant", (merchant_id,)))

    async def list_merchants(self, after: str | None, limit: int) -> list[Merchant]:
        return [merchant_of(row) for row in await self._rows("list_merchants", (after or _BEFORE_ALL_IDS, limit))]

    async def add_terminal(self, terminal: Terminal, secret: Sealed, audit: AuditEntry) -> None:
        def step(connection: sqlite3.Connection) -> None:
            _require_merchant(connection, terminal.merchant_id)
            connection.execute(SQL["insert_terminal"], terminal_row(terminal))
            connection.execute(SQL["put_secret"], sealed_row(secret))
            connection.execute(SQL["insert_audit"], audit_row(audit))

        await self._write.do(step)

    async def save_terminal(self, terminal: Terminal, secret: Sealed | None, audit: AuditEntry) -> None:
        merchant_id, terminal_id, name, _, gateway_url, return_base_url, enabled, _, updated_at = terminal_row(terminal)

        def step(connection: sqlite3.Connection) -> None:
            changes = (merchant_id, terminal_id, name, gateway_url, return_base_url, enabled, updated_at)
            _update(connection, "terminal", changes)
            if secret is not None:
                connection.execute(SQL["put_secret"], sealed_row(secret))
            connection.execute(SQL["insert_audit"], audit_row(audit))

        await self._write.do(step)

    async def terminal(self, merchant_id: str, terminal_id: str) -> Terminal:
        return terminal_of(await self._one("terminal", (merchant_id, terminal_id)))

    async def list_terminals(self, merchant_id: str) -> list[Terminal]:
        return [terminal_of(row) for row in await self._rows("list_terminals", (merchant_id, LIST_LIMIT))]

    async def add_token(self, token: Token, audit: AuditEntry) -> None:
        def step(connection: sqlite3.Connection) -> None:
            _require_merchant(connection, token.merchant_id)
            connection.execute(SQL["insert_token"], token_row(token))
            connection.execute(SQL["insert_audit"], audit_row(audit))

        await self._write.do(step)

    async def save_token(self, token: Token, audit: AuditEntry) -> None:
        changes = (
            token.merchant_id,
            token.id,
            scopes_text(token.scopes),
            token.terminal_id,
            token.expires_at,
            token.revoked_at,
        )

        def step(connection: sqlite3.Connection) -> None:
            _update(connection, "token", changes)
            connection.execute(SQL["insert_audit"], audit_row(audit))

        await self._write.do(step)

    async def token(self, merchant_id: str, token_id: str) -> Token:
        return token_of(await self._one("token", (merchant_id, token_id)))

    async def token_by_digest(self, merchant_id: str, digest: bytes) -> Token | None:
        rows = await self._rows("token_by_digest", (merchant_id, digest))
        return token_of(rows[0]) if rows else None

    async def list_tokens(self, merchant_id: str) -> list[Token]:
        return [token_of(row) for row in await self._rows("list_tokens", (merchant_id, LIST_LIMIT))]

    async def add_endpoint(self, endpoint: Endpoint, secrets: Sequence[Sealed], audit: AuditEntry) -> None:
        def step(connection: sqlite3.Connection) -> None:
            _require_merchant(connection, endpoint.merchant_id)
            connection.execute(SQL["insert_endpoint"], endpoint_row(endpoint))
            connection.executemany(SQL["put_secret"], [sealed_row(secret) for secret in secrets])
            connection.execute(SQL["insert_audit"], audit_row(audit))
            _set_turns(connection, endpoint)

        await self._write.do(step)

    async def save_endpoint(
        self, before: Endpoint, after: Endpoint, audit: AuditEntry, secrets: Sequence[Sealed] = ()
    ) -> None:
        *changes, _, updated_at = endpoint_row(after)

        def step(connection: sqlite3.Connection) -> None:
            if connection.execute(SQL["update_endpoint"], (*changes, updated_at, before.updated_at)).rowcount == 0:
                raise StaleVersion
            connection.executemany(SQL["put_secret"], [sealed_row(secret) for secret in secrets])
            connection.execute(SQL["insert_audit"], audit_row(audit))
            _set_turns(connection, after)

        await self._write.do(step)

    async def delete_endpoint(self, merchant_id: str, endpoint_id: str, audit: AuditEntry | None = None) -> None:
        key = (merchant_id, endpoint_id)

        def step(connection: sqlite3.Connection) -> None:
            if connection.execute(SQL["delete_endpoint"], key).rowcount == 0:
                raise NotFound("endpoint")
            for query in ("delete_secrets", "end_turns", "drop_deliveries"):
                connection.execute(SQL[query], key)
            _note(connection, audit)

        await self._write.do(step)

    async def endpoint(self, merchant_id: str, endpoint_id: str) -> Endpoint:
        return endpoint_of(await self._one("endpoint", (merchant_id, endpoint_id)))

    async def list_endpoints(self, merchant_id: str) -> list[Endpoint]:
        return [endpoint_of(row) for row in await self._rows("list_endpoints", (merchant_id, LIST_LIMIT))]

    async def _one(self, what: str, key: Row) -> Row:
        row: Row | None = await self._read.do(lambda connection: connection.execute(SQL[what], key).fetchone())
        if row is None:
            raise NotFound(what)
        return row


def _update(connection: sqlite3.Connection, what: str, changes: Row) -> None:
    if connection.execute(SQL[f"update_{what}"], changes).rowcount == 0:
        raise NotFound(what)


def _note(connection: sqlite3.Connection, audit: AuditEntry | None) -> None:
    if audit is not None:
        connection.execute(SQL["insert_audit"], audit_row(audit))


def _require_merchant(connection: sqlite3.Connection, merchant_id: str) -> None:
    if connection.execute(SQL["merchant"], (merchant_id,)).fetchone() is None:
        raise NotFound("merchant")


def _set_turns(connection: sqlite3.Connection, endpoint: Endpoint) -> None:
    """Only an enabled endpoint is served; one that comes back, or moves, begins anew with what was held for it."""
    key = (endpoint.merchant_id, endpoint.id)
    connection.execute(SQL["end_turns"], key)
    if endpoint.state is EndpointState.ENABLED:
        connection.execute(SQL["begin_turns"], key)
        settle(connection, key, endpoint.updated_at)
