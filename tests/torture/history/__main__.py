"""Judges a history: `python -m tests.torture.history FILE`. Exit code 1 when a promise was broken."""

from pathlib import Path

import click

from .judge import judge_file


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(file: Path) -> None:
    """Judge what storefronts, customers, receivers and the gateway saw."""
    verdict = judge_file(file)
    for name, count in sorted(verdict.counts.items()):
        click.echo(f"{name}: {count:,}")
    for broken in verdict.broken:
        click.echo(f"BROKEN {broken}")
    raise SystemExit(1 if verdict.broken else 0)


if __name__ == "__main__":
    main()
