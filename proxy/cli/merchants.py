"""`dargah merchant`."""

import click

from proxy.cli.api import Api
from proxy.cli.options import given, limit_option, merchant_path, operator_command
from proxy.cli.output import Output

_origins = click.option(
    "--return-origin",
    "return_origins",
    multiple=True,
    metavar="ORIGIN",
    help="Where customers may be sent back to, such as https://shop.ir; repeatable.",
)


@click.group()
def merchant() -> None:
    """Who sells: a name, and the origins that customers may be sent back to."""


@merchant.command()
@click.option("--name", required=True, help="What people call it.")
@_origins
@operator_command
def create(*, api: Api, out: Output, name: str, return_origins: tuple[str, ...]) -> None:
    """Add a merchant, and show the secret that signs its customers' way back."""
    made = api.post("/merchants", {"name": name, "return_origins": list(return_origins)})
    out.record(made, shown_once="return_secret")


@merchant.command("list")
@limit_option
@operator_command
def list_(*, api: Api, out: Output, limit: int) -> None:
    """List the merchants."""
    out.table(api.rows("/merchants", limit), ("id", "name", "return_origins", "created_at"))


@merchant.command()
@click.argument("merchant_id")
@operator_command
def show(*, api: Api, out: Output, merchant_id: str) -> None:
    """Show a merchant."""
    out.record(api.get(merchant_path(merchant_id)))


@merchant.command()
@click.argument("merchant_id")
@click.option("--name", help="A new name.")
@_origins
@operator_command
def update(*, api: Api, out: Output, merchant_id: str, name: str | None, return_origins: tuple[str, ...]) -> None:
    """Change a merchant. The origins given replace the old ones."""
    out.record(api.patch(merchant_path(merchant_id), given(name=name, return_origins=return_origins)))


@merchant.command("rotate-return-secret")
@click.argument("merchant_id")
@operator_command
def rotate_return_secret(*, api: Api, out: Output, merchant_id: str) -> None:
    """Replace the secret that signs the customers' way back. The old one ends at once."""
    out.record(api.post(f"{merchant_path(merchant_id)}/rotate-return-secret"), shown_once="return_secret")
