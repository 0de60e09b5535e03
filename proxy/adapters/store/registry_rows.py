"""Merchants, terminals, tokens, endpoints, secrets and audit entries as rows of `sql/common/registry.sql`."""

from dataclasses import asdict
from functools import lru_cache

import orjson

from proxy.adapters.store.payment_rows import json_text
from proxy.adapters.store.transaction import Row
from proxy.merchant import (
    AmountUnit,
    AuditEntry,
    Endpoint,
    EndpointState,
    Language,
    Looks,
    Merchant,
    Mode,
    ReturnMethod,
    Scope,
    Terminal,
    Token,
)
from proxy.records import Sealed


def merchant_of(row: Row) -> Merchant:
    merchant_id, name, origins, looks, created_at, updated_at = row
    return Merchant(merchant_id, name, tuple(orjson.loads(origins)), created_at, updated_at, _looks_of(looks))


def merchant_row(merchant: Merchant) -> Row:
    origins, looks = json_text(merchant.return_origins), json_text(asdict(merchant.looks))
    return (merchant.id, merchant.name, origins, looks, merchant.created_at, merchant.updated_at)


def _looks_of(text: str) -> Looks:
    members = orjson.loads(text)
    language = members.pop("language")
    return Looks(**members, language=None if language is None else Language(language))


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
    )


def terminal_of(row: Row) -> Terminal:
    merchant_id, terminal_id, name, mode, gateway_url, return_base_url, enabled, created_at, updated_at = row
    return Terminal(
        terminal_id,
        merchant_id,
        name,
        Mode(mode),
        gateway_url,
        return_base_url,
        enabled == 1,
        created_at,
        updated_at,
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
    )


def scopes_text(scopes: frozenset[Scope]) -> str:
    return " ".join(sorted(scope.value for scope in scopes))


def endpoint_row(endpoint: Endpoint) -> Row:
    return (
        endpoint.merchant_id,
        endpoint.id,
        endpoint.url,
        endpoint.storefront,
        json_text(sorted(endpoint.event_types)),
        endpoint.description,
        json_text(endpoint.headers),
        endpoint.state.value,
        endpoint.state_reason,
        endpoint.state_since,
        " ".join(endpoint.signatures),
        endpoint.key_number,
        endpoint.previous_until,
        endpoint.created_at,
        endpoint.updated_at,
    )


@lru_cache(maxsize=4096)
def endpoint_of(row: Row) -> Endpoint:
    """Kept, as each event and each claim reads the same rows again and again."""
    return Endpoint(
        row[1],
        row[0],
        row[2],
        row[3],
        frozenset(orjson.loads(row[4])),
        row[5],
        orjson.loads(row[6]),
        EndpointState(row[7]),
        row[8],
        row[9],
        row[13],
        row[14],
        tuple(row[10].split()),
        row[11],
        row[12],
    )


def sealed_row(sealed: Sealed) -> Row:
    return (sealed.merchant_id, sealed.owner_id, sealed.name, sealed.kek_id, sealed.blob)


def sealed_of(row: Row) -> Sealed:
    return Sealed(*row)


def audit_row(entry: AuditEntry) -> Row:
    data = json_text(entry.data)
    return (entry.merchant_id, entry.id, entry.at, entry.actor, entry.action, entry.target, data)


def audit_of(row: Row) -> AuditEntry:
    merchant_id, entry_id, at, actor, action, target, data = row
    return AuditEntry(entry_id, merchant_id, at, actor, action, target, orjson.loads(data))
