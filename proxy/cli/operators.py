"""`dargah operator` and `dargah audit`: who runs Dargah, and what they did."""

import json
from pathlib import Path
from typing import Any, Final

import click

from proxy.cli.api import Api, ApiError
from proxy.cli.options import given, irreversible, limit_option, operator_command
from proxy.cli.output import Output, Refused
from proxy.cli.times import FUTURE_HELP, future

_TIMES: Final = ("created_at", "expires_at", "revoked_at", "last_used_at", "second_factor_at")
_COLUMNS: Final = ("id", "name", "role", "prefix", *_TIMES)


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
@click.option("--expires-at", metavar="TIME", type=future, help=f"When the token ends: {FUTURE_HELP}")
@operator_command
def add(*, api: Api, out: Output, name: str, role: str, expires_at: str | None) -> None:
    """Add an operator, and show the token once."""
    out.record(api.post("/operators", given(name=name, role=role, expires_at=expires_at)), shown_once="token")


@operator.command("list")
@operator_command
def list_operators(*, api: Api, out: Output) -> None:
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
@irreversible("Revoking an operator")
@operator_command
def revoke(*, api: Api, out: Output, operator_id: str, after_seconds: int | None) -> None:
    """Revoke an operator's token, at once or after a while."""
    revoked = api.delete(_path_of(operator_id), after_seconds=after_seconds)
    out.done(f"{operator_id} ends at {revoked['revoked_at']}", revoked)


@operator.command("remove-second-factor")
@click.argument("operator_id")
@irreversible("Removing a second factor")
@operator_command
def remove_second_factor(*, api: Api, out: Output, operator_id: str) -> None:
    """Remove an operator's second factor, with their sessions: their token alone then opens the console."""
    out.done(f"{operator_id} has no second factor", api.delete(f"{_path_of(operator_id)}/second-factor"))


def _path_of(operator_id: str) -> str:
    if not operator_id.startswith("opr_") or not operator_id.isascii() or not operator_id[4:].isalnum():
        raise Refused(f"{operator_id!r} is not the id of an operator; those look like opr_…")
    return f"/operators/{operator_id}"


# A chain is read from its start; a hundred thousand entries take a second or two.
TIMEOUT_SECONDS: Final = 600.0
CHAINS_AT_A_TIME: Final = 100
_VERIFY: Final = "/audit/verify"
_CHAIN: Final = ("chain", "number", "hash", "broken")


@click.group()
def audit() -> None:
    """The log of operators' acts and set-up changes. It only grows."""


@audit.command("list")
@click.option("--merchant", metavar="ID", help="Only this merchant's, or `installation`.")
@limit_option
@operator_command
def list_entries(*, api: Api, out: Output, merchant: str | None, limit: int) -> None:
    """List the entries, newest first."""
    out.table(api.rows("/audit", limit, merchant_id=merchant), ("at", "actor", "action", "target", "data"))


@audit.command()
@click.option("--merchant", metavar="ID", help="Only this merchant's chain, or `installation`.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="Write each chain's end to this file.")
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Compare with ends that were saved before, and kept where the database's writer cannot reach.",
)
@operator_command
def verify(*, api: Api, out: Output, merchant: str | None, save: Path | None, against: Path | None) -> None:
    """Verify the hash chains of the audit log; exit 1 and name the first row of each chain that is broken."""
    chains = list(_chains(api, merchant))
    problems = [_problem(each) for each in chains if each["broken"]]
    if against is not None:
        problems += _differences(api, _read_ends(against), merchant)
    if save is not None and not problems:
        ends = {each["chain"]: {"number": each["number"], "hash": each["hash"]} for each in chains}
        save.write_text(json.dumps(ends, indent=2) + "\n")
    out.table(chains, _CHAIN)
    if problems:
        raise click.ClickException("the audit log is not as it was written:\n  " + "\n  ".join(problems))


def _chains(api: Api, merchant: str | None) -> Any:
    cursor = None
    while True:
        page = api.get_slowly(_VERIFY, TIMEOUT_SECONDS, merchant_id=merchant, cursor=cursor, limit=CHAINS_AT_A_TIME)
        yield from page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def _differences(api: Api, noted: dict[str, Any], merchant: str | None) -> list[str]:
    found = []
    for chain, end in noted.items():
        if merchant not in {None, chain}:
            continue
        try:
            page = api.get_slowly(_VERIFY, TIMEOUT_SECONDS, merchant_id=chain, number=end["number"])
        except ApiError:
            found.append(f"{chain}: it is gone, and had {end['number']} entries")
            continue
        [now] = page["data"]
        if end["number"] and now["noted_hash"] != end["hash"]:
            found.append(f"{chain}: entry {end['number']} is not the one whose hash was saved")
    return found


def _read_ends(path: Path) -> dict[str, Any]:
    try:
        noted: dict[str, Any] = json.loads(path.read_text())
        return {chain: {"number": int(end["number"]), "hash": str(end["hash"])} for chain, end in noted.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise Refused(f"{path} has no ends of chains, as --save writes them") from None


def _problem(verified: dict[str, Any]) -> str:
    broken = verified["broken"]
    row = f" ({broken['entry_id']})" if broken["entry_id"] else ""
    return f"{verified['chain']}: entry {broken['number']}{row} is {broken['fault'].replace('_', ' ')}"
