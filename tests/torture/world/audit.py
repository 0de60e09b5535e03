"""The oracle: what is committed, held against the bank's ledger, the receivers' books and what it was a moment ago."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any, Final

import orjson
from jsonschema_rs import ValidationError
from web.openapi_check import check_event

from proxy.gateways.family import Traits
from proxy.gateways.registry import FAMILIES
from proxy.gateways.simulation.ledger import Invoice, State
from proxy.gateways.simulation.terms import UnknownInvoiceError
from proxy.kernel.clock import HOUR, MINUTE
from proxy.webhooks.retry_policy import DEFAULT_SCHEDULE

from . import World
from .families import MONEY_CAME, bank_key
from .network import event_of

_PAYMENTS: Final = """
SELECT id, merchant_id, storefront, terminal_id, order_id, amount_rials, link, status, version, invoice_key,
    spare_invoice_keys, captured_invoice_keys, bank_code, captured_rials, review, reply_status, reply_body, gateway,
    withdrawn_at, given_back
FROM payments ORDER BY merchant_id, id
"""
_EVENTS: Final = """
SELECT rowid, merchant_id, sequence, id, type, payment_id, payment_version, body, storefront
FROM events WHERE rowid > ? ORDER BY rowid
"""
_CHECKS: Final = """
SELECT data FROM timeline WHERE merchant_id = ? AND payment_id = ?
    AND kind IN ('gateway.check', 'gateway.confirm', 'gateway.settle')
"""
_RETURNS: Final = """
SELECT data FROM timeline WHERE merchant_id = ? AND payment_id = ? AND kind = 'return'
"""
# A watch that only took its schedule waits no longer than some times the age of its invoice, and a while.
_AGES: Final = 4
_LEAST_WAIT: Final = 20 * MINUTE
# From which state a payment may have come into another one, in one step or in several.
_BEFORE: Final = {
    "created": {"created"},
    "pending": {"created", "pending"},
    "failed": {"created", "failed"},
    "canceled": {"created", "pending", "canceled"},
    "expired": {"created", "pending", "expired"},
    "given_back": {"created", "pending", "canceled", "expired", "failed", "given_back"},
    "needs_review": {"created", "pending", "canceled", "expired", "failed", "given_back", "needs_review"},
    "paid": {"created", "pending", "canceled", "expired", "failed", "given_back", "paid"},
}


@dataclass(frozen=True, slots=True)
class Row:
    """A payment as it is stored, read past the store's own code."""

    id: str
    merchant_id: str
    storefront: str
    terminal_id: str
    order_id: str
    amount_rials: int
    link: str
    status: str
    version: int
    invoice_key: str | None
    spare: tuple[str, ...]
    captured: tuple[str, ...]
    bank_code: str | None
    captured_rials: int | None
    review: Any
    reply: tuple[int, bytes] | None
    gateway: str
    withdrawn_at: int | None
    given_back: Any

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> "Row":
        reply = None if row[15] is None else (row[15], row[16])
        review = None if row[14] is None else orjson.loads(row[14])
        given_back = None if row[19] is None else orjson.loads(row[19])
        keys = _keys(row[10]), _keys(row[11])
        values: list[Any] = [*row[:10], *keys, row[12], row[13], review, reply, row[17], row[18], given_back]
        return cls(*values)

    @property
    def keys(self) -> tuple[str, ...]:
        return self.spare if self.invoice_key is None else (self.invoice_key, *self.spare)

    @property
    def traits(self) -> Traits:
        return FAMILIES[self.gateway].traits

    def has_captured(self, invoice: Invoice) -> bool:
        return invoice.invoice_key in map(bank_key, self.captured)


class Audit:
    """`step` after every action, looking at what changed; `quiet` when faults have stopped and nothing is due."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._api_keys = {shop.terminal_id: shop.api_key for shop in world.shops}
        self._raw_rows: dict[str, tuple[Any, ...]] = {}
        self.rows: dict[str, Row] = {}
        self._last_event = 0
        self._sequences: Counter[str] = Counter()
        self._events: dict[str, list[tuple[str, int]]] = defaultdict(list)
        self._seen: tuple[int, int] = (-1, -1)

    def step(self) -> None:
        """Invariants 1, 3 and 4, on all that changed since the last call. Raises Violation."""
        world = self._world
        world.raise_if_broken()
        raw = world.process.file.raw
        seen = (id(raw), raw.total_changes)
        if seen == self._seen:
            return
        self._seen = seen
        self._new_events()
        found = raw.execute(_PAYMENTS).fetchall()
        if len(found) < len(self._raw_rows):
            world.break_promise("nothing stored is lost", "a payment is gone")
        for values in found:
            if self._raw_rows.get(values[0]) != values:
                self._raw_rows[values[0]] = values
                self._changed(Row.of(values))
        world.raise_if_broken()

    def planned(self) -> None:
        """Once the clock is right: nothing waits for a time that only a wrong one could give. Raises Violation."""
        self.step()
        world, now = self._world, self._world.clock.now
        due_at = dict(world.process.file.raw.execute("SELECT payment_id, due_at FROM watches"))
        by_key = {bank_key(key): row for row in self.rows.values() for key in row.keys}
        for invoice in world.bank.invoices():
            row = by_key.get(invoice.invoice_key)
            if row is not None and invoice.state is State.CAPTURED and not row.has_captured(invoice):
                waits = due_at.get(row.id, now) - now
                if waits > _LEAST_WAIT + _AGES * (now - invoice.created_at):
                    world.break_promise("asked in time", f"{row.id} is captured and waits for {waits / HOUR:.1f} hours")
        waiting = "SELECT id, attempts, due_at FROM deliveries WHERE due_at > ?"
        for delivery_id, attempts, due in world.process.file.raw.execute(waiting, (now + _LEAST_WAIT,)):
            if not attempts or due - now > DEFAULT_SCHEDULE.longest_delay(attempts):
                waits = f"{(due - now) / HOUR:.1f} hours"
                world.break_promise("told in time", f"{delivery_id} waits for {waits}, tried {attempts} times")
        world.raise_if_broken()

    def quiet(self) -> None:
        """Invariant 2, the sums, the webhooks and the secrets, once everything has come to rest. Raises Violation."""
        self.step()
        world, raw = self._world, self._world.process.file.raw
        by_link = {row.link: row for row in self.rows.values()}
        for invoice in world.bank.invoices():
            if invoice.state is State.CAPTURED:
                self._credited(invoice, by_link)
            if invoice.state is State.CAPTURED or invoice.paid_at is not None:
                self._kept_rightly(invoice, by_link.get(invoice.return_url.rsplit("/", 1)[-1]))
        left = raw.execute("SELECT count(*) FROM watches").fetchone()[0]
        if left:
            world.break_promise("no watch is left", f"{left} watches are left")
        self._sums()
        self._webhooks()
        self._secrets()
        world.raise_if_broken()

    def _changed(self, row: Row) -> None:
        before = self.rows.get(row.id)
        self.rows[row.id] = row
        if before is not None:
            self._follows(before, row)
        if row.status == "paid":
            self._paid_is_true(row)
        if row.status == "needs_review" and not any(self._moved(row, key) for key in row.keys):
            self._world.break_promise("review has its reason", f"{row.id} needs review and no money moved")
        self._one_event_each(row)

    def _follows(self, before: Row, row: Row) -> None:
        broken = self._world.break_promise
        if before.status not in _BEFORE[row.status]:
            broken("paid is final" if before.status == "paid" else "states follow", f"{row.id}: {before} -> {row}")
        if row.version < before.version or not set(before.keys) <= set(row.keys):
            broken("nothing stored is lost", f"{row.id}: {before} -> {row}")
        if before.reply not in (None, row.reply) or before.invoice_key not in (None, row.invoice_key):
            broken("same key same answer", f"{row.id}: {before} -> {row}")
        if not set(before.captured) <= set(row.captured) or before.bank_code not in (None, row.bank_code):
            broken("a stored success stays", f"{row.id}: {before} -> {row}")

    def _paid_is_true(self, row: Row) -> None:
        key = row.captured[0] if row.captured else None
        invoice = self._captured(row, key)
        if invoice is None or key not in row.keys:
            self._world.break_promise("paid is captured", f"{row.id} is paid and its invoice {key} is not captured")
            return
        right = (self._api_keys[row.terminal_id], row.amount_rials)
        if (invoice.api_key, invoice.money_rials) != right or row.captured_rials != row.amount_rials:
            self._world.break_promise("paid is captured", f"{row.id} {row} is paid by {invoice}")
        checks = self._world.process.file.raw.execute(_CHECKS, (row.merchant_id, row.id)).fetchall()
        facts = [orjson.loads(data) for (data,) in checks]
        if not any(self._proves(fact, row, key) for fact in facts):
            self._world.break_promise("paid has its check", f"{row.id} is paid and no check says so")

    def _proves(self, fact: dict[str, Any], row: Row, key: str | None) -> bool:
        said = (fact.get("outcome"), fact.get("invoice_key"), fact.get("amount_rials"), fact.get("bank_code"))
        return said == ("captured", key, row.amount_rials, row.bank_code)

    def _captured(self, row: Row, key: str | None) -> Invoice | None:
        try:
            invoice = self._world.bank.invoice(bank_key(key or ""))
        except UnknownInvoiceError:
            return None
        return invoice if invoice.state is State.CAPTURED and invoice.return_url.endswith(row.link) else None

    def _moved(self, row: Row, key: str) -> bool:
        """Whether the customer's money came; or that of another, whose receipt somebody brought."""
        if row.traits.confirms_unasked and row.traits.gives_back_after is None and row.captured_rials is None:
            return True  # what a return claims is all that is known of unwanted money: an operator is told of that
        if not row.traits.confirms:
            return self._captured(row, key) is not None
        named = row.review["bank_code"]
        if named is not None and any(invoice.receipt == named for invoice in self._world.bank.invoices()):
            return True
        try:
            invoice = self._world.bank.invoice(bank_key(key))
        except UnknownInvoiceError:
            return False
        return invoice.state in MONEY_CAME and invoice.return_url.endswith(row.link)

    def _kept_rightly(self, invoice: Invoice, row: Row | None) -> None:
        """Nothing is half-way, what is paid was kept, and the rest was not, where the family can help it."""
        broken = self._world.break_promise
        if row is None:
            broken("no payment is lost", f"nobody knows of {invoice}")
            return
        reviewed = bank_key(row.review["invoice_key"]) == invoice.invoice_key if row.review else False
        paid = row.status == "paid" and bank_key(row.captured[0]) == invoice.invoice_key
        match invoice.state:
            case State.CONFIRMED:
                broken("what is confirmed is settled", f"{invoice} of {row}")
            case State.PAID if not reviewed and not self._nobody_may_ask(row):
                broken("no payment is lost", f"{invoice} is paid, and nobody confirmed it or told of it: {row}")
            case State.REVERSED if paid:
                broken("paid is captured", f"{invoice} went back, and {row.id} is paid")
            case State.CAPTURED if reviewed and not paid and not _must_be_kept(invoice, row):
                broken("nothing is wrongly kept", f"{invoice} is kept, and {row}")

    def _nobody_may_ask(self, row: Row) -> bool:
        """Whether money that is not wanted may have come unnoticed: only taking it would tell, and no return did."""
        unasked = row.traits.confirms_unasked and not row.traits.checks
        others = (each for each in self.rows.values() if each.order_id == row.order_id and each.status == "paid")
        unwanted = row.withdrawn_at is not None or any(each.storefront == row.storefront for each in others)
        returns = self._world.process.file.raw.execute(_RETURNS, (row.merchant_id, row.id)).fetchall()
        told = any(orjson.loads(data)["claimed"].get("status") == "paid" for (data,) in returns)
        return unasked and unwanted and not told

    def _new_events(self) -> None:
        for (
            rowid,
            merchant_id,
            sequence,
            event_id,
            kind,
            payment_id,
            version,
            body,
            _,
        ) in self._world.process.file.raw.execute(_EVENTS, (self._last_event,)).fetchall():
            self._last_event = rowid
            self._sequences[merchant_id] += 1
            if sequence != self._sequences[merchant_id]:
                self._world.break_promise("sequences have no gap", f"{event_id} has {sequence}")
            try:
                check_event(orjson.loads(body))
            except ValidationError as error:
                self._world.break_promise("an event is of its schema", f"{event_id}, {kind}: {error}")
            if payment_id is None:
                continue
            told = event_of(body)
            if told[:3] != (kind, payment_id, version):
                self._world.break_promise("an event tells what happened", f"{event_id}: {told}")
            self._events[payment_id].append((kind, version))

    def _one_event_each(self, row: Row) -> None:
        kinds = Counter(kind.removeprefix("payment.") for kind, _ in self._events[row.id])
        captures, invoices = len(row.captured) - (row.status == "paid"), len(row.keys)
        # Where money waits for a confirm, what is reviewed may never be captured.
        reviews = kinds["needs_review"] if row.traits.confirms else captures
        wanted = {
            "paid": kinds["paid"] == (row.status == "paid"),
            "failed": kinds["failed"] <= 1,
            "closed": kinds["canceled"] + kinds["expired"] <= 1,
            "needs_review": kinds["needs_review"] == reviews and (row.review is not None) <= reviews <= invoices,
            "given_back": kinds["given_back"] <= invoices,
            "review_resolved": kinds["review_resolved"] <= reviews,
            "told": row.status in {"created", "pending", "paid", "needs_review"} or kinds[row.status] >= 1,
        }
        wrong = [name for name, right in wanted.items() if not right]
        if wrong:
            self._world.break_promise("one event each", f"{wrong} of {row.id}, {row.status}: {dict(kinds)}")

    def _credited(self, invoice: Invoice, by_link: dict[str, Row]) -> None:
        row = by_link.get(invoice.return_url.rsplit("/", 1)[-1])
        if row is None or invoice.invoice_key not in map(bank_key, row.keys):
            self._world.break_promise("no payment is lost", f"nobody knows of the captured {invoice}")
        elif row.status not in {"paid", "needs_review"} or not row.has_captured(invoice):
            self._world.break_promise("no payment is lost", f"{invoice} is captured and {row.id} is {row.status}")

    def _sums(self) -> None:
        """Per merchant: what its paid events say, each id once, is what the ledger took, less what is in review."""
        taken: Counter[str] = Counter()
        for row in self.rows.values():
            captured = [invoice for key in row.captured if (invoice := self._captured(row, key))]
            if row.status == "paid" and captured:
                taken[row.merchant_id] += captured[0].amount_rials
        told: Counter[str] = Counter()
        for merchant_id, body in self._world.process.file.raw.execute(
            "SELECT merchant_id, body FROM events WHERE type = 'payment.paid'"
        ):
            told[merchant_id] += event_of(body)[3]
        if taken != told:
            self._world.break_promise("the books agree", f"the ledger says {dict(taken)}, the events {dict(told)}")

    def _webhooks(self) -> None:
        world, raw = self._world, self._world.process.file.raw
        urls = {hook.endpoint_id: hook.url for hook in world.cast.hooks}
        due = self._due_webhooks()
        for event_id, endpoint_id, status, attempts in raw.execute(
            "SELECT event_id, endpoint_id, status, attempts FROM deliveries"
        ).fetchall():
            due.discard((event_id, endpoint_id))
            world.counts["webhooks due"] += 1
            times = world.receivers[urls[endpoint_id]].times[event_id]
            if status == "failed" and attempts >= DEFAULT_SCHEDULE.max_attempts:
                world.counts["webhooks whose schedule was used up"] += 1
            elif not times or status != "delivered":
                world.break_promise("every webhook arrives", f"{event_id} is {status} and arrived {times} times")
            world.counts["webhook duplicates by id"] += max(0, times - 1)
        if due:
            world.break_promise("every webhook arrives", f"no delivery was ever planned for {sorted(due)}")
        for receiver in world.receivers.values():
            facts = Counter(fact for body in receiver.bodies.values() if (fact := event_of(body)[:3])[2])
            twice = [fact for fact, ids in facts.items() if ids > 1]
            if twice:
                world.break_promise("one id per event", f"{twice} came under several ids")

    def _due_webhooks(self) -> set[tuple[str, str]]:
        """Each event at each endpoint that wants it: the merchant's, of its storefront or of all."""
        only = {"https://books.example/hooks": "books"}
        return {
            (row[3], hook.endpoint_id)
            for row in self._world.process.file.raw.execute(_EVENTS, (0,)).fetchall()
            for hook in self._world.cast.hooks
            if row[5] and hook.merchant_id == row[1] and only.get(hook.url, row[8]) == row[8]
        }

    def _secrets(self) -> None:
        path = self._world.process.file.path
        stored = path.read_bytes() + path.with_name(f"{path.name}-wal").read_bytes()
        for secret in self._world.cast.secrets:
            if secret.encode() in stored:
                self._world.break_promise("secrets are sealed", "a secret stands in the database's bytes")


def _must_be_kept(invoice: Invoice, row: Row) -> bool:
    """Whether money that was captured and reviewed could not have been left alone, or given back."""
    traits, reason = row.traits, row.review["reason"]
    if not traits.confirms or reason in {"bank_code_missing", "bank_code_reused"}:
        return True
    # The gateway lied about the amount, or tells it with the capture alone.
    return bool(reason == "amount_differs" and (invoice.money_rials == row.amount_rials or not traits.checks))


def _keys(text: str | None) -> tuple[str, ...]:
    return () if text is None else tuple(orjson.loads(text))
