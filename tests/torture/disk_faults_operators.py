"""The steps about operators, tokens' ends and uses, and acts that are only in the audit log."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from store.records import IDS, MERCHANT_ID, NOW, new_audit, new_token

from proxy.adapters.sqlite import SqliteStore
from proxy.audit.chain import INSTALLATION
from proxy.ids import NO_MERCHANT, OPERATOR, digest
from proxy.merchant import AuditEntry
from proxy.operators.records import Operator, Role, Use

Act = Callable[[], Awaitable[Any]]
Prepare = Callable[[SqliteStore], Awaitable[Act]]


def new_operator(name: str = "sara") -> Operator:
    text = IDS.operator_token()
    return Operator(
        IDS.record(OPERATOR, NO_MERCHANT, NOW), name, Role.OPERATE, text[:10], digest(text), NOW, None, None
    )


def installation_audit() -> AuditEntry:
    return replace(new_audit(NO_MERCHANT), merchant_id=INSTALLATION)


async def _add_operator(store: SqliteStore) -> Act:
    operator, audit = new_operator(), installation_audit()
    return lambda: store.add_operator(operator, audit, 10)


async def _replace_operator(store: SqliteStore) -> Act:
    before, after, audit = new_operator(), new_operator(), installation_audit()
    await store.add_operator(before, installation_audit(), 10)
    return lambda: store.replace_operator(replace(before, revoked_at=NOW), after, audit)


async def _end_operator(store: SqliteStore) -> Act:
    operator, audit = new_operator(), installation_audit()
    await store.add_operator(operator, installation_audit(), 10)
    return lambda: store.end_operator(replace(operator, revoked_at=NOW), audit)


async def _replace_token(store: SqliteStore) -> Act:
    before, after, audit = new_token(), new_token(), new_audit()
    await store.add_token(before, new_audit())
    return lambda: store.replace_token(replace(before, revoked_at=NOW), after, audit)


async def _note_uses(store: SqliteStore) -> Act:
    token, operator = new_token(), new_operator()
    await store.add_token(token, new_audit())
    await store.add_operator(operator, installation_audit(), 10)
    uses = [Use(MERCHANT_ID, token.id, NOW), Use(INSTALLATION, operator.id, NOW)]
    return lambda: store.note_uses(uses)


async def _add_audit(store: SqliteStore) -> Act:
    audit = installation_audit()
    return lambda: store.add_audit(audit)


OPERATORS_STEPS: Final[Mapping[str, Prepare]] = {
    "add an operator": _add_operator,
    "replace an operator": _replace_operator,
    "end an operator": _end_operator,
    "replace a token": _replace_token,
    "note uses": _note_uses,
    "add an audit entry": _add_audit,
}
