"""The command `python -m tests.torture.state_machine`."""

import time

import click

from proxy.observability import logs

from .. import seed_option
from . import in_a_folder, play


@click.command()
@click.option("--examples", default=400, show_default=True)
@click.option("--steps", default=60, show_default=True)
@seed_option
def main(examples: int, steps: int, seed: int) -> None:
    """Plays the state machine; a broken promise ends it with the shortest story found."""
    logs.configure("error", "json")
    click.echo(f"machine: seed {seed}, {examples} examples of up to {steps} steps")
    began = time.monotonic()
    made = in_a_folder(lambda on: play(on, seed, examples, steps))
    for name, count in sorted((made.counts + made.hooks.times).items()):
        click.echo(f"  {name}: {count:,}")
    click.echo(f"machine: {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
