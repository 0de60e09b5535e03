"""The operator's word on money that moved otherwise than asked."""

from proxy.errors import NoOpenReview, NotFound
from proxy.facts import Decision, Resolved
from proxy.ids import AUDIT, Ids, merchant_of_id
from proxy.merchant import AuditEntry
from proxy.payment import IllegalFact, Payment
from proxy.ports import Now, Payments
from proxy.settlement import Settlement


class Reviews:
    def __init__(self, store: Payments, settlement: Settlement, ids: Ids, now: Now) -> None:
        self._store = store
        self._settlement = settlement
        self._ids = ids
        self._now = now

    async def resolve(self, payment_id: str, decision: Decision, note: str, *, actor: str) -> Payment:
        """The payment with its review resolved; the event and the audit entry are stored in the same transaction.

        Raises NotFound, and NoOpenReview also when somebody else was quicker.
        """
        merchant_id = merchant_of_id(payment_id)
        if merchant_id is None:
            raise NotFound("payment")
        payment = await self._store.payment(merchant_id, payment_id)
        read = await self._store.watch(merchant_id, payment_id)
        fact = Resolved(decision, note, actor)
        try:
            settled = await self._settlement.settle(payment, fact, plan=None, read=read, audited=self._audited)
        except IllegalFact:
            raise NoOpenReview(payment_id) from None
        return settled.payment

    def _audited(self, resolved: Payment) -> AuditEntry:
        review, now = resolved.review, self._now()
        assert review is not None
        assert review.resolution is not None
        data = {
            "decision": review.resolution.decision.value,
            "note": review.resolution.note,
            "reason": review.reason.value,
            "captured_rials": review.captured_rials,
            "payment_version": resolved.version,
        }
        entry_id = self._ids.record(AUDIT, resolved.merchant_id, now)
        actor = review.resolution.by
        return AuditEntry(entry_id, resolved.merchant_id, now, actor, "payment.resolve", resolved.id, data)
