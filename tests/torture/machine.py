"""The state machine: `python -m tests.torture.machine --examples 400 --steps 60 [--seed N]`.

Hypothesis draws what storefronts, customers and operators do over the real HTTP API; after each step the API, the
gateway's ledger and a model on paper must agree, and at the end of each example every webhook must have come.
"""

import os
import shutil
import time
from collections.abc import Callable

import click
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from proxy.telemetry import logs

from .machine_ground import Ground, ground
from .machine_rules import Trade
from .world_setup import scratch


def play(made: Ground, chosen_seed: int, examples: int, steps: int, *, shrinks: bool = True) -> None:
    """Plays the examples of a seed. Raises what Hypothesis raises, with the shortest story found if it `shrinks`."""
    trade = seed(chosen_seed)(type("Trade", (Trade,), {"ground": made}))
    chosen = profile(examples, steps)
    if not shrinks:
        chosen = settings(chosen, phases=(Phase.generate,), report_multiple_bugs=False)
    run_state_machine_as_test(trade, settings=chosen)


def profile(examples: int, steps: int = 50) -> settings:
    """Bounded, from its seed alone: no database of earlier failures, and no deadline on a busy machine."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )


def in_a_folder(work: Callable[[Ground], None]) -> Ground:
    """`work` on a ground whose files go away with it."""
    folder = scratch()
    try:
        with ground(folder) as made:
            work(made)
            return made
    finally:
        shutil.rmtree(folder)


@click.command()
@click.option("--examples", default=400, show_default=True)
@click.option("--steps", default=60, show_default=True)
@click.option("--seed", "chosen", type=int, help="Draws everything; a new one by default.")
def main(examples: int, steps: int, chosen: int | None) -> None:
    """Plays the state machine; a broken promise ends it with the shortest story found."""
    chosen = int.from_bytes(os.urandom(4)) if chosen is None else chosen
    logs.configure("error", "json")
    click.echo(f"machine: seed {chosen}, {examples} examples of up to {steps} steps")
    began = time.monotonic()
    made = in_a_folder(lambda on: play(on, chosen, examples, steps))
    for name, count in sorted((made.counts + made.hooks.times).items()):
        click.echo(f"  {name}: {count:,}")
    click.echo(f"machine: {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
