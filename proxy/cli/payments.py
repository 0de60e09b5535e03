"""`dargah payment` and `dargah recover`."""

import sys
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Final

import click

from proxy.cli.api import Api, ApiError
from proxy.cli.options import limit_option, merchant_path, operator_command, payment_path
from proxy.cli.output import Output, text_of
from proxy.cli.payment_filters import payment_filters, query_of
from proxy.cli.times import PAST_HELP, past
from proxy.kernel.frozen import dataclass

_COLUMNS = ("id", "status", "mode", "storefront", "order_id", "amount_rials", "bank_code", "late", "created_at")
_FOUND_COLUMNS = ("id", "merchant_id", *_COLUMNS[1:])
_SHOWN = (
    *("id", "merchant_id", "storefront", "mode", "terminal_id", "order_id", "status", "amount_rials", "captured_rials"),
    *("gateway", "bank_code", "card_mask", "trace_number", "fee_rials", "invoice_key", "late", "failure", "review"),
    *("given_back", "withdrawn_at", "created_at", "expires_at", "paid_at", "version"),
)
_LOST_COLUMNS = ("made_at", "asked_by", "times", "last_asked_at", "storefront", "invoice_key", "reference")


@click.group()
def payment() -> None:
    """Payments: list them, show the history of one, decide about one that needs review."""


@payment.command("list")
@payment_filters
@limit_option
@operator_command
def list_(*, api: Api, out: Output, limit: int, **wanted: Any) -> None:
    """List the payments of a merchant, or of all."""
    columns = _COLUMNS if wanted["merchant_id"] else _FOUND_COLUMNS
    out.table(api.rows("/payments", limit, **query_of(**wanted)), columns)


# A sum over a million payments takes half a minute; a file is written all the time, however long it is.
SUM_SECONDS: Final = 600.0
SILENCE_SECONDS: Final = 120.0
_AT_ONCE: Final = 1 << 16


@payment.command()
@payment_filters
@operator_command
def totals(*, api: Api, out: Output, **wanted: Any) -> None:
    """Count the payments of a filter and sum their amounts, by status."""
    found = api.get_slowly("/payments/totals", SUM_SECONDS, **query_of(**wanted))
    if out.as_json:
        out.record(found)
        return
    out.table(
        [{"status": status, **each} for status, each in found["statuses"].items() if each["count"]],
        ("status", "count", "rials"),
    )
    click.echo(f"{found['count']} payments, {found['paid_rials']} rials paid")


@payment.command()
@payment_filters
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file to write.")
@operator_command
def export(*, api: Api, out: Output, output: Path, **wanted: Any) -> None:
    """Write all payments of a filter to a CSV file for spreadsheets.

    It is there under its name only when it is whole: until then it has .part behind it.
    """
    query = query_of(**wanted)
    count = api.get_slowly("/payments/totals", SUM_SECONDS, **query)["count"]
    part = output.with_name(f"{output.name}.part")
    written = -1  # the first line is the columns' names
    with (
        api.downloading("/payments.csv", SILENCE_SECONDS, **query) as answer,
        part.open("wb") as file,
        click.progressbar(length=count, label=f"{count} payments", file=sys.stderr) as bar,
    ):
        while some := answer.read1(_AT_ONCE):
            file.write(some)
            lines = some.count(b"\r\n")
            written += lines
            bar.update(lines)
    part.replace(output)
    out.done(f"{written} payments are in {output}", {"payments": written, "file": str(output)})


@payment.command()
@click.option("--merchant", "merchant_id", required=True, metavar="ID", help="The merchant's id (mer_…).")
@operator_command
def lost(*, api: Api, out: Output, merchant_id: str) -> None:
    """List payments that a restore removed and that customers or storefronts ask for: they may be paid, and are told to
    wait.

    Compare the list with the gateway's statement of that time, as docs/operations.md describes.
    """
    out.table(api.get(f"{merchant_path(merchant_id)}/lost-payments")["data"], _LOST_COLUMNS)


@payment.command()
@click.argument("number")
@operator_command
def find(*, api: Api, out: Output, number: str) -> None:
    """Find payments of any merchant by a number that somebody tells.

    NUMBER is a payment's id, its link, a bank_code, an invoice_key, an order, a trace number, the last four digits of a
    card, the beginning of one of these, an amount in rials or toman or the beginning of a description or of a value of
    the metadata (of the newest 5000 payments), or a day or minute: 1405/09/10, "1405/09/10 14:30" (Tehran's) or
    2026-12-01T11:00:00Z. A minute finds what was created in the half hour up to it. Persian digits will do. Exits 1
    when nothing is found.
    """
    found = api.get("/payments/find", text=number.strip())["data"]
    out.table(found, _FOUND_COLUMNS)
    if not found:
        raise ApiError(f"no payment has {number!r} as a number, the beginning of one, an amount or a time")


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
    rows = [{"at": entry["at"], "ms": entry["duration_ms"], "what": entry_line(entry)} for entry in timeline["data"]]
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


def entry_line(entry: Mapping[str, Any]) -> str:
    """One line of the timeline in words."""
    data = dict(entry["data"])
    fields = data.pop("fields", {})
    match entry["kind"]:
        case str(kind) if kind.startswith("gateway."):
            return _line(kind.replace(".", " "), data.pop("outcome", None), data | fields)
        case "return":
            known = "its own invoice" if data.pop("own_invoice_key") else "another or no invoice"
            claimed = {f"claimed {name}": value for name, value in data["claimed"].items()}
            return _line("return with", known, claimed | fields)
        case "event":
            return _line("event", data["type"], {"sequence": data["sequence"], "id": data["id"]})
        case "delivery":
            return _line("webhook to", data["endpoint_id"], _only(data, "status", "attempts", "due_at", "id"))
        case "attempt":
            answer = {"HTTP": data["status"], "error": data["error"]}
            return _line(f"attempt {data['number']} at {data['endpoint_id']}:", data["outcome"], answer)
        case kind:
            return _line(_KINDS.get(kind, str(kind)), None, data)


_KINDS = {
    "drop_in.check": "the shop asked, and was told paid",
    "shop.reversal": "the shop asked for the money to go back",
}


def _only(data: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: data[name] for name in names}


def _line(first: str, second: Any, more: Mapping[str, Any]) -> str:
    named = [f"{name} {text_of(value)}" for name, value in more.items() if value is not None]
    said = first if second is None else f"{first} {text_of(second)}"
    return f"{said} ({', '.join(named)})" if named else said


FOUND: Final = 3
# A step of the server's begins checks for 15 s, and the last of them may wait for their turn and then for an answer.
STEP_SECONDS: Final = 120.0
_RECOVERED_COLUMNS: Final = (
    "found",
    "payment",
    "merchant",
    "order",
    "amount_rials",
    "captured_rials",
    "bank_code",
    "why",
)
_COUNTS: Final = ("checked", "still_open", "not_paid", "unclear")


@dataclass(slots=True)
class RecoveryProgress:
    """The batches so far."""

    since: str
    complete: bool = False
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTS, 0))
    credited: list[dict[str, Any]] = field(default_factory=list)
    needs_review: list[dict[str, Any]] = field(default_factory=list)

    def add(self, batch: dict[str, Any]) -> None:
        for name in _COUNTS:
            self.counts[name] += batch[name]
        self.credited += batch["credited"]
        self.needs_review += batch["needs_review"]

    @property
    def summary(self) -> str:
        counts = self.counts
        return (
            f"{counts['checked']} checked: {len(self.credited)} credited, {len(self.needs_review)} need review, "
            f"{counts['still_open']} still open, {counts['not_paid']} not paid, "
            f"{counts['unclear']} without a clear answer"
        )


@click.command()
@click.option(
    "--since",
    required=True,
    metavar="TIME",
    type=past,
    help=f"How far back, 30 days at most: {PAST_HELP}",
)
@click.option("--batch", type=click.IntRange(1, 100), default=50, show_default=True, help="Payments per call.")
@operator_command
def recover(*, api: Api, out: Output, since: str, batch: int) -> None:
    """Ask the gateways again about everything that may have been paid, through the running server.

    Exit code 0: nothing was found. 3: money was found, and is credited now or needs review. 1: something failed, or a
    gateway did not answer and nothing was found; run it again later, which does no harm.
    """
    found = RecoveryProgress(since)
    try:
        _walk(api, out, found, batch)
    finally:
        # Also when it is broken off: what is credited by now is not found again by another run.
        _show(out, found)
    if found.credited or found.needs_review:
        raise SystemExit(FOUND)
    if found.counts["unclear"]:
        raise ApiError("some gateways gave no clear answer; those payments stay watched. Run it again later")


def _walk(api: Api, out: Output, found: RecoveryProgress, batch: int) -> None:
    cursor = None
    while not found.complete:
        body = {"since": found.since, "cursor": cursor, "limit": batch}
        answer = api.post("/recover", body, timeout_seconds=STEP_SECONDS)
        found.add(answer)
        cursor = answer["next_cursor"]
        found.complete = cursor is None
        if (at := answer["progress"]) is not None:
            out.note(f"{found.summary}; now at {at['created_at']} of {at['merchant_id']}")


def _show(out: Output, found: RecoveryProgress) -> None:
    if out.as_json:
        shown = {"since": found.since, "complete": found.complete, **found.counts}
        out.record(shown | {"credited": found.credited, "needs_review": found.needs_review})
        return
    rows = [_row("credited", payment) for payment in found.credited]
    rows += [_row("needs review", payment) for payment in found.needs_review]
    if rows:
        out.table(rows, _RECOVERED_COLUMNS)
    click.echo(found.summary if found.complete else f"{found.summary}; not complete")


def _row(kind: str, payment: dict[str, Any]) -> dict[str, Any]:
    review = payment["review"]
    return {
        "found": kind,
        "payment": payment["id"],
        "merchant": payment["merchant_id"],
        "order": payment["order_id"],
        "amount_rials": payment["amount_rials"],
        "captured_rials": payment["captured_rials"],
        "bank_code": payment["bank_code"],
        "why": review and review["reason"],
    }
