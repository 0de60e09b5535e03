"""`dargah merchant`: who sells."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from proxy.cli.api import Api
from proxy.cli.options import given, irreversible, limit_option, merchant_path, operator_command
from proxy.cli.output import Output

_origins = click.option(
    "--return-origin",
    "return_origins",
    multiple=True,
    metavar="ORIGIN",
    help="Where customers may be sent back to, such as https://shop.ir; repeatable.",
)


_Command = Callable[..., Any]


def _looks(command: _Command) -> _Command:
    """The options of a merchant's branding on the customer's pages. An empty option clears its value."""
    for option in (
        click.option(
            "--contact",
            metavar="CONTACT",
            help="Telephone number, e-mail or https address; up to three, by commas.",
        ),
        click.option("--logo", metavar="FILE", help="A PNG file of at most 20 kB and 512 pixels."),
        click.option("--language", metavar="fa|en", help="The pages' language. Without it the browser's decides."),
        click.option("--colour", metavar="#RRGGBB", help="The buttons' colour."),
        click.option("--name-fa", metavar="NAME", help="The name on Persian pages."),
    ):
        command = option(command)
    return command


def _branding_options(logo: str | None, **others: str | None) -> dict[str, Any]:
    image = None if not logo else base64.b64encode(Path(logo).read_bytes()).decode()
    texts = given(**others, logo=image if logo else logo)
    return {name: text or None for name, text in texts.items()}


@click.group()
def merchant() -> None:
    """Merchants: names, and the origins that customers may return to."""


@merchant.command("create")
@click.option("--name", required=True, help="What people call it.")
@_origins
@_looks
@operator_command
def create_merchant(*, api: Api, out: Output, name: str, return_origins: tuple[str, ...], **looks: Any) -> None:
    """Add a merchant, and show the secret that signs its customers' way back."""
    made = api.post("/merchants", {"name": name, "return_origins": list(return_origins), **_branding_options(**looks)})
    out.record(made, shown_once="return_secret")


@merchant.command("list")
@click.option("--archived", is_flag=True, help="Those that are archived, instead of the others.")
@limit_option
@operator_command
def list_merchants(*, api: Api, out: Output, archived: bool, limit: int) -> None:
    """List the merchants that are not archived."""
    rows = api.rows("/merchants", limit, archived="true" if archived else "false")
    out.table(rows, ("id", "name", "return_origins", "created_at"))


@merchant.command("show")
@click.argument("merchant_id")
@operator_command
def show_merchant(*, api: Api, out: Output, merchant_id: str) -> None:
    """Show a merchant."""
    out.record(api.get(merchant_path(merchant_id)))


@merchant.command("update")
@click.argument("merchant_id")
@click.option("--name", help="A new name.")
@_origins
@_looks
@operator_command
def update_merchant(
    *, api: Api, out: Output, merchant_id: str, name: str | None, return_origins: tuple[str, ...], **looks: Any
) -> None:
    """Change a merchant. The given origins replace the old ones, and an empty option clears its value."""
    changes = given(name=name, return_origins=return_origins) | _branding_options(**looks)
    out.record(api.patch(merchant_path(merchant_id), changes))


@merchant.command("archive")
@click.argument("merchant_id")
@operator_command
def archive_merchant(*, api: Api, out: Output, merchant_id: str) -> None:
    """Take no new payments for a merchant. Those that it has go on to their end; `unarchive` takes it back."""
    out.record(api.post(f"{merchant_path(merchant_id)}/archive"))


@merchant.command("unarchive")
@click.argument("merchant_id")
@operator_command
def unarchive_merchant(*, api: Api, out: Output, merchant_id: str) -> None:
    """Take payments for an archived merchant again."""
    out.record(api.post(f"{merchant_path(merchant_id)}/unarchive"))


@merchant.command("rotate-return-secret")
@click.argument("merchant_id")
@click.option(
    "--mode",
    type=click.Choice(["live", "test"]),
    default="live",
    show_default=True,
    help="Whose customers: those of live or of test payments.",
)
@irreversible("Ending the return secret")
@operator_command
def rotate_return_secret(*, api: Api, out: Output, merchant_id: str, mode: str) -> None:
    """Make the secret that signs the customers' way back. The one before of that mode ends at once."""
    made = api.post(f"{merchant_path(merchant_id)}/rotate-return-secret", {"mode": mode})
    out.record(made, shown_once="return_secret")
