"""`dargah terminal` and `dargah gateways`: the accounts at gateways, and the families that those can be of."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from proxy.cli.api import Api
from proxy.cli.options import (
    given,
    merchant_option,
    merchant_path,
    operator_command,
    path_of,
    read_pairs,
    read_secret,
    read_stdin,
)
from proxy.cli.output import Output, Refused

_COLUMNS: Final = (
    *("id", "name", "mode", "gateway", "enabled", "gateway_url", "credentials", "return_base_url", "created_at"),
)
_DEFAULT: Final = "invoice_script"


def _shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that a new terminal and a changed one have."""
    for option in (
        click.option("--api-key-stdin", is_flag=True, help="Read the credential api_key from standard input."),
        click.option(
            "--credentials-stdin",
            is_flag=True,
            help="Read credentials from standard input, one NAME=VALUE in each line.",
        ),
        click.option(
            "--credential",
            "names",
            multiple=True,
            metavar="NAME",
            help="Ask for this credential; repeatable. `dargah gateways` has the names.",
        ),
        click.option(
            "--option", "options", multiple=True, metavar="NAME=VALUE", help="A setting of the family; repeatable."
        ),
        click.option(
            "--return-base-url", metavar="URL", help="A public base of the shop's own domain that points at Dargah."
        ),
    ):
        command = option(command)
    return command


@click.command()
@operator_command
def gateways(*, api: Api, out: Output) -> None:
    """List the families of gateways, with the credentials and options that a terminal of each has."""
    rows = api.get("/gateways")["data"]
    names = {"credentials", "options"}
    shown = [
        row if out.as_json else row | {name: [each["name"] for each in row[name]] for name in names} for row in rows
    ]
    out.table(shown, ("name", "title", "credentials", "options", "gateway_url", "sandbox_url"))


@click.group()
def terminal() -> None:
    """A merchant's accounts at gateways. Their credentials go in and never come out."""


@terminal.command("create")
@merchant_option
@click.option("--name", required=True, help="What people call it.")
@click.option("--gateway", default=_DEFAULT, show_default=True, metavar="FAMILY", help="See `dargah gateways`.")
@click.option("--gateway-url", metavar="URL", help="The gateway's base, where its family has none or another is meant.")
@click.option("--mode", type=click.Choice(["live", "test"]), default="live", show_default=True)
@_shared_options
@operator_command
def create_terminal(
    *,
    api: Api,
    out: Output,
    merchant: str,
    options: tuple[str, ...],
    names: tuple[str, ...],
    api_key_stdin: bool,
    credentials_stdin: bool,
    **fields: Any,
) -> None:
    """Add a terminal; each of its credentials is asked for, or read from standard input."""
    path, body = f"{merchant_path(merchant)}/terminals", given(**fields) | _options(options)
    if not (names or api_key_stdin or credentials_stdin):
        names = _credentials_of(api, fields["gateway"])
    out.record(api.post(path, body | _read_secrets(names, api_key=api_key_stdin, pairs=credentials_stdin)))


@terminal.command("list")
@merchant_option
@operator_command
def list_terminals(*, api: Api, out: Output, merchant: str) -> None:
    """List a merchant's terminals."""
    out.table(api.get(f"{merchant_path(merchant)}/terminals")["data"], _COLUMNS)


@terminal.command("show")
@click.argument("terminal_id")
@operator_command
def show_terminal(*, api: Api, out: Output, terminal_id: str) -> None:
    """Show a terminal."""
    out.record(api.get(path_of("terminal", terminal_id)))


@terminal.command("update")
@click.argument("terminal_id")
@click.option("--name", help="A new name.")
@click.option("--gateway-url", metavar="URL", help="A new base of the gateway.")
@click.option("--no-return-base-url", is_flag=True, help="Take the return base URL away.")
@click.option("--enable/--disable", "enabled", default=None, help="Whether new payments may use it.")
@click.option("--new-api-key", is_flag=True, help="Ask for a new api_key.")
@_shared_options
@operator_command
def update_terminal(
    *,
    api: Api,
    out: Output,
    terminal_id: str,
    options: tuple[str, ...],
    names: tuple[str, ...],
    no_return_base_url: bool,
    new_api_key: bool,
    api_key_stdin: bool,
    credentials_stdin: bool,
    **fields: Any,
) -> None:
    """Change a terminal. A new credential is used from the next call to the gateway on.

    Credentials that are not given stay. A gateway at another host needs all of them again.
    """
    path = path_of("terminal", terminal_id)
    changes = given(**fields) | _options(options)
    if no_return_base_url:
        changes["return_base_url"] = None
    asked = (*names, *(["api_key"] if new_api_key and not api_key_stdin else []))
    out.record(api.patch(path, changes | _read_secrets(asked, api_key=api_key_stdin, pairs=credentials_stdin)))


def _credentials_of(api: Api, gateway: str) -> tuple[str, ...]:
    families = {row["name"]: row for row in api.get("/gateways")["data"]}
    if gateway not in families:
        raise Refused(f"there is no family {gateway!r}; there are: {', '.join(families)}")
    return tuple(each["name"] for each in families[gateway]["credentials"])


def _read_secrets(names: Sequence[str], *, api_key: bool, pairs: bool) -> dict[str, Any]:
    """The members of a body with these credentials, and with those of standard input."""
    if api_key and pairs:
        raise Refused("standard input is read once: put api_key=… among its lines for --credentials-stdin")
    members: dict[str, Any] = {"api_key": read_stdin("api_key")} if api_key else {}
    credentials = read_pairs(read_stdin("credentials").splitlines(), "standard input") if pairs else {}
    for name in names:
        way = "--api-key-stdin" if name == "api_key" else "--credentials-stdin"
        credentials[name] = read_secret(name, way)
    return members | ({"credentials": credentials} if credentials else {})


def _options(texts: tuple[str, ...]) -> dict[str, Any]:
    return {"options": read_pairs(texts, "--option")} if texts else {}
