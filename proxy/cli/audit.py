"""`dargah audit`."""

import json
from pathlib import Path
from typing import Any, Final

import click

from proxy.cli.api import Api, ApiError
from proxy.cli.options import limit_option, operator_command
from proxy.cli.output import Output

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
def list_(*, api: Api, out: Output, merchant: str | None, limit: int) -> None:
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
        raise ApiError(f"{path} has no ends of chains, as --save writes them") from None


def _problem(verified: dict[str, Any]) -> str:
    broken = verified["broken"]
    row = f" ({broken['entry_id']})" if broken["entry_id"] else ""
    return f"{verified['chain']}: entry {broken['number']}{row} is {broken['fault'].replace('_', ' ')}"
