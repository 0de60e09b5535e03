"""`dargah config` and `dargah keys`."""

from dataclasses import asdict
from datetime import UTC, datetime

import click

from proxy.cli.api import Api
from proxy.cli.options import operator_command
from proxy.cli.output import Output, Refused
from proxy.config.env_file import DEFAULT
from proxy.config.settings import SECRETS_DIR, SettingsError, load
from proxy.config.shown import setting_lines
from proxy.kernel.errors import VaultError
from proxy.merchants.vault import generate_line


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def config(*, as_json: bool) -> None:
    """Show every setting with its meaning, its default and its present value. Secrets are masked."""
    try:
        settings, error = load(), None
    except SettingsError as refused:
        settings, error = None, refused
    rows = [asdict(line) for line in setting_lines(settings)]
    if as_json:
        Output(as_json=True).table(rows, ())
    else:
        click.echo(
            f"Each can stand in the environment, in {DEFAULT}, or as a file in {SECRETS_DIR}, such as dargah_keys.\n"
        )
        for row in rows:
            click.echo(f"{click.style(row['name'], bold=True)} = {row['value'] if settings else '?'}")
            click.echo(f"    {row['description']}\n    Default: {row['default']}\n")
    if error is not None:
        raise Refused(str(error))


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
