"""Merchants, their terminals and API tokens in the store. Each write carries its audit entry."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from proxy.audit.log import AuditEntry, write_audit
from proxy.database.repository import LIST_LIMIT, json_text
from proxy.database.transaction import Row, Transaction
from proxy.kernel.errors import NotFound, StaleVersion
from proxy.kernel.ids import merchant_of_id
from proxy.merchants.merchant import Merchant, Terminal, Token
from proxy.merchants.storage.rows import (
    SecretStorage,
    merchant_of,
    merchant_row,
    scopes_text,
    sealed_row,
    terminal_of,
    terminal_row,
    token_of,
    token_row,
)
from proxy.merchants.vault import SealedSecret

# Reads and writes take turns on one connection: a merchant without such payments costs some ten microseconds.
MERCHANTS_AT_ONCE: Final = 100


class Named(StrEnum):
    """Records of merchants that people know by more than an id."""

    MERCHANTS = "merchants"
    TERMINALS = "terminals"
    TOKENS = "tokens"
    ENDPOINTS = "endpoints"


class Name(NamedTuple):
    """What a record is known by beside its id: a merchant's name, with its branding and origins as a JSON list of both;
    a terminal's name and address, a token's prefix and storefront, an endpoint's URL and description.
    """

    merchant_id: str
    id: str
    name: str
    more: str


async def merchants_from(transaction: Transaction, after: str | None) -> tuple[list[str], str, bool]:
    """The next merchants of a walk, the record of the first one after which to go on, and whether there may be more.

    `after` is where the stretch before ended: a record's id, or a merchant's.
    """
    current = None if after is None else merchant_of_id(after)
    rows = await transaction.rows("list_merchants", (current or after or "", MERCHANTS_AT_ONCE))
    following = [row[0] for row in rows]
    more = len(following) == MERCHANTS_AT_ONCE
    return (following, "", more) if current is None else ([current, *following], after or "", more)


# Sorts before every id: the page before the first one.
_BEFORE_ALL_IDS = ""


class MerchantRepository(SecretStorage):
    async def add_merchant(
        self, merchant: Merchant, secrets: Sequence[SealedSecret], audit: AuditEntry, logo: bytes | None = None
    ) -> None:
        async def step(transaction: Transaction) -> None:
            await transaction.run("insert_merchant", merchant_row(merchant))
            await _put_logo(transaction, merchant, logo)
            await transaction.run_all("put_secret", [sealed_row(secret) for secret in secrets])
            await write_audit(transaction, audit)

        await self._write.do(step, merchant.id)

    async def save_merchant(
        self, merchant: Merchant, audit: AuditEntry, secrets: Sequence[SealedSecret] = (), logo: bytes | None = None
    ) -> None:
        """Also replaces the secrets given, and the logo: by a new one, or by none where its digest is gone. It leaves
        `archived_at`. Raises NotFound.
        """
        merchant_id, name, origins, branding, _, updated_at, *contacts, _ = merchant_row(merchant)

        async def step(transaction: Transaction) -> None:
            await _update(transaction, "merchant", (merchant_id, name, origins, branding, updated_at, *contacts))
            await _put_logo(transaction, merchant, logo)
            await transaction.run_all("put_secret", [sealed_row(secret) for secret in secrets])
            await write_audit(transaction, audit)

        await self._write.do(step, merchant_id)

    async def archive(self, merchant_id: str, now: int, audit: AuditEntry) -> None:
        """Archives it at `now`; one that is archived stays so since its time, without an entry. Raises NotFound."""
        await self._move("archive_merchant", merchant_id, now, audit)

    async def unarchive(self, merchant_id: str, now: int, audit: AuditEntry) -> None:
        """Takes that back; one that is not archived stays as it is, without an entry. Raises NotFound."""
        await self._move("unarchive_merchant", merchant_id, now, audit)

    async def _move(self, query: str, merchant_id: str, now: int, audit: AuditEntry) -> None:
        async def step(transaction: Transaction) -> None:
            if await transaction.run(query, (merchant_id, now)) == 1:
                await write_audit(transaction, audit)
            else:
                await require_merchant(transaction, merchant_id)

        await self._write.do(step, merchant_id)

    async def merchant(self, merchant_id: str) -> Merchant:
        """Raises NotFound."""
        return merchant_of(await self._one("merchant", (merchant_id,)))

    async def logo(self, merchant_id: str, digest: str) -> bytes:
        """The picture of this digest. Raises NotFound when it is not the merchant's present one."""
        [image] = await self._one("logo", (merchant_id, digest))
        return bytes(image)

    async def list_merchants(self, after: str | None, limit: int, *, archived: bool | None = None) -> list[Merchant]:
        """In id order, after the id given; with `archived` only those that are, or only those that are not."""
        query = {None: "list_merchants", False: "list_active_merchants", True: "list_archived_merchants"}[archived]
        return [merchant_of(row) for row in await self._rows(query, (after or _BEFORE_ALL_IDS, limit))]

    async def merchants_of_ids(self, ids: Sequence[str]) -> list[Merchant]:
        """Those that there are."""
        return [merchant_of(row) for row in await self._rows("merchants_of_ids", (json_text(ids),))] if ids else []

    async def names(self, kind: Named, first: str, last: str) -> list[Name]:
        """What the records of a kind are known by, of the merchants between two ids; at most 1000."""
        return [Name._make(row) for row in await self._rows(f"names_of_{kind.value}", (first, last, LIST_LIMIT))]

    async def names_in_one_text(self, first: str, last: str) -> dict[Named, str]:
        """The same of each kind in one text, with the ids; of the kinds that there are."""
        rows = await self._rows("names_in_one_text", (first, last, LIST_LIMIT))
        return {Named(kind): text for kind, text in rows if text is not None}

    async def add_terminal(self, terminal: Terminal, secrets: Sequence[SealedSecret], audit: AuditEntry) -> None:
        """Raises NotFound when the merchant does not exist."""

        async def step(transaction: Transaction) -> None:
            await require_merchant(transaction, terminal.merchant_id)
            await transaction.run("insert_terminal", terminal_row(terminal))
            await transaction.run_all("put_secret", [sealed_row(secret) for secret in secrets])
            await write_audit(transaction, audit)

        await self._write.do(step, terminal.merchant_id)

    async def save_terminal(self, terminal: Terminal, secrets: Sequence[SealedSecret], audit: AuditEntry) -> None:
        """Also adds or replaces the secrets given. Raises NotFound."""
        changes = (
            terminal.merchant_id,
            terminal.id,
            terminal.name,
            terminal.gateway_url,
            terminal.return_base_url,
            int(terminal.enabled),
            terminal.updated_at,
            json_text(terminal.options),
        )

        async def step(transaction: Transaction) -> None:
            await _update(transaction, "terminal", changes)
            await transaction.run_all("put_secret", [sealed_row(secret) for secret in secrets])
            await write_audit(transaction, audit)

        await self._write.do(step, terminal.merchant_id)

    async def terminal(self, merchant_id: str, terminal_id: str) -> Terminal:
        return terminal_of(await self._one("terminal", (merchant_id, terminal_id)))

    async def list_terminals(self, merchant_id: str) -> list[Terminal]:
        """In id order, which is the order of creation; at most 1000."""
        return [terminal_of(row) for row in await self._rows("list_terminals", (merchant_id, LIST_LIMIT))]

    async def add_token(self, token: Token, audit: AuditEntry) -> None:
        async def step(transaction: Transaction) -> None:
            await require_merchant(transaction, token.merchant_id)
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

    async def restore_token(self, token: Token, audit: AuditEntry) -> None:
        """Takes the end of a revoked token away. Raises StaleVersion when it is another by now."""

        async def step(transaction: Transaction) -> None:
            if await transaction.run("restore_token", (token.merchant_id, token.id, token.revoked_at)) == 0:
                raise StaleVersion
            await write_audit(transaction, audit)

        await self._write.do(step, token.merchant_id)

    async def replace_token(self, before: Token, after: Token, audit: AuditEntry) -> None:
        """Ends `before` at its time, and adds `after`. An earlier end stands. Raises NotFound."""

        async def step(transaction: Transaction) -> None:
            await write_audit(transaction, audit)
            if await transaction.run("end_token", (before.merchant_id, before.id, before.revoked_at)) == 0:
                raise NotFound("token")
            await transaction.run("insert_token", token_row(after))

        await self._write.do(step, before.merchant_id)

    async def token(self, merchant_id: str, token_id: str) -> Token:
        return token_of(await self._one("token", (merchant_id, token_id)))

    async def token_by_digest(self, merchant_id: str, digest: bytes) -> Token | None:
        rows = await self._rows("token_by_digest", (merchant_id, digest))
        return token_of(rows[0]) if rows else None

    async def list_tokens(self, merchant_id: str) -> list[Token]:
        """At most 1000."""
        return [token_of(row) for row in await self._rows("list_tokens", (merchant_id, LIST_LIMIT))]

    async def _one(self, what: str, key: Row) -> Row:
        row = await self._row(what, key)
        if row is None:
            raise NotFound(what)
        return row


async def _update(transaction: Transaction, what: str, changes: Row) -> None:
    if await transaction.run(f"update_{what}", changes) == 0:
        raise NotFound(what)


async def _put_logo(transaction: Transaction, merchant: Merchant, image: bytes | None) -> None:
    """The new image, if there is one; a merchant without a logo in its branding keeps none."""
    digest = merchant.branding.logo
    if digest is None:
        await transaction.run("delete_logo", (merchant.id,))
    elif image is not None:
        await transaction.run("put_logo", (merchant.id, digest, image))


async def require_merchant(transaction: Transaction, merchant_id: str) -> None:
    if await transaction.row("merchant", (merchant_id,)) is None:
        raise NotFound("merchant")
