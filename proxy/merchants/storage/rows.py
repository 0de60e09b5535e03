"""Merchants, terminals, tokens, endpoints, secrets and audit entries as rows of `sql/common`."""

from collections.abc import Sequence
from dataclasses import asdict, field

import orjson

from proxy.audit.log import AuditEntry, write_audit
from proxy.database.repository import Repository, json_text
from proxy.database.transaction import Row, Transaction
from proxy.kernel.frozen import dataclass
from proxy.kernel.urls import ascii_or_same, origin_or_same
from proxy.merchants.contacts import BETWEEN, contacts_of
from proxy.merchants.merchant import (
    AmountUnit,
    Branding,
    Language,
    Merchant,
    Mode,
    ReturnMethod,
    Scope,
    Terminal,
    Token,
)
from proxy.merchants.vault import SealedSecret, credential_of


def merchant_of(row: Row) -> Merchant:
    merchant_id, name, origins, branding, created_at, updated_at, contact, more_contacts, archived_at = row
    # Rows from before origins had one form are read in it.
    forms = tuple(map(origin_or_same, orjson.loads(origins)))
    contacts = BETWEEN.join(filter(None, (contact, more_contacts))) or None
    return Merchant(merchant_id, name, forms, created_at, updated_at, _branding_of(branding, contacts), archived_at)


def merchant_row(merchant: Merchant) -> Row:
    branding = asdict(merchant.branding)
    # In columns of their own: code from before takes no member of `looks` that it does not know, and one contact alone.
    contacts = [contact.text for contact in contacts_of(branding.pop("contact") or "")]
    first, others = (contacts[0] if contacts else None), BETWEEN.join(contacts[1:]) or None
    times, origins = (merchant.created_at, merchant.updated_at), json_text(merchant.return_origins)
    return (merchant.id, merchant.name, origins, json_text(branding), *times, first, others, merchant.archived_at)


def _branding_of(text: str, contact: str | None) -> Branding:
    members = orjson.loads(text)
    language = members.pop("language")
    return Branding(**members, language=None if language is None else Language(language), contact=contact)


def terminal_row(terminal: Terminal) -> Row:
    return (
        terminal.merchant_id,
        terminal.id,
        terminal.name,
        terminal.mode.value,
        terminal.gateway_url,
        terminal.return_base_url,
        int(terminal.enabled),
        terminal.created_at,
        terminal.updated_at,
        terminal.gateway,
        json_text(terminal.options),
    )


def terminal_of(row: Row) -> Terminal:
    return Terminal(
        id=row[1],
        merchant_id=row[0],
        name=row[2],
        mode=Mode(row[3]),
        gateway_url=ascii_or_same(row[4]),
        return_base_url=row[5] and ascii_or_same(row[5]),
        enabled=row[6] == 1,
        created_at=row[7],
        updated_at=row[8],
        gateway=row[9],
        options=orjson.loads(row[10]),
    )


def token_row(token: Token) -> Row:
    return (
        token.merchant_id,
        token.id,
        token.storefront,
        token.mode.value,
        token.prefix,
        token.digest,
        scopes_text(token.scopes),
        token.terminal_id,
        token.created_at,
        token.expires_at,
        token.revoked_at,
        token.amount_unit.value,
        token.return_method.value,
        int(token.any_https_return),
        token.last_used_at,
        token.protocol,
    )


def token_of(row: Row) -> Token:
    return Token(
        id=row[1],
        merchant_id=row[0],
        storefront=row[2],
        mode=Mode(row[3]),
        prefix=row[4],
        digest=row[5],
        scopes=frozenset(map(Scope, row[6].split())),
        terminal_id=row[7],
        created_at=row[8],
        expires_at=row[9],
        revoked_at=row[10],
        amount_unit=AmountUnit(row[11]),
        return_method=ReturnMethod(row[12]),
        any_https_return=row[13] == 1,
        last_used_at=row[14],
        protocol=row[15],
    )


def scopes_text(scopes: frozenset[Scope]) -> str:
    return " ".join(sorted(scope.value for scope in scopes))


def sealed_row(sealed: SealedSecret) -> Row:
    return (sealed.merchant_id, sealed.owner_id, sealed.name, sealed.kek_id, sealed.blob)


def sealed_of(row: Row) -> SealedSecret:
    return SealedSecret(*row)


_HEARTBEAT = 1


@dataclass(frozen=True, slots=True)
class PlainHeaders:
    """An endpoint's extra headers as an older Dargah kept them: `text` is the row's, a JSON object."""

    merchant_id: str
    endpoint_id: str
    url: str
    text: str = field(repr=False)


class SecretStorage(Repository):
    async def secrets(self, merchant_id: str, owner_id: str) -> list[SealedSecret]:
        """All secrets of one owner (a terminal, an endpoint, a merchant)."""
        return [sealed_of(row) for row in await self._rows("secrets", (merchant_id, owner_id))]

    async def credential_names(self, merchant_id: str) -> dict[str, list[str]]:
        """The names of the credentials that each terminal of the merchant has, by its id; none for one without."""
        names: dict[str, list[str]] = {}
        for terminal_id, name in await self._rows("credential_names", (merchant_id,)):
            names.setdefault(terminal_id, []).append(credential_of(name))
        return names

    async def sealed_otherwise(self, kek_id: str, limit: int) -> list[SealedSecret]:
        """Secrets that are not sealed under `kek_id`."""
        return [sealed_of(row) for row in await self._rows("sealed_otherwise", (kek_id, limit))]

    async def kek_ids(self) -> set[str]:
        """The ids of all keys under which something is sealed."""
        return {row[0] for row in await self._rows("kek_ids", ())}

    async def rewrap(self, before: SealedSecret, after: SealedSecret, audit: AuditEntry | None) -> None:
        """Replaces the blob if it is still that of `before`; otherwise leaves the newer secret."""
        key = (before.merchant_id, before.owner_id, before.name, before.blob)

        async def step(transaction: Transaction) -> None:
            replaced = await transaction.run("rewrap_secret", (*key, after.kek_id, after.blob)) == 1
            if replaced and audit is not None:
                await write_audit(transaction, audit)

        await self._write.do(step)

    async def secrets_bound_at(self) -> int | None:
        """When the upgrade that binds secrets to their origins was done; None while it is still to do."""
        [at] = await self._row("secrets_bound_at", (_HEARTBEAT,)) or (None,)
        return None if at is None else int(at)

    async def note_secrets_bound(self, now: int) -> None:
        """Notes the end of the upgrade. The first time is kept."""
        await self._write.do(lambda transaction: transaction.run("note_secrets_bound", (now,)))

    async def terminal_secrets(self, after: tuple[str, str, str], limit: int) -> list[tuple[SealedSecret, str]]:
        """The credentials of all terminals, each with its terminal's gateway_url, behind `after` in the order of
        (merchant_id, terminal_id, name).
        """
        rows = await self._rows("terminal_secrets", (*after, limit))
        return [(sealed_of(row[:-1]), row[-1]) for row in rows]

    async def plain_headers(self, limit: int) -> list[PlainHeaders]:
        """Endpoints with unsealed extra headers in their row, as an older Dargah wrote them."""
        return [PlainHeaders(*row) for row in await self._rows("plain_headers", (limit,))]

    async def seal_headers(
        self, plain: PlainHeaders, names: Sequence[str], sealed: SealedSecret | None, audit: AuditEntry
    ) -> None:
        """Puts the names and the sealed headers in place of the plain ones, if the row is still as it was read."""
        row = (plain.merchant_id, plain.endpoint_id, plain.url, plain.text, json_text(names))

        async def step(transaction: Transaction) -> None:
            if await transaction.run("name_headers", row) == 0:
                return
            if sealed is not None:
                await transaction.run("put_secret", sealed_row(sealed))
            await write_audit(transaction, audit)

        await self._write.do(step, plain.merchant_id)
