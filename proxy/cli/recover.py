"""`dargah recover`."""

import re
import time
from dataclasses import dataclass, field
from typing import Any, Final

import click

from proxy.cli.api import Api, ApiError
from proxy.cli.options import operator_command
from proxy.cli.output import Output
from proxy.clock import DAY, HOUR, MINUTE, parse_rfc3339, rfc3339

FOUND: Final = 3
# A step of the server's begins checks for 15 s, and the last of them may wait for their turn and then for an answer.
STEP_SECONDS: Final = 120.0
_AGO: Final = re.compile(r"([0-9]{1,5})([mhd])")
_UNITS: Final = {"m": MINUTE, "h": HOUR, "d": DAY}
_COLUMNS: Final = ("found", "payment", "merchant", "order", "amount_rials", "captured_rials", "bank_code", "why")
_COUNTS: Final = ("checked", "still_open", "not_paid", "unclear")


@dataclass(slots=True)
class Found:
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
    help="How far back: 90m, 48h, 7d, or a time such as 2026-11-20T10:00:00Z; at most 30 days.",
)
@click.option("--batch", type=click.IntRange(1, 100), default=50, show_default=True, help="Payments per call.")
@operator_command
def recover(*, api: Api, out: Output, since: str, batch: int) -> None:
    """Ask the gateways again about everything that may have been paid, through the running server.

    Exit code 0: nothing was found. 3: money was found, and is credited now or needs review. 1: something failed, or a
    gateway did not answer and nothing was found; run it again later, which does no harm.
    """
    found = Found(_since(since))
    try:
        _walk(api, out, found, batch)
    finally:
        # Also when it is broken off: what is credited by now is not found again by another run.
        _show(out, found)
    if found.credited or found.needs_review:
        raise SystemExit(FOUND)
    if found.counts["unclear"]:
        raise ApiError("some gateways gave no clear answer; those payments stay watched. Run it again later")


def _walk(api: Api, out: Output, found: Found, batch: int) -> None:
    cursor = None
    while not found.complete:
        body = {"since": found.since, "cursor": cursor, "limit": batch}
        answer = api.post("/recover", body, timeout_seconds=STEP_SECONDS)
        found.add(answer)
        cursor = answer["next_cursor"]
        found.complete = cursor is None
        if (at := answer["progress"]) is not None:
            out.note(f"{found.summary}; now at {at['created_at']} of {at['merchant_id']}")


def _show(out: Output, found: Found) -> None:
    if out.as_json:
        shown = {"since": found.since, "complete": found.complete, **found.counts}
        out.record(shown | {"credited": found.credited, "needs_review": found.needs_review})
        return
    rows = [_row("credited", payment) for payment in found.credited]
    rows += [_row("needs review", payment) for payment in found.needs_review]
    if rows:
        out.table(rows, _COLUMNS)
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


def _since(text: str) -> str:
    """The time as the API takes it. Raises a usage error."""
    if match := _AGO.fullmatch(text):
        return rfc3339(time.time_ns() // 1_000_000 - int(match[1]) * _UNITS[match[2]])
    try:
        return rfc3339(parse_rfc3339(text))
    except (ValueError, OverflowError, OSError):
        raise click.BadParameter(
            f"{text!r} is neither a while ago, such as 48h, nor a time with its offset, such as 2026-11-20T10:00:00Z",
            param_hint="--since",
        ) from None
