"""`dargah settlement`."""

from typing import Any, Final

import click

from proxy.cli.api import Api
from proxy.cli.options import given, operator_command
from proxy.cli.output import Output

REPORT_SECONDS: Final = 600.0
_COLUMNS: Final = (
    *("day", "merchant_id", "terminal_id", "gateway", "paid", "gross_rials", "late", "fees_rials", "net_rials"),
    *("given_back", "given_back_rials", "reviews", "review_rials"),
)


@click.group()
def settlement() -> None:
    """What gateways should pay out, by terminal and day."""


@settlement.command()
@click.option("--from", "first_day", required=True, metavar="DAY", help="The first day: 1405/09/01 or 2026-11-22.")
@click.option("--to", "last_day", metavar="DAY", help="The last day, which is in it; the first one otherwise.")
@click.option("--merchant", "merchant_id", metavar="ID", help="Only this merchant's terminals (mer_…).")
@click.option("--terminal", "terminal_id", metavar="ID", help="Only this terminal (trm_…).")
@click.option("--mode", type=click.Choice(["live", "test"]), help="live unless said otherwise.")
@operator_command
def report(*, api: Api, out: Output, first_day: str, last_day: str | None, **wanted: Any) -> None:
    """Sum what was paid, by terminal and day in Tehran, less the fees that the gateway told.

    Money that was given back, or that needs review, stands beside it and is in none of the sums.
    """
    days = {"first_day": first_day, "last_day": last_day or first_day}
    found = api.get_slowly("/settlement", REPORT_SECONDS, **days, **given(**wanted))["data"]
    out.table(found if out.as_json else map(_row, found), _COLUMNS)


def _row(day: dict[str, Any]) -> dict[str, Any]:
    counts = {name: day[name]["count"] for name in ("paid", "late", "given_back", "reviews")}
    sums = {"gross_rials": "paid", "given_back_rials": "given_back", "review_rials": "reviews"}
    return day | counts | {name: day[of]["rials"] for name, of in sums.items()}
