"""The command `python -m tests.torture.planted`."""

import os
import time

import click

from .judge import JUDGED, PLANTED, judge_all, line


@click.command()
@click.argument("names", nargs=-1)
@click.option("--workers", default=os.cpu_count() or 1, help="Stages at once.")
@click.option(
    "--by", default="", help="The stage that is to notice them, in the place of their own; history: all that it must."
)
def main(names: tuple[str, ...], workers: int, by: str) -> None:
    """Plants each bug, and sees whether its stage notices; exit code 1 when one does not."""
    known = JUDGED if by == "history" and not names else PLANTED
    chosen = [planted for planted in known if not names or planted.name in names]
    began, wrong, caught = time.monotonic(), 0, 0
    for verdict in judge_all(chosen, workers, by):
        click.echo(line(verdict))
        wrong += not verdict.right
        caught += bool(verdict.noticed and verdict.right)
    click.echo(f"planted bugs {len(chosen)}, caught {caught}, wrong {wrong}, {time.monotonic() - began:.0f} s")
    raise SystemExit(1 if wrong or not chosen else 0)


if __name__ == "__main__":
    main()
