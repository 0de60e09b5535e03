"""`dargah endpoint`."""

from typing import Any, Final, TextIO

import click

from proxy.cli.api import Api
from proxy.cli.options import given, irreversible, merchant_option, merchant_path, operator_command, path_of
from proxy.cli.output import Output

MAX_HEADERS_CHARS: Final = 10_000
_COLUMNS = ("id", "mode", "url", "storefront", "event_types", "max_in_flight", "state", "state_reason", "created_at")


def _headers(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, str] | None:
    return _pairs(values)


def _pairs(values: tuple[str, ...]) -> dict[str, str] | None:
    pairs = [value.partition(":") for value in values]
    if not all(mark for _, mark, _ in pairs):
        raise click.BadParameter("write it as 'Name: value'")
    return {name.strip(): value.strip() for name, _, value in pairs} or None


def _with_file(given: dict[str, str] | None, file: TextIO | None) -> dict[str, str] | None:
    lines = () if file is None else tuple(filter(None, map(str.strip, file.read(MAX_HEADERS_CHARS).splitlines())))
    return {**(given or {}), **(_pairs(lines) or {})} or None


_storefront = click.option("--storefront", help="Only this storefront's events.")
_event_types = click.option(
    "--event-type",
    "event_types",
    multiple=True,
    metavar="TYPE",
    help="Such as payment.paid; repeatable.  [default: all]",
)
_description = click.option("--description", help="A note for people.")
_header = click.option(
    "--header",
    "headers",
    multiple=True,
    callback=_headers,
    metavar="'NAME: VALUE'",
    help="An extra header; repeatable. Other users of the machine see it: a secret belongs into --headers-file.",
)
_headers_file = click.option(
    "--headers-file", type=click.File(), metavar="FILE", help="Extra headers, a line each; - is standard input."
)
_signatures = click.option(
    "--signature",
    "signatures",
    multiple=True,
    type=click.Choice(["v1", "v1a"]),
    help="How it is signed; repeatable. v1a (Ed25519) comes beside v1.  [default: v1]",
)

_max_in_flight = click.option(
    "--max-in-flight",
    type=click.IntRange(1, 64),
    help="How many webhooks may be on their way at once: 1 for a shop that bears no more.  [default: 8]",
)


@click.group()
def endpoint() -> None:
    """Where a merchant's webhooks go."""


@endpoint.command()
@merchant_option
@click.option("--url", required=True, help="Gets a POST for each event.")
@click.option(
    "--mode",
    type=click.Choice(["live", "test"]),
    default="live",
    show_default=True,
    help="Whose events: those of live or of test payments. It cannot be changed later.",
)
@_storefront
@_event_types
@_description
@_header
@_headers_file
@_signatures
@_max_in_flight
@operator_command
def create(*, api: Api, out: Output, merchant: str, headers_file: TextIO | None, **fields: Any) -> None:
    """Add an endpoint, and show once the secret that signs for it."""
    fields["headers"] = _with_file(fields["headers"], headers_file)
    out.record(api.post(f"{merchant_path(merchant)}/endpoints", given(**fields)), shown_once="secret")


@endpoint.command("list")
@merchant_option
@operator_command
def list_(*, api: Api, out: Output, merchant: str) -> None:
    """List a merchant's endpoints."""
    out.table(api.get(f"{merchant_path(merchant)}/endpoints")["data"], _COLUMNS)


@endpoint.command()
@click.argument("endpoint_id")
@operator_command
def show(*, api: Api, out: Output, endpoint_id: str) -> None:
    """Show an endpoint."""
    out.record(api.get(path_of("endpoint", endpoint_id)))


@endpoint.command()
@click.argument("endpoint_id")
@click.option("--url", help="A new URL.")
@_storefront
@_event_types
@_description
@_header
@_headers_file
@_signatures
@_max_in_flight
@operator_command
def update(*, api: Api, out: Output, endpoint_id: str, headers_file: TextIO | None, **fields: Any) -> None:
    """Change an endpoint. Event types and headers given replace the old ones; another origin needs headers again."""
    fields["headers"] = _with_file(fields["headers"], headers_file)
    out.record(api.patch(path_of("endpoint", endpoint_id), given(**fields)))


@endpoint.command()
@click.argument("endpoint_id")
@operator_command
def pause(*, api: Api, out: Output, endpoint_id: str) -> None:
    """Hold the events; nothing is dropped."""
    out.record(api.patch(path_of("endpoint", endpoint_id), {"paused": True}))


@endpoint.command()
@click.argument("endpoint_id")
@operator_command
def resume(*, api: Api, out: Output, endpoint_id: str) -> None:
    """Send again, the held events first; also for a disabled endpoint."""
    out.record(api.patch(path_of("endpoint", endpoint_id), {"paused": False}))


@endpoint.command("rotate-secret")
@click.argument("endpoint_id")
@click.option(
    "--overlap-seconds",
    type=click.IntRange(0, 604_800),
    default=86_400,
    show_default=True,
    help="How long the old secret signs too.",
)
@operator_command
def rotate_secret(*, api: Api, out: Output, endpoint_id: str, overlap_seconds: int) -> None:
    """Make a new secret, and show it once. The old one signs too until the overlap is over; 0 ends all earlier ones."""
    made = api.post(f"{path_of('endpoint', endpoint_id)}/rotate-secret", {"overlap_seconds": overlap_seconds})
    out.record(made, shown_once="secret")


@endpoint.command()
@click.argument("endpoint_id")
@irreversible("Removing an endpoint, with what waits for it,")
@operator_command
def delete(*, api: Api, out: Output, endpoint_id: str) -> None:
    """Remove an endpoint; its undelivered webhooks are dropped."""
    api.delete(path_of("endpoint", endpoint_id))
    out.done(f"{endpoint_id} is removed", {"id": endpoint_id, "deleted": True})
