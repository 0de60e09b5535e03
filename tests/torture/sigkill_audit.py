"""What the campaign holds against Dargah: the gateway's ledger, what the storefronts were shown, what arrived."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from proxy.clock import rfc3339

from .sigkill_load import Load
from .sigkill_receiver import Receiver, event_of
from .sigkill_rest import ledger
from .sigkill_stage import Stage, Storefront

Rows = list[dict[str, Any]]


@dataclass(slots=True)
class Findings:
    """`violations` must be empty; the counts are the report."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report; of very many violations only the first are shown."""
        counts = [f"  {name}: {count:,}" for name, count in sorted(self.counts.items())]
        return counts + [f"  VIOLATION {violation[:400]}" for violation in self.violations[:20]]

    def broken(self, count: str, text: str) -> None:
        self.counts[count] += 1
        self.violations.append(f"{count}: {text}")


async def audit(stage: Stage, load: Load, alone_since: int) -> Findings:
    """Compares everything with everything. Dargah must be up and at rest.

    `alone_since` is from when nobody but the watcher asked the gateway.
    """
    findings = Findings(Counter({"lost": 0, "wrongly paid": 0, "webhooks missing": 0, "duplicates by id": 0}))
    findings.violations += load.violations
    invoices = await ledger(stage)
    payments: dict[str, dict[str, Any]] = {}
    events: dict[str, dict[str, Any]] = {}
    for storefront in stage.storefronts:
        rows = await _pages(load, storefront, "/v1/payments")
        payments |= {row["id"]: row for row in rows}
        events |= {row["id"]: row for row in await _pages(load, storefront, "/v1/events")}
        mine = [invoice for invoice in invoices if invoice["api_key"] == storefront.api_key]
        _compare_money(rows, mine, findings)
        _compare_sums(storefront, rows, mine, findings)
    findings.counts["paid by the watcher alone"] = sum(
        payment["paid_at"] is not None and payment["updated_at"] >= rfc3339(alone_since)
        for payment in payments.values()
    )
    _compare_answers(load, payments, stage.receiver.paid(), findings)
    _compare_events(payments, events.values(), findings)
    for receiver in stage.receivers:
        findings.violations += receiver.violations
        _compare_webhooks(receiver, events.values(), findings)
    _read_log(stage.process.log, findings)
    return findings


async def _pages(load: Load, storefront: Storefront, path: str) -> Rows:
    rows: Rows = []
    cursor = ""
    while True:
        status, page = await load.api(storefront, "GET", f"{path}?limit=100{cursor}")
        assert status == 200, page
        rows += page["data"]
        if page["next_cursor"] is None:
            return rows
        cursor = f"&cursor={page['next_cursor']}"


def _compare_money(payments: Rows, invoices: Rows, findings: Findings) -> None:
    """Of one merchant: each captured invoice is one payment's, and each payment's money one captured invoice."""
    by_key = {invoice["invoice_key"]: invoice for invoice in invoices}
    credited: dict[str, str] = {}
    for payment in payments:
        findings.counts["payments"] += 1
        findings.counts[f"ended {payment['status']}"] += 1
        if payment["status"] not in {"paid", "needs_review"}:
            continue
        review = payment["review"]
        key = payment["invoice_key"] if review is None else review["invoice_key"]
        rials = payment["amount_rials"] if review is None else review["captured_rials"]
        code = payment["bank_code"] if review is None else review["bank_code"]
        invoice = by_key.get(key)
        told = None if invoice is None else (invoice["state"], invoice["amount_rials"], invoice["bank_code"])
        if told != ("captured", rials, code) or key in credited:
            findings.broken("wrongly paid", f"{payment['id']} says {rials} {code}, the ledger {told}")
        credited[key] = payment["id"]
    for invoice in invoices:
        if invoice["state"] == "captured":
            findings.counts["captured"] += 1
            if invoice["invoice_key"] not in credited:
                findings.broken("lost", f"invoice {invoice}")


def _compare_sums(storefront: Storefront, payments: Rows, invoices: Rows, findings: Findings) -> None:
    """To the rial, per merchant."""
    paid = sum(payment["amount_rials"] for payment in payments if payment["status"] == "paid")
    review = sum(payment["review"]["captured_rials"] for payment in payments if payment["status"] == "needs_review")
    captured = sum(invoice["amount_rials"] for invoice in invoices if invoice["state"] == "captured")
    findings.counts["rials captured"] += captured
    findings.counts["rials paid"] += paid
    findings.counts["rials in review"] += review
    if paid + review != captured:
        findings.violations.append(f"{storefront.merchant_id}: {paid} + {review} rials, the ledger has {captured}")


def _compare_answers(load: Load, payments: dict[str, Any], told_paid: set[str], findings: Findings) -> None:
    """What a storefront was answered stands: a created payment is there, a paid one is paid, a key is one payment."""
    findings.counts["acknowledged creates"] = len(load.shown)
    ids_of_key: dict[str, set[str]] = defaultdict(set)
    for shown in load.shown.values():
        ids_of_key[shown.key].add(shown.id)
        payment = payments.get(shown.id)
        if payment is None or payment["amount_rials"] != shown.amount_rials:
            findings.violations.append(f"{shown.id} was acknowledged, and is {payment}")
    findings.violations += [f"{key} gave {ids}" for key, ids in ids_of_key.items() if len(ids) != 1]
    for payment_id in load.seen_paid | told_paid:
        if payments[payment_id]["status"] != "paid":
            findings.broken("wrongly paid", f"{payment_id} was told as paid and is {payments[payment_id]['status']}")


def _compare_events(payments: dict[str, Any], events: Iterable[dict[str, Any]], findings: Findings) -> None:
    """One event per thing that happened to a payment."""
    happened = Counter((event["payment_id"], event["type"]) for event in events if event["payment_id"] is not None)
    findings.violations += [f"{count} events {what}" for what, count in happened.items() if count != 1]
    for status in ("paid", "needs_review", "failed", "canceled", "expired"):
        for payment_id, payment in payments.items():
            if payment["status"] == status and (payment_id, f"payment.{status}") not in happened:
                findings.broken("webhooks missing", f"{payment_id} is {status} and no event says so")


def _compare_webhooks(receiver: Receiver, events: Iterable[dict[str, Any]], findings: Findings) -> None:
    """Every event arrived and was taken in, under one id; what came twice came with the same id and body."""
    ids_of_event: dict[tuple[str, str], set[str]] = defaultdict(set)
    for event_id, body in receiver.bodies.items():
        event = event_of(body)
        if event["type"].startswith("payment."):
            ids_of_event[event["data"]["id"], event["type"]].add(event_id)
    findings.violations += [f"{what} came as {ids}" for what, ids in ids_of_event.items() if len(ids) != 1]
    for event in events:
        findings.counts["webhooks due"] += 1
        if event["id"] not in receiver.accepted:
            findings.broken("webhooks missing", f"{event['id']} {event['type']} of {event['payment_id']}")
    findings.counts["webhooks arrived"] += receiver.arrivals.total()
    findings.counts["duplicates by id"] += receiver.arrivals.total() - len(receiver.arrivals)


def _read_log(log: Path, findings: Findings) -> None:
    """A killed process must not have left errors that nobody foresaw; a line cut by the kill is no JSON."""
    for line in log.read_bytes().splitlines():
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        name = entry.get("event", "?")
        findings.counts[f"logged {name}"] += 1
        if name == "request_failed":
            findings.violations.append(f"logged: {entry}")
