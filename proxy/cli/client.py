"""`dargah client`."""

import sys
from importlib.resources import files
from pathlib import Path
from typing import Final

import click

from proxy.cli.output import Output

_FILES: Final = {
    "php": ("php", "Dargah.php"),
    "node": ("node", "dargah.mjs"),
    "python": ("python", "dargah_client.py"),
}


@click.command()
@click.argument("language", type=click.Choice(list(_FILES)))
@click.option(
    "--check",
    "copy",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Print nothing, and see whether this copy is as this version of Dargah has it; exits 1 when not.",
)
def client(language: str, copy: Path | None) -> None:
    """Print the client for a shop: one file without a dependency, to copy into the shop.

    Its names are Dargah.php, dargah.mjs and dargah_client.py.
    """
    found = files("proxy").joinpath("reference", "clients", *_FILES[language]).read_bytes()
    if copy is None:
        sys.stdout.buffer.write(found)
        return
    with copy.open("rb") as opened:
        same = opened.read(len(found) + 1) == found
    Output.note(f"{copy}: " + ("up to date" if same else f"not this version's: dargah client {language} > {copy}"))
    if not same:
        raise click.exceptions.Exit(1)
