"""The command `python -m tests.torture.crash_points`."""

import time

import click

from . import Enumerated, enumerate_all


@click.command()
def main() -> None:
    """Runs every crash point; exit code 1 when a promise was broken."""
    started, points, runs, failed = time.monotonic(), 0, 0, 0
    for done in enumerate_all():
        if isinstance(done, Enumerated):
            count = f"{done.commits} around commits, {done.calls} around calls"
            points += done.commits + done.calls
        else:
            count = f"{done.statements} statements"
            points += done.statements
        runs += done.runs
        failed += len(done.failures)
        click.echo(f"{done.name}: {count}, {done.runs} runs, {len(done.failures)} failed")
        for failure in done.failures[:5]:
            click.echo(f"  {failure}")
    click.echo(f"crash points {points}, runs {runs}, failed {failed}, {time.monotonic() - started:.1f} s")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
