"""`dargah operator`."""

import click

from proxy.cli.api import Api, ApiError
from proxy.cli.options import given, operator_command
from proxy.cli.output import Output

_COLUMNS = ("id", "name", "role", "prefix", "created_at", "expires_at", "revoked_at", "last_used_at")


@click.group()
def operator() -> None:
    """The operators: named people with a role each. Those of DARGAH_ADMIN_TOKEN are owners, and are not listed."""


@operator.command()
@click.option("--name", required=True, help="As it will stand in the audit log.")
@click.option(
    "--role",
    type=click.Choice(["read", "operate", "owner"]),
    required=True,
    help="read looks; operate recovers, resolves, revokes tokens; owner sets up merchants, keys and operators.",
)
@click.option("--expires-at", metavar="TIME", help="When the token ends, such as 2027-01-01T00:00:00Z.")
@operator_command
def add(*, api: Api, out: Output, name: str, role: str, expires_at: str | None) -> None:
    """Add an operator, and show the token once."""
    out.record(api.post("/operators", given(name=name, role=role, expires_at=expires_at)), shown_once="token")


@operator.command("list")
@operator_command
def list_(*, api: Api, out: Output) -> None:
    """List the operators."""
    out.table(api.get("/operators")["data"], _COLUMNS)


@operator.command()
@operator_command
def whoami(*, api: Api, out: Output) -> None:
    """Show the operator of this token."""
    out.record(api.get("/me"))


@operator.command()
@click.argument("operator_id")
@click.option("--overlap-seconds", type=click.IntRange(0, 604_800), help="How long the old token lives on.  [a day]")
@operator_command
def rotate(*, api: Api, out: Output, operator_id: str, overlap_seconds: int | None) -> None:
    """Give an operator a new token, and show it once; the old one ends after the overlap."""
    body = given(overlap_seconds=overlap_seconds)
    out.record(api.post(f"{_path_of(operator_id)}/rotate", body), shown_once="token")


@operator.command()
@click.argument("operator_id")
@click.option("--after-seconds", type=click.IntRange(0, 604_800), help="Let the token live on for so long.")
@operator_command
def revoke(*, api: Api, out: Output, operator_id: str, after_seconds: int | None) -> None:
    """Revoke an operator's token, at once or after a while."""
    revoked = api.delete(_path_of(operator_id), after_seconds=after_seconds)
    out.done(f"{operator_id} ends at {revoked['revoked_at']}", revoked)


def _path_of(operator_id: str) -> str:
    if not operator_id.startswith("opr_") or not operator_id.isascii() or not operator_id[4:].isalnum():
        raise ApiError(f"{operator_id!r} is not the id of an operator; those look like opr_…")
    return f"/operators/{operator_id}"
