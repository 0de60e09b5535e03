"""The command `python -m tests.torture.power_cut`."""

import click

from .. import seed_option
from ..sigkill.audit import run
from . import CUTS, campaign, plan_of


@click.command()
@click.option(
    "--cuts", default=CUTS, show_default=True, type=click.IntRange(1), help="Kills; four of five cut the power."
)
@seed_option
def main(cuts: int, seed: int) -> None:
    """Cut the power again and again, and look for what was acknowledged and is not there."""
    run("power cuts", seed, lambda folder: campaign(folder, plan_of(seed, cuts)))


if __name__ == "__main__":
    main()
