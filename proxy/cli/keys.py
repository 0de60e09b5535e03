"""`dargah keys`."""

from datetime import UTC, datetime

import click

from proxy.cli.api import Api
from proxy.cli.options import operator_command
from proxy.cli.output import Output


@click.group()
def keys() -> None:
    """The keys that seal api_keys and webhook secrets."""


@keys.command()
@click.option("--id", "name", help="The key's name.  [default: today's date]")
def generate(*, name: str | None) -> None:
    """Print a new line for the key ring (DARGAH_KEYS or the file of DARGAH_KEYS_FILE).

    Put it first and the old lines after it, restart, then `dargah keys rotate`; then the old lines can go.
    Keep a copy apart from the database's backups: without its key a backup holds no api_key.
    """
    from proxy.adapters.vault import generate_line  # noqa: PLC0415  cryptography is slow to import
    from proxy.errors import VaultError  # noqa: PLC0415

    try:
        click.echo(generate_line(name or f"{datetime.now(UTC):k%Y%m%d}"))
    except VaultError as error:
        raise click.BadParameter(str(error), param_hint="--id") from None


@keys.command()
@click.option("--batch", type=click.IntRange(1, 500), default=500, show_default=True, help="Secrets per call.")
@operator_command
def rotate(*, api: Api, out: Output, batch: int) -> None:
    """Seal every secret under the ring's first key, through the running server, while it works."""
    total = 0
    while True:
        rotated = api.post("/keys/rotate", {"limit": batch})
        total += rotated["rewrapped"]
        if rotated["done"]:
            break
        out.note(f"{total} secrets so far")
    out.done(f"{total} secrets are now under {rotated['kek_id']}", rotated | {"rewrapped": total})
    if rotated["failed"]:
        raise click.ClickException("these could not be opened, and stay as they are: " + "; ".join(rotated["failed"]))
