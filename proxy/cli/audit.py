"""`dargah audit`."""

import click

from proxy.cli.api import Api
from proxy.cli.options import limit_option, operator_command
from proxy.cli.output import Output


@click.group()
def audit() -> None:
    """Who set up what, and when. The log only grows."""


@audit.command("list")
@click.option("--merchant", metavar="ID", help="Only this merchant's.")
@limit_option
@operator_command
def list_(*, api: Api, out: Output, merchant: str | None, limit: int) -> None:
    """List what was done, newest first."""
    out.table(api.rows("/audit", limit, merchant_id=merchant), ("at", "actor", "action", "target", "data"))
