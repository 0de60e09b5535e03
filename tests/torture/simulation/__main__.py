"""The command `python -m tests.torture.simulation`."""

import os
import time
from collections import Counter

import click

from . import report_failure, summary, tell, tell_many


@click.command()
@click.option("--seeds", default=2000, help="How many seeds.")
@click.option("--steps", default=150, help="Actions in each story.")
@click.option("--first", default=1, help="The first seed.")
@click.option("--seed", type=int, help="Replay just this one, and print all that happens.")
@click.option("--workers", default=os.cpu_count() or 1, help="Processes.")
def main(seeds: int, steps: int, first: int, seed: int | None, workers: int) -> None:
    """Runs the seeded simulation; exit code 1 when a promise was broken."""
    if seed is not None:
        told = tell(seed, steps, keep_trace=True)
        for line in told.lines:
            click.echo(line)
        failed = [told] if told.violation else []
        counts, seeds = told.counts, 1
    else:
        started, failed, counts = time.monotonic(), [], Counter[str]()
        for told in tell_many(range(first, first + seeds), steps, workers):
            counts += told.counts
            if told.violation:
                failed.append(told)
        click.echo(f"{time.monotonic() - started:.1f} s on {workers} processes")
    for told in failed[:5]:
        report_failure(told, steps)
    for line in summary(counts, seeds, steps, len(failed)):
        click.echo(line)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
