"""`dargah token`."""

import sys
from typing import Any, Final

import click

from proxy.cli.api import Api
from proxy.cli.options import given, irreversible, merchant_option, merchant_path, operator_command, path_of
from proxy.cli.output import Output
from proxy.cli.times import FUTURE_HELP, future
from proxy.kernel.ids import TOKEN_PATTERN, token_kind

MAX_TEXT_CHARS: Final = 1000
FACADE: Final = "facade"
_COLUMNS = (
    "id",
    "prefix",
    "storefront",
    "mode",
    "scopes",
    "amount_unit",
    "return_method",
    "any_https_return",
    "protocol",
    "terminal_id",
    "expires_at",
    "revoked_at",
    "last_used_at",
)


@click.group()
def token() -> None:
    """API tokens. Each belongs to one storefront of a merchant."""


@token.command()
@merchant_option
@click.option("--storefront", help="The shop that uses it.  [default: main]")
@click.option("--mode", type=click.Choice(["live", "test"]), default="live", show_default=True)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="SCOPE",
    help="payments:write, payments:read, webhooks, facade, or terminal:ID; repeatable.  "
    "[default: all but facade; for one terminal without webhooks]",
)
@click.option("--terminal", "terminal_id", metavar="ID", help="Bind it to one terminal.")
@click.option("--expires-at", metavar="TIME", type=future, help=f"When the token ends: {FUTURE_HELP}")
@click.option(
    "--drop-in",
    "protocol",
    metavar="PROTOCOL",
    help="For a shop that speaks a gateway's protocol: invoice_script, zarinpal or zibal; with the scope facade alone.",
)
@click.option(
    "--amount-unit", type=click.Choice(["rial", "toman"]), help="What a drop-in shop's amounts are in.  [default: rial]"
)
@click.option(
    "--return-method",
    type=click.Choice(["get", "post", "both"]),
    help="How a drop-in shop's customers go back to it; both is a POST whose URL has the parameters too.  "
    "[default: get]",
)
@click.option(
    "--any-https-return",
    is_flag=True,
    default=None,
    help="Let a drop-in shop's customers go back to any https origin, registered or not.",
)
@operator_command
def create(*, api: Api, out: Output, merchant: str, **fields: Any) -> None:
    """Issue a token, and show it once."""
    if fields["protocol"] is not None and not fields["scopes"]:
        fields["scopes"] = (FACADE,)
    out.record(api.post(f"{merchant_path(merchant)}/tokens", given(**fields)), shown_once="token")


@token.command("list")
@merchant_option
@operator_command
def list_(*, api: Api, out: Output, merchant: str) -> None:
    """List a merchant's tokens, by the part that may be shown."""
    out.table(api.get(f"{merchant_path(merchant)}/tokens")["data"], _COLUMNS)


@token.command()
@click.argument("token_id")
@operator_command
def show(*, api: Api, out: Output, token_id: str) -> None:
    """Show a token's row."""
    out.record(api.get(path_of("token", token_id)))


@token.command()
@click.argument("token_id")
@click.option("--overlap-seconds", type=click.IntRange(0, 604_800), help="How long the old one lives on.  [a day]")
@operator_command
def rotate(*, api: Api, out: Output, token_id: str, overlap_seconds: int | None) -> None:
    """Issue a token that may do the same, and show it once; the old one ends after the overlap."""
    body = given(overlap_seconds=overlap_seconds)
    out.record(api.post(f"{path_of('token', token_id)}/rotate", body), shown_once="token")


@token.command()
@click.argument("text", default="-")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def check(*, text: str, as_json: bool) -> None:
    """Say whether TEXT (or standard input) is a well-formed token, by its form and checksum alone; exit 1 if not.

    No server is asked: the command is for scanners of leaked secrets. It does not print the token.
    """
    given_text = (sys.stdin.read(MAX_TEXT_CHARS) if text == "-" else text).strip()
    kind = token_kind(given_text)
    choices = {"live": "a live merchant's token", "test": "a test merchant's token", "op": "an operator's token"}
    words = f"well formed: {choices[kind]}" if kind else f"not a token of Dargah's; those match {TOKEN_PATTERN}"
    Output(as_json=as_json).done(words, {"well_formed": kind is not None, "kind": kind})
    if kind is None:
        raise click.exceptions.Exit(1)


@token.command()
@click.argument("token_id")
@click.option("--after-seconds", type=click.IntRange(0, 604_800), help="Let it live on for so long, for a changeover.")
@irreversible("Revoking a token")
@operator_command
def revoke(*, api: Api, out: Output, token_id: str, after_seconds: int | None) -> None:
    """Revoke a token, at once or after a while."""
    revoked = api.delete(path_of("token", token_id), after_seconds=after_seconds)
    out.done(f"{token_id} ends at {revoked['revoked_at']}", revoked)
