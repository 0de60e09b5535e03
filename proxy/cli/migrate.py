"""`dargah migrate` and `dargah migrate-store`."""

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Final, TextIO

import click

from proxy.cli.options import without_password
from proxy.cli.output import Output, Refused
from proxy.config.database import PostgresqlUrl, parse_database
from proxy.config.settings import load
from proxy.database.postgresql.primary import CALL_ERRORS
from proxy.database.postgresql.schema import ServerRefused
from proxy.database.postgresql.store import UpkeepResult, keep_up
from proxy.database.sqlite.files import FileLock, unusable
from proxy.database.sqlite.store import migrate as migrate_file
from proxy.database.transfer import SOURCE, OnProgress, move
from proxy.kernel.clock import system_now
from proxy.stores.storage import opening


@click.command()
@click.option(
    "--grant", "role", metavar="ROLE", help="Let this role of PostgreSQL run Dargah, with the least that it needs."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def migrate(*, role: str | None, as_json: bool) -> None:
    """Bring the database's schema to this version and make the next partitions, as `dargah serve` does at its start.

    For a `dargah serve` with a database role that may not change the schema. DARGAH_MIGRATION_DATABASE, or a file of
    that name in DARGAH_SECRETS_DIR, has the owner's URL; without it DARGAH_DATABASE is used. No key is needed.
    """
    settings = load()
    database = settings.migration_database or settings.database
    with opening(database, "DARGAH_MIGRATION_DATABASE" if settings.migration_database else "DARGAH_DATABASE"):
        done = _of_file(database, role) if isinstance(database, Path) else _of_server(database.text, role)
    out = Output(as_json=as_json)
    granted = f", and {role} may run Dargah on it" if role is not None else ""
    out.done(f"the schema of {database} is at version {done['version']} (before: {done['before']}){granted}", done)


def _of_server(url: str, role: str | None) -> dict[str, object]:

    kept: UpkeepResult = asyncio.run(keep_up(url, system_now(), role))
    return {"version": kept.version, "before": kept.before, "grants": list(kept.grants)}


def _of_file(path: Path, role: str | None) -> dict[str, object]:

    if role is not None:
        raise click.UsageError("--grant is for a role of PostgreSQL, and the database is a SQLite file")
    if not path.exists():
        raise Refused(f"{path} is not there: `dargah serve` makes it")
    lock = FileLock(path)
    try:
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            before = _version_of_file(connection)
            migrate_file(connection, system_now())
            return {"version": _version_of_file(connection), "before": before, "grants": []}
        finally:
            connection.close()
    finally:
        lock.release()


def _version_of_file(connection: sqlite3.Connection) -> int:
    there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_versions'").fetchone()
    return 0 if there is None else int(connection.execute("SELECT max(version) FROM schema_versions").fetchone()[0])


REPORT_EVERY_SECONDS: Final = 2.0
MAX_URL_CHARS: Final = 10_000


@click.command("migrate-store")
@click.option("--from", "source", required=True, metavar="DATABASE", help="A SQLite file, such as sqlite:dargah.db.")
@click.option(
    "--to",
    "target",
    metavar="DATABASE",
    callback=lambda _ctx, _param, value: without_password(value, "--to", "give the URL by --to-file"),
    help="postgresql://user@host:5432/database; its password in PGPASSWORD or PGPASSFILE.",
)
@click.option(
    "--to-file", type=click.File(), metavar="FILE", help="A file with the whole URL instead, or - for standard input."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def migrate_store(*, source: str, target: str | None, to_file: TextIO | None, as_json: bool) -> None:
    """Move everything from a SQLite file to an empty PostgreSQL database. Dargah must be stopped, and no key is needed.

    The file stays as it is. An interrupted move continues when it is run again. At the end every row of both sides is
    compared; then start Dargah with DARGAH_DATABASE set to the new database.
    """
    if (target is None) is (to_file is None):
        raise click.UsageError("name the database by --to or --to-file")
    file, url = _file(source), _url(to_file.read(MAX_URL_CHARS).strip() if to_file is not None else target or "")
    out = Output(as_json=as_json)
    try:
        moved = asyncio.run(
            move(file, url.text, system_now(), _progress_printer(out, "moved"), _progress_printer(out, "compared"))
        )
    except ServerRefused as error:
        raise Refused(f"--to ({url}): {error}") from None
    except sqlite3.Error as error:
        raise unusable(file, error, SOURCE) from None
    except CALL_ERRORS as error:
        raise click.ClickException(f"PostgreSQL says: {error}. Run it again to go on where it ended") from None
    rows = [{"table": each.table, "rows": each.rows, "sha256": each.sha256} for each in moved]
    out.table(rows, ("table", "rows", "sha256"))
    out.note(f"all {sum(each.rows for each in moved)} rows are the same on both sides")


def _progress_printer(out: Output, what: str) -> OnProgress:
    reported_at = 0.0

    def report(table: str, done: int, total: int) -> None:
        nonlocal reported_at
        if done == total or time.monotonic() - reported_at >= REPORT_EVERY_SECONDS:
            reported_at = time.monotonic()
            out.note(f"{table}: {done} of {total} rows {what}")

    return report


def _file(text: str) -> Path:

    try:
        database = parse_database(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--from") from None
    if not isinstance(database, Path):
        raise click.BadParameter("name a SQLite file: a store is moved from SQLite to PostgreSQL", param_hint="--from")
    return database


def _url(text: str) -> PostgresqlUrl:

    try:
        database = parse_database(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--to") from None
    if isinstance(database, Path):
        raise click.BadParameter("write postgresql://…: a store is moved from SQLite to PostgreSQL", param_hint="--to")
    return database
