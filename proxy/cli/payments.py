"""`dargah payment`."""

from collections.abc import Mapping
from typing import Any

import click

from proxy.cli.api import Api
from proxy.cli.options import given, limit_option, operator_command, payment_path
from proxy.cli.output import Output, text_of

_COLUMNS = ("id", "status", "storefront", "order_id", "amount_rials", "bank_code", "late", "created_at")
_SHOWN = (
    *("id", "merchant_id", "storefront", "mode", "terminal_id", "order_id", "status", "amount_rials", "captured_rials"),
    *("bank_code", "invoice_key", "late", "failure", "review", "created_at", "expires_at", "paid_at", "version"),
)
_STATUSES = ("created", "pending", "paid", "failed", "canceled", "expired", "needs_review")


@click.group()
def payment() -> None:
    """Payments: list them, see what happened to one, decide about one that needs review."""


@payment.command("list")
@click.option("--merchant", "merchant_id", required=True, metavar="ID", help="The merchant's id (mer_…).")
@click.option("--status", type=click.Choice(_STATUSES), help="Only those in this status.")
@click.option("--order-id", help="Only those of this order.")
@click.option("--storefront", help="Only those of this shop.")
@limit_option
@operator_command
def list_(*, api: Api, out: Output, limit: int, **wanted: Any) -> None:
    """List a merchant's payments, newest first."""
    out.table(api.rows("/payments", limit, **given(**wanted)), _COLUMNS)


@payment.command()
@click.argument("payment_id")
@operator_command
def show(*, api: Api, out: Output, payment_id: str) -> None:
    """Show a payment and its timeline: gateway calls, returns, events, and each webhook's attempts."""
    path = payment_path(payment_id)
    found, timeline = api.get(path), api.get(f"{path}/timeline")
    if out.as_json:
        out.record({"payment": found, "timeline": timeline["data"], "truncated": timeline["truncated"]})
        return
    out.record({name: found[name] for name in _SHOWN})
    click.echo()
    rows = [{"at": entry["at"], "ms": entry["duration_ms"], "what": told(entry)} for entry in timeline["data"]]
    out.table(rows, ("at", "ms", "what"))
    if timeline["truncated"]:
        out.note(f"these are the last {len(rows)} entries; what was before them is left out")


@payment.command()
@click.argument("payment_id")
@click.option(
    "--decision",
    required=True,
    type=click.Choice(["accepted", "refunded", "rejected"]),
    help="What was done: the order was given for it, the money went back, or neither.",
)
@click.option("--note", required=True, help="Why; it stands in the event and in the audit log.")
@operator_command
def resolve(*, api: Api, out: Output, payment_id: str, decision: str, note: str) -> None:
    """Decide about a payment that needs review. The merchant is told, and it cannot be taken back."""
    resolved = api.post(f"{payment_path(payment_id)}/resolve", {"decision": decision, "note": note})
    out.done(f"{payment_id} is resolved: {decision}", resolved)


def told(entry: Mapping[str, Any]) -> str:
    """One line of the timeline in words."""
    data = dict(entry["data"])
    match entry["kind"]:
        case "gateway.request" | "gateway.check" as kind:
            return _line(kind.replace(".", " "), data.pop("outcome", None), data)
        case "return":
            known = "its own invoice" if data.pop("own_invoice_key") else "another or no invoice"
            return _line("return with", known, {f"claimed {name}": value for name, value in data["claimed"].items()})
        case "event":
            return _line("event", data["type"], {"sequence": data["sequence"], "id": data["id"]})
        case "delivery":
            return _line("webhook to", data["endpoint_id"], _only(data, "status", "attempts", "due_at", "id"))
        case "attempt":
            answer = {"HTTP": data["status"], "error": data["error"]}
            return _line(f"attempt {data['number']} at {data['endpoint_id']}:", data["outcome"], answer)
        case kind:
            return _line(str(kind), None, data)


def _only(data: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: data[name] for name in names}


def _line(first: str, second: Any, more: Mapping[str, Any]) -> str:
    named = [f"{name} {text_of(value)}" for name, value in more.items() if value is not None]
    said = first if second is None else f"{first} {text_of(second)}"
    return f"{said} ({', '.join(named)})" if named else said
