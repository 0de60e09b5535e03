"""The command `python -m tests.torture.conformance`."""

import time

import click

from proxy.observability import logs

from .. import seed_option
from . import campaign, unanswered


@click.command()
@click.option("--examples", default=60, show_default=True, help="Calls of each operation in each mode.")
@seed_option
def main(examples: int, seed: int) -> None:
    """Calls every operation of openapi.yaml with what fits and what does not; exit code 1 for a wrong answer."""
    logs.configure("error", "json")
    click.echo(f"conformance: seed {seed}, {examples} examples of each operation and mode")
    began = time.monotonic()
    told = campaign(seed, examples)
    click.echo("\n".join(told.lines()))
    never = unanswered(told)
    click.echo(
        f"conformance: {told.calls:,} calls, {len(told.violations)} violations, {time.monotonic() - began:.0f} s"
    )
    if told.violations or never:
        click.echo(f"never succeeded: {never}")
        raise SystemExit(1)


if __name__ == "__main__":
    main()
