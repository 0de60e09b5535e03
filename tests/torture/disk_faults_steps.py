"""Every step of the Store that writes, and some that read, each ready to be done on a store with some history."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from store.records import (
    IDS,
    LEASE,
    MERCHANT_ID,
    NOW,
    add_endpoint,
    add_merchant,
    captured,
    change,
    create,
    new_audit,
    new_endpoint,
    new_intent,
    new_merchant,
    new_payment,
    new_terminal,
    new_token,
    new_watch,
    paid,
    pending,
    sealed,
    step,
)

from proxy.audit.log import INSTALLATION, AuditEntry
from proxy.gateways.port import Canceled, InvoiceIssued, RequestRefused
from proxy.kernel.errors import StoreConflict
from proxy.kernel.ids import NO_MERCHANT, OPERATOR, digest
from proxy.operators.records import Operator, Role, TokenUse
from proxy.payments.change import Reply
from proxy.payments.check_schedule import ScheduleChange
from proxy.payments.payment import Decision, OperatorDecision, Payment
from proxy.payments.search import PaymentFilter
from proxy.stores.sqlite import SqliteStore
from proxy.webhooks.delivery import Attempt, AttemptReport, Claim, Lease
from proxy.webhooks.endpoint import EndpointState
from proxy.webhooks.event import EventFilter

Act = Callable[[], Awaitable[Any]]
"""Does the step once; done again after it was refused, it must do the same."""
Prepare = Callable[[SqliteStore], Awaitable[Act]]

REPLY: Final = Reply(201, b'{"id":"pay_1"}')


async def with_history(store: SqliteStore) -> None:
    """A merchant with an endpoint, a paid payment and one on its way: what must not be touched."""
    await add_merchant(store)
    await add_endpoint(store)
    await paid(store, "history-paid")
    await pending(store, "history-pending")


async def _create(store: SqliteStore) -> Act:
    payment, intent = new_payment(), new_intent()
    return lambda: store.payments.create_payment(payment, intent, new_watch(payment, LEASE))


async def _lease_request(store: SqliteStore) -> Act:
    payment = await create(store)
    return lambda: store.payments.lease_request(payment, LEASE + 1, LEASE + 30_000)


async def _invoice_issued(store: SqliteStore) -> Act:
    payment = await create(store)
    return await _transition(store, payment, InvoiceIssued("invoice-1"), release=True, reply=REPLY)


async def _invoice_refused(store: SqliteStore) -> Act:
    return await _transition(store, await create(store), RequestRefused(203), release=True, reply=REPLY)


async def _paid(store: SqliteStore) -> Act:
    payment = await pending(store)
    return await _transition(store, payment, captured(payment, "code-1"), schedule=ScheduleChange(None, None))


async def _canceled(store: SqliteStore) -> Act:
    payment = await pending(store)
    return await _transition(store, payment, Canceled(payment.invoice_key or ""))


async def _needs_review(store: SqliteStore) -> Act:
    payment = await pending(store)
    fact = replace(captured(payment, "code-2"), amount_rials=payment.amount_rials // 10)
    return await _transition(store, payment, fact)


async def _resolved(store: SqliteStore) -> Act:
    payment = await pending(store)
    payment = await step(store, payment, replace(captured(payment, "code-3"), amount_rials=1_000))
    return await _transition(store, payment, OperatorDecision(Decision.ACCEPTED, "checked by telephone", "operator"))


async def _transition(store: SqliteStore, payment: Payment, fact: Any, **more: Any) -> Act:
    read = await store.payments.check_schedule(payment.merchant_id, payment.id)
    later = None if read is None else replace(read, due_at=read.due_at + 1_000, version=read.version + 1)
    written = change(payment, fact, **({"schedule": ScheduleChange(read, later)} | more))
    return lambda: store.payments.transition(written)


async def _claim_watches(store: SqliteStore) -> Act:
    for number in range(3):
        await pending(store, f"order-{number}")
    return lambda: store.payments.claim_due_checks(NOW + 10_000_000, NOW + 10_045_000, 10)


async def _claimed(store: SqliteStore) -> list[Claim]:
    await paid(store, "claimed")
    return await store.webhooks.claim_deliveries(NOW, Lease(NOW + 25_000, "token-1"), 10)


async def _claim_deliveries(store: SqliteStore) -> Act:
    await paid(store, "claimed")
    return lambda: store.webhooks.claim_deliveries(NOW, Lease(NOW + 25_000, "token-1"), 10)


async def _record_attempt(store: SqliteStore) -> Act:
    (claim, *_) = await _claimed(store)
    attempt = Attempt(claim.attempt, NOW, 12, "delivered", 204, None, b"ok")
    return lambda: store.webhooks.record_attempt(AttemptReport(claim, attempt, None, NOW, 0.0), None)


async def _release_deliveries(store: SqliteStore) -> Act:
    claims = await _claimed(store)
    return lambda: store.webhooks.release_deliveries(claims)


async def _add_merchant(store: SqliteStore) -> Act:
    merchant = new_merchant(IDS.merchant())
    secret, audit = sealed(merchant.id, "return", merchant.id), new_audit(merchant.id)
    return lambda: store.merchants.add_merchant(merchant, [secret], audit)


async def _save_merchant(store: SqliteStore) -> Act:
    merchant, audit = replace(new_merchant(), name="another"), new_audit()
    return lambda: store.merchants.save_merchant(merchant, audit, [sealed(MERCHANT_ID, "return")])


async def _add_terminal(store: SqliteStore) -> Act:
    terminal, audit = new_terminal(), new_audit()
    secret = sealed(terminal.id)
    return lambda: store.merchants.add_terminal(terminal, [secret], audit)


async def _save_terminal(store: SqliteStore) -> Act:
    terminal, audit = new_terminal(), new_audit()
    await store.merchants.add_terminal(terminal, [sealed(terminal.id)], new_audit())
    secret = sealed(terminal.id)
    return lambda: store.merchants.save_terminal(replace(terminal, name="another"), [secret], audit)


async def _add_token(store: SqliteStore) -> Act:
    token, audit = new_token(), new_audit()
    return lambda: store.merchants.add_token(token, audit)


async def _save_token(store: SqliteStore) -> Act:
    token, audit = new_token(), new_audit()
    await store.merchants.add_token(token, new_audit())
    return lambda: store.merchants.save_token(replace(token, revoked_at=NOW), audit)


async def _add_endpoint(store: SqliteStore) -> Act:
    endpoint, audit = new_endpoint(), new_audit()
    secret = sealed(endpoint.id)
    return lambda: store.webhooks.add_endpoint(endpoint, [secret], audit)


async def _pause_endpoint(store: SqliteStore) -> Act:
    endpoint, audit = await add_endpoint(store), new_audit()
    paused = replace(endpoint, state=EndpointState.DISABLED)
    return lambda: store.webhooks.save_endpoint(endpoint, paused, audit)


async def _delete_endpoint(store: SqliteStore) -> Act:
    endpoint, audit = await add_endpoint(store), new_audit()
    await paid(store, "to be dropped")
    return lambda: store.webhooks.delete_endpoint(MERCHANT_ID, endpoint.id, audit)


async def _rewrap(store: SqliteStore) -> Act:
    (before, *_) = await store.merchants.secrets(MERCHANT_ID, MERCHANT_ID)
    after, audit = replace(before, kek_id="k2", blob=b"other"), new_audit()
    return lambda: store.merchants.rewrap(before, after, audit)


async def _group(store: SqliteStore) -> Act:
    """One group commit of many kinds of step, one of which meets a conflict of its own."""
    stale = await pending(store, "stale")
    conflict = change(stale, captured(stale, "code-stale"))
    await step(store, stale, Canceled(stale.invoice_key or ""))
    acts = [await make(store) for make in (_create, _paid, _invoice_issued, _claim_deliveries, _claim_watches)]
    return lambda: _together(lambda: store.payments.transition(conflict), *acts)


async def _records(store: SqliteStore) -> Act:
    """Attempts that are recorded at the same time, one of them by a worker that lost its lease."""
    for number in range(3):
        await paid(store, f"recorded-{number}")
    claims = await _claimed(store)
    lost = replace(claims[0], token="token-0")
    finished = [
        AttemptReport(claim, Attempt(claim.attempt, NOW, 12, "delivered", 204, None, b"ok"), None, NOW, 0.0)
        for claim in (lost, *claims)
    ]
    return lambda: _together(*(partial(store.webhooks.record_attempt, each, None) for each in finished))


async def _together(*acts: Act) -> list[Any]:
    """What came of each of the acts, all begun at once; a conflict that is a step's own is no refusal."""
    results = await asyncio.gather(*(act() for act in acts), return_exceptions=True)
    return [type(result) if isinstance(result, StoreConflict) else result for result in results]


async def _read_payment(store: SqliteStore) -> Act:
    payment = await create(store)
    return lambda: store.payments.payment(MERCHANT_ID, payment.id)


async def _read_lists(store: SqliteStore) -> Act:
    async def read() -> Any:
        payments = await store.payments.list_payments(MERCHANT_ID, PaymentFilter())
        return (
            payments,
            await store.webhooks.list_events(MERCHANT_ID, EventFilter()),
            await store.webhooks.next_delivery_at(),
        )

    return read


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


STEPS: Final[Mapping[str, Prepare]] = {
    "create": _create,
    "lease a request": _lease_request,
    "invoice issued": _invoice_issued,
    "invoice refused": _invoice_refused,
    "paid": _paid,
    "canceled": _canceled,
    "needs review": _needs_review,
    "resolved": _resolved,
    "claim watches": _claim_watches,
    "claim deliveries": _claim_deliveries,
    "record an attempt": _record_attempt,
    "release deliveries": _release_deliveries,
    "add a merchant": _add_merchant,
    "save a merchant": _save_merchant,
    "add a terminal": _add_terminal,
    "save a terminal": _save_terminal,
    "add a token": _add_token,
    "save a token": _save_token,
    "add an endpoint": _add_endpoint,
    "pause an endpoint": _pause_endpoint,
    "delete an endpoint": _delete_endpoint,
    "rewrap a secret": _rewrap,
    "six steps in one commit": _group,
    "records of attempts at once": _records,
    "read a payment": _read_payment,
    "read lists": _read_lists,
    "add an operator": _add_operator,
    "replace an operator": _replace_operator,
    "end an operator": _end_operator,
    "replace a token": _replace_token,
    "note uses": _note_uses,
    "add an audit entry": _add_audit,
}
