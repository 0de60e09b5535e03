"""`dargah webhook resend`, `resends` and `stop-resend`: sending again over many endpoints, for operators."""

import sys
import time
from collections.abc import Callable
from typing import Any, Final

import click

from proxy.cli.api import Api
from proxy.cli.options import given, limit_option, operator_command
from proxy.cli.output import Output, Refused
from proxy.cli.times import PAST_HELP, past

FAILED_AGAIN: Final = 3
_POLL_SECONDS: Final = 1.0
_COUNT_SECONDS: Final = 120.0
_COLUMNS: Final = (
    *("id", "state", "created_at", "created_by", "endpoint_count", "wanted", "requeued", "delivered", "failed_again"),
)
_COUNTED: Final = ("endpoint_id", "mode", "url", "state", "wanted")


@click.command()
@click.option("--since", required=True, metavar="TIME", type=past, help=f"Events from then on: {PAST_HELP}")
@click.option("--until", metavar="TIME", type=past, help="Events before then.  [default: now]")
@click.option("--merchant", "merchants", multiple=True, metavar="ID", help="Only this merchant's; repeatable.")
@click.option("--endpoint", "endpoints", multiple=True, metavar="ID", help="Only to this endpoint; repeatable.")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only this event type; repeatable.")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(["failed", "pending", "dropped", "delivered"]),
    help="Only deliveries in this status; repeatable.  [default: all that did not arrive]",
)
@click.option("--mode", type=click.Choice(["live", "test"]), help="Only live or test ones.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("--yes", is_flag=True, help="Do not ask; needed where there is no terminal.")
@click.option("--no-wait", is_flag=True, help="Do not wait for the answers.")
@operator_command
def resend(*, api: Api, out: Output, dry_run: bool, yes: bool, no_wait: bool, **filters: Any) -> None:
    """Send again what did not arrive, at many endpoints. With an operator's token (DARGAH_ADMIN_TOKEN).

    Counts first, and asks. It goes on in the server when this command ends. Exit code 0: all of it arrived, or there
    was nothing. 3: some failed again, and is tried by its schedule, or the resend was stopped. 1: the server failed.
    """
    names = {"merchants": "merchant_ids", "endpoints": "endpoint_ids"}
    body = {names.get(name, name): value for name, value in given(**filters).items()}
    counted = api.post("/resends", body | {"dry_run": True}, timeout_seconds=_COUNT_SECONDS)
    if dry_run or not counted["wanted"]:
        _show_count(out, counted)
        return
    _ask(out, counted, yes=yes)
    begun = api.post("/resends", body, timeout_seconds=_COUNT_SECONDS)
    if no_wait:
        out.record(begun)
        return
    ended = wait_for(api, out, begun, time.sleep)
    out.record({name: ended[name] for name in _COLUMNS} if not out.as_json else ended)
    if ended["failed_again"] or ended["state"] != "done":
        raise SystemExit(FAILED_AGAIN)


@click.command()
@limit_option
@operator_command
def resends(*, api: Api, out: Output, limit: int) -> None:
    """List the last resends, newest first. With an operator's token."""
    out.table(api.rows("/resends", limit), _COLUMNS)


@click.command("stop-resend")
@click.argument("resend_id")
@operator_command
def stop_resend(*, api: Api, out: Output, resend_id: str) -> None:
    """Stop a resend: what is due already still goes out. With an operator's token."""
    out.record(api.post(f"{_path(resend_id)}/stop"))


def wait_for(api: Api, out: Output, begun: dict[str, Any], sleep: Callable[[float], None]) -> dict[str, Any]:
    """The resend when it has ended; progress goes to standard error. Ctrl-C leaves it running."""
    shown: dict[str, Any] = begun
    told = ""
    try:
        while shown["ended_at"] is None:
            if (progress := _progress(shown)) != told:
                out.note(told := progress)
            sleep(_POLL_SECONDS)
            shown = api.get(_path(begun["id"]))
    except KeyboardInterrupt:
        out.note(f"{begun['id']} goes on in the server; `dargah webhook stop-resend {begun['id']}` stops it")
        raise
    return shown


def _progress(shown: dict[str, Any]) -> str:
    return (
        f"{shown['requeued']} of {shown['wanted']} queued: {shown['delivered']} delivered, "
        f"{shown['failed_again']} failed again"
    )


def _ask(out: Output, counted: dict[str, Any], *, yes: bool) -> None:
    count = f"{counted['wanted']} webhooks to {len(counted['endpoints'])} endpoints"
    if counted["held"]:
        out.note(f"{len(counted['held'])} endpoints are paused or disabled, and get nothing")
    if yes:
        out.note(count)
        return
    if not sys.stdin.isatty():
        raise Refused(f"{count} would be sent, and there is no terminal to ask on: add --yes")
    click.confirm(f"Send {count} again?", abort=True, err=True)


def _show_count(out: Output, counted: dict[str, Any]) -> None:
    if out.as_json:
        out.record(counted)
        return
    rows = [*counted["endpoints"], *counted["held"]]
    if rows:
        out.table(rows, _COUNTED)
    more = "" if counted["complete"] else "; there are more endpoints than one resend looks at: choose merchants"
    click.echo(f"{counted['wanted']} webhooks to {len(counted['endpoints'])} endpoints{more}")


def _path(resend_id: str) -> str:
    if not resend_id.startswith("rsd_") or not resend_id.isascii() or not resend_id[4:].isalnum():
        raise Refused(f"{resend_id!r} is not the id of a resend; those look like rsd_…")
    return f"/resends/{resend_id}"
