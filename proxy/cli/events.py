"""`dargah event` and `dargah trigger`."""

from typing import Any

import click

from proxy.cli.api import Api
from proxy.cli.options import given, limit_option
from proxy.cli.output import Output
from proxy.cli.shop import shop_command


@click.group()
def event() -> None:
    """What happened to a shop's payments. With the shop's own token (DARGAH_TOKEN)."""


@event.command("list")
@click.option("--after", help="The sequence after which to begin.")
@click.option("--type", "type_", metavar="TYPE", help="Only this type, such as payment.paid.")
@click.option("--payment", "payment_id", metavar="ID", help="Only this payment's.")
@click.option(
    "--delivered/--undelivered", default=None, help="Only what every endpoint has got, or what one of them has not."
)
@limit_option
@shop_command
def list_(*, api: Api, out: Output, limit: int, type_: str | None, delivered: bool | None, **filters: Any) -> None:
    """List events, oldest first."""
    wanted = given(type=type_, delivered=None if delivered is None else str(delivered).lower(), **filters)
    after = wanted.pop("after", None)
    rows = api.rows("/events", limit, first={"after": after}, **wanted)
    out.table(rows, ("sequence", "id", "type", "payment_id", "timestamp"))


@event.command()
@click.argument("event_id")
@shop_command
def show(*, api: Api, out: Output, event_id: str) -> None:
    """Show an event with its payload."""
    out.record(api.get(f"/events/{event_id}"))


@click.command()
@click.argument("type_", metavar="TYPE")
@shop_command
def trigger(*, api: Api, out: Output, type_: str) -> None:
    """Make a test event such as payment.paid.

    It tells of a payment that does not exist, is marked "test": true in its data, and is delivered like a real one.
    """
    out.record(api.post("/events/test", {"type": type_}))
