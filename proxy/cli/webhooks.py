"""`dargah webhook`."""

from collections.abc import Iterator
from typing import Any

import click

from proxy.cli.api import Api
from proxy.cli.options import given, limit_option
from proxy.cli.output import Output
from proxy.cli.shop import own_path, shop_command
from proxy.cli.verifying import verify

_COLUMNS = ("id", "event_id", "status", "attempts", "next_attempt_at", "delivered_at")
_LOG_COLUMNS = ("number", "started_at", "outcome", "http_status", "error", "duration_ms", "excerpt")
_EXCERPT_CHARS = 60  # of a table's cell; --json has all of it
_since = click.option("--since", required=True, metavar="TIME", help="Such as 2026-11-24T00:00:00Z.")


@click.group()
def webhook() -> None:
    """What became of a shop's webhooks, and sending them again. With the shop's own token (DARGAH_TOKEN)."""


webhook.add_command(verify)


@webhook.command()
@shop_command
def endpoints(*, api: Api, out: Output) -> None:
    """List the endpoints."""
    columns = ("id", "url", "storefront", "event_types", "state", "state_reason", "state_since")
    out.table(api.get("/webhook-endpoints")["data"], columns)


@webhook.command()
@click.argument("endpoint_id")
@click.option("--status", type=click.Choice(["pending", "delivered", "failed", "dropped"]), help="Only these.")
@limit_option
@shop_command
def deliveries(*, api: Api, out: Output, endpoint_id: str, status: str | None, limit: int) -> None:
    """List an endpoint's deliveries, newest event first."""
    out.table(api.rows(f"{own_path('endpoint', endpoint_id)}/deliveries", limit, status=status), _COLUMNS)


@webhook.command()
@click.argument("delivery_id")
@shop_command
def delivery(*, api: Api, out: Output, delivery_id: str) -> None:
    """Show a delivery with every attempt."""
    _show(out, api.get(own_path("delivery", delivery_id)))


@webhook.command()
@click.argument("delivery_id")
@shop_command
def retry(*, api: Api, out: Output, delivery_id: str) -> None:
    """Send one again now, whatever became of it."""
    _show(out, api.post(f"{own_path('delivery', delivery_id)}/retry"))


@webhook.command()
@click.argument("endpoint_id")
@_since
@shop_command
def recover(*, api: Api, out: Output, endpoint_id: str, since: str) -> None:
    """Send again what did not get through since a time."""
    _finish(out, _batches(api, f"{own_path('endpoint', endpoint_id)}/recover", {"since": since}, out))


@webhook.command()
@click.argument("endpoint_id")
@_since
@click.option("--until", metavar="TIME", help="[default: now]")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only these types; repeatable.")
@shop_command
def replay(*, api: Api, out: Output, endpoint_id: str, since: str, until: str | None, types: tuple[str, ...]) -> None:
    """Send everything of a span again, also what got through, and what was before the endpoint."""
    body = given(since=since, until=until, types=types)
    _finish(out, _batches(api, f"{own_path('endpoint', endpoint_id)}/replay", body, out))


@webhook.command()
@click.argument("endpoint_id")
@shop_command
def test(*, api: Api, out: Output, endpoint_id: str) -> None:
    """Send a ping now, and show the answer."""
    answer = api.post(f"{own_path('endpoint', endpoint_id)}/test")
    out.record(answer)
    if answer["outcome"] != "delivered":
        raise click.exceptions.Exit(1)


@webhook.command()
@click.argument("endpoint_id")
@shop_command
def stats(*, api: Api, out: Output, endpoint_id: str) -> None:
    """How an endpoint is doing."""
    out.record(api.get(f"{own_path('endpoint', endpoint_id)}/stats"))


def _show(out: Output, shown: dict[str, Any]) -> None:
    if out.as_json:
        out.record(shown)
        return
    out.record({name: value for name, value in shown.items() if name != "log"})
    if shown["log"]:
        click.echo()
        out.table(({**each, "excerpt": each["excerpt"][:_EXCERPT_CHARS]} for each in shown["log"]), _LOG_COLUMNS)


def _batches(api: Api, path: str, body: dict[str, Any], out: Output) -> Iterator[int]:
    """How many became due in each batch; progress goes to standard error."""
    cursor, total = None, 0
    while True:
        done = api.post(path, given(**body, cursor=cursor))
        total, cursor = total + done["requeued"], done["next_cursor"]
        yield done["requeued"]
        if cursor is None:
            return
        out.note(f"{total} so far")


def _finish(out: Output, batches: Iterator[int]) -> None:
    total = sum(batches)
    out.done(f"{total} on their way again", {"requeued": total})
