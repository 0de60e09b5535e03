"""The options by which commands filter payments: as the API's list does."""

from collections.abc import Callable
from typing import Any, Final

import click

from proxy.cli.times import PAST_HELP, past
from proxy.payments.payment import Status

_AMOUNT: Final = click.IntRange(min=0)
# The options, from the last one to the first: decorators add them from below.
_OPTIONS: Final = (
    click.option("--sort", type=click.Choice(["newest", "oldest"]), help="Which come first; the newest otherwise."),
    click.option("--paid-before", type=past, metavar="TIME", help="Only those known as paid before it."),
    click.option("--paid-after", type=past, metavar="TIME", help="Only those known as paid at this time or later."),
    click.option("--created-before", type=past, metavar="TIME", help="Only those created before it."),
    click.option(
        "--created-after", type=past, metavar="TIME", help=f"Only those created at this time or later: {PAST_HELP}"
    ),
    click.option("--amount-max", type=_AMOUNT, metavar="NUMBER", help="Only those of at most so much."),
    click.option("--amount-min", type=_AMOUNT, metavar="NUMBER", help="Only those of at least so much."),
    click.option("--amount", type=_AMOUNT, metavar="NUMBER", help="Only those of exactly so much."),
    click.option("--currency", type=click.Choice(["IRR", "IRT"]), help="What the amounts are in: rial or toman."),
    click.option("--bank-code", help="Only those with this number of the bank's."),
    click.option("--gateway", metavar="FAMILY", help="Only those of this family of gateways."),
    click.option("--terminal", "terminal_id", metavar="ID", help="Only those of this terminal (trm_…)."),
    click.option("--mode", type=click.Choice(["live", "test"]), help="Only live ones, or only tests."),
    click.option("--storefront", help="Only those of this shop."),
    click.option("--order-id", help="Only those of this order."),
    click.option(
        "--status",
        "statuses",
        multiple=True,
        type=click.Choice([status.value for status in Status]),
        help="Only those in this status.",
    ),
    click.option("--merchant", "merchant_id", metavar="ID", help="Only this merchant's (mer_…), and not all."),
)


def payment_filters(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options; `query_of` makes the API's parameters of them."""
    for option in _OPTIONS:
        command = option(command)
    return command


def query_of(*, statuses: tuple[str, ...] = (), **wanted: Any) -> dict[str, Any]:
    """The API's parameters of the options that were given."""
    given = {name: value for name, value in wanted.items() if value is not None}
    return given | ({"status": ",".join(statuses)} if statuses else {})
