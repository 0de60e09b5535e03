"""The command `python -m tests.torture.machines`."""

import sys
import time

import click

from proxy.observability import logs

from .. import document, seed_option
from . import BEGIN, END, MOST_SECONDS, PARTS, Table, run


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(PARTS)))
@seed_option
@click.option("--write", "writes", is_flag=True, help="Put the table into docs/reliability.md.")
def main(names: tuple[str, ...], seed: int, writes: bool) -> None:
    """Break machines under a whole Dargah, and look for money that went missing."""
    logs.configure("error", "json")
    table, ends = Table(seed), time.monotonic() + MOST_SECONDS
    for name in names or PARTS:
        if reason := PARTS[name].missing():
            click.echo(f"NOT RUN: {name}: {reason}")
            continue
        click.echo(f"{name}: seed {seed}")
        ran = run(name, seed, most_seconds=ends - time.monotonic())
        table.ran = [*table.ran, ran]
        click.echo("\n".join(ran.told.findings.lines()))
    click.echo("\n".join(table.lines()))
    broken = any(each.told.findings.violations for each in table.ran)
    if writes and not broken and len(table.ran) == len(PARTS):
        document(BEGIN, END, table.lines())
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
