"""The command `python -m tests.torture.replicas`."""

import click

from .. import seed_option
from ..sigkill.audit import run
from . import PAYMENTS, RATE, Plan, campaign


@click.command()
@click.option("--payments", default=PAYMENTS, show_default=True, type=click.IntRange(1))
@seed_option
@click.option("--rate", default=RATE, show_default=True, help="Payments a second that are begun.")
@click.option("--short-leases", is_flag=True, help="Leases, and pauses past them, a third as long.")
def main(payments: int, seed: int, rate: float, short_leases: bool) -> None:
    """Break replicas and their database again and again, and look for money that went missing."""
    run("replicas", seed, lambda folder: campaign(folder, Plan(seed, payments, rate, short_leases)))


if __name__ == "__main__":
    main()
