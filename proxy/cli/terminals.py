"""`dargah terminal`."""

from typing import Any

import click

from proxy.cli.api import Api
from proxy.cli.options import given, merchant_option, merchant_path, operator_command, path_of, read_secret
from proxy.cli.output import Output

_COLUMNS = ("id", "name", "mode", "enabled", "gateway_url", "return_base_url", "created_at")
_stdin = click.option("--api-key-stdin", is_flag=True, help="Read the api_key from standard input.")
_return_base = click.option(
    "--return-base-url", metavar="URL", help="A public base of the shop's own domain that points at Dargah."
)


@click.group()
def terminal() -> None:
    """A merchant's accounts at gateways. Their api_key goes in and never comes out."""


@terminal.command()
@merchant_option
@click.option("--name", required=True, help="What people call it.")
@click.option(
    "--gateway-url", required=True, metavar="URL", help="The gateway's base; /invoice/request comes after it."
)
@click.option("--mode", type=click.Choice(["live", "test"]), default="live", show_default=True)
@_return_base
@_stdin
@operator_command
def create(*, api: Api, out: Output, merchant: str, api_key_stdin: bool, **fields: Any) -> None:
    """Add a terminal; the api_key is asked for, or read from standard input."""
    path = merchant_path(merchant)
    fields["api_key"] = read_secret("api_key", from_stdin=api_key_stdin)
    out.record(api.post(f"{path}/terminals", given(**fields)))


@terminal.command("list")
@merchant_option
@operator_command
def list_(*, api: Api, out: Output, merchant: str) -> None:
    """List a merchant's terminals."""
    out.table(api.get(f"{merchant_path(merchant)}/terminals")["data"], _COLUMNS)


@terminal.command()
@click.argument("terminal_id")
@operator_command
def show(*, api: Api, out: Output, terminal_id: str) -> None:
    """Show a terminal."""
    out.record(api.get(path_of("terminal", terminal_id)))


@terminal.command()
@click.argument("terminal_id")
@click.option("--name", help="A new name.")
@click.option("--gateway-url", metavar="URL", help="A new base of the gateway.")
@_return_base
@click.option("--no-return-base-url", is_flag=True, help="Take the return base URL away.")
@click.option("--enable/--disable", "enabled", default=None, help="Whether new payments may use it.")
@_stdin
@click.option("--new-api-key", is_flag=True, help="Ask for a new api_key.")
@operator_command
def update(
    *,
    api: Api,
    out: Output,
    terminal_id: str,
    no_return_base_url: bool,
    api_key_stdin: bool,
    new_api_key: bool,
    **fields: Any,
) -> None:
    """Change a terminal. A new api_key is used from the next call to the gateway on."""
    path = path_of("terminal", terminal_id)
    changes = given(**fields)
    if no_return_base_url:
        changes["return_base_url"] = None
    if api_key_stdin or new_api_key:
        changes["api_key"] = read_secret("api_key", from_stdin=api_key_stdin)
    out.record(api.patch(path, changes))
