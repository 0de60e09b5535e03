"""`dargah migrate-store`."""

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from proxy.cli.output import Output

if TYPE_CHECKING:
    from proxy.adapters.moving.move import Tell

TELL_EVERY_SECONDS: Final = 2.0


@click.command("migrate-store")
@click.option("--from", "source", required=True, metavar="DATABASE", help="A SQLite file, such as sqlite:dargah.db.")
@click.option("--to", "target", required=True, metavar="DATABASE", help="postgresql://user:password@host:5432/database")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def migrate_store(*, source: str, target: str, as_json: bool) -> None:
    """Move everything from a SQLite file to an empty PostgreSQL database. Dargah must be stopped, and no key is needed.

    The file stays as it is. What was broken off goes on when it is run again. At the end every row of both sides is
    compared; then start Dargah with DARGAH_DATABASE set to the new database.
    """
    import asyncpg  # noqa: PLC0415  only here

    from proxy.adapters.moving import MoveRefused, move  # noqa: PLC0415  only here
    from proxy.adapters.postgresql.migrations import ServerTooOld  # noqa: PLC0415
    from proxy.adapters.sqlite import StoreLocked, StoreTooNew  # noqa: PLC0415
    from proxy.clock import system_now  # noqa: PLC0415

    file, url = _file(source), _url(target)
    out = Output(as_json=as_json)
    try:
        moved = asyncio.run(move(file, url, system_now(), _teller(out, "moved"), _teller(out, "compared")))
    except (MoveRefused, StoreLocked, StoreTooNew, ServerTooOld, OSError, sqlite3.Error) as error:
        raise click.ClickException(str(error)) from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise click.ClickException(f"PostgreSQL says: {error}. Run it again to go on where it ended") from None
    rows = [{"table": each.table, "rows": each.rows, "sha256": each.sha256} for each in moved]
    out.table(rows, ("table", "rows", "sha256"))
    out.note(f"all {sum(each.rows for each in moved)} rows are the same on both sides")


def _teller(out: Output, what: str) -> "Tell":
    told_at = 0.0

    def tell(table: str, done: int, total: int) -> None:
        nonlocal told_at
        if done == total or time.monotonic() - told_at >= TELL_EVERY_SECONDS:
            told_at = time.monotonic()
            out.note(f"{table}: {done} of {total} rows {what}")

    return tell


def _file(text: str) -> Path:
    from proxy.config.database import parse_database  # noqa: PLC0415  slow to import

    try:
        database = parse_database(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--from") from None
    if not isinstance(database, Path):
        raise click.BadParameter("name a SQLite file: a store is moved from SQLite to PostgreSQL", param_hint="--from")
    return database


def _url(text: str) -> str:
    from proxy.config.database import parse_database  # noqa: PLC0415  slow to import

    try:
        database = parse_database(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--to") from None
    if isinstance(database, Path):
        raise click.BadParameter("write postgresql://…: a store is moved from SQLite to PostgreSQL", param_hint="--to")
    return database.text
