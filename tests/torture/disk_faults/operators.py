"""The steps about operators, tokens' ends and uses, and acts that are only in the audit log."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from store.records import IDS, MERCHANT_ID, NOW, new_audit, new_token

from proxy.audit.log import INSTALLATION, AuditEntry
from proxy.kernel.ids import NO_MERCHANT, OPERATOR, digest
from proxy.operators.records import Operator, Role, TokenUse
from proxy.stores.sqlite import SqliteStore

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
    return lambda: store.operators.add_operator(operator, audit, 10)


async def _replace_operator(store: SqliteStore) -> Act:
    before, after, audit = new_operator(), new_operator(), installation_audit()
    await store.operators.add_operator(before, installation_audit(), 10)
    return lambda: store.operators.replace_operator(replace(before, revoked_at=NOW), after, audit)


async def _end_operator(store: SqliteStore) -> Act:
    operator, audit = new_operator(), installation_audit()
    await store.operators.add_operator(operator, installation_audit(), 10)
    return lambda: store.operators.end_operator(replace(operator, revoked_at=NOW), audit)


async def _replace_token(store: SqliteStore) -> Act:
    before, after, audit = new_token(), new_token(), new_audit()
    await store.merchants.add_token(before, new_audit())
    return lambda: store.merchants.replace_token(replace(before, revoked_at=NOW), after, audit)


async def _note_uses(store: SqliteStore) -> Act:
    token, operator = new_token(), new_operator()
    await store.merchants.add_token(token, new_audit())
    await store.operators.add_operator(operator, installation_audit(), 10)
    uses = [TokenUse(MERCHANT_ID, token.id, NOW), TokenUse(INSTALLATION, operator.id, NOW)]
    return lambda: store.operators.note_token_uses(uses)


async def _add_audit(store: SqliteStore) -> Act:
    audit = installation_audit()
    return lambda: store.audit.add_audit(audit)


OPERATORS_STEPS: Final[Mapping[str, Prepare]] = {
    "add an operator": _add_operator,
    "replace an operator": _replace_operator,
    "end an operator": _end_operator,
    "replace a token": _replace_token,
    "note uses": _note_uses,
    "add an audit entry": _add_audit,
}
