"""`dargah restore`."""

import asyncio
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proxy.cli.output import Output
from proxy.clock import parse_rfc3339, rfc3339, system_now

if TYPE_CHECKING:
    from proxy.config.settings import Settings


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--in-place",
    is_flag=True,
    help="The database is restored already, by pg_restore, point-in-time recovery or a snapshot: only note it.",
)
@click.option("--moment", metavar="TIME", help="What it went back to, such as 2026-11-20T10:00:00Z, if it cannot tell.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def restore(*, file: Path | None, in_place: bool, moment: str | None, as_json: bool) -> None:
    """Put the backup FILE in the place of the SQLite database of DARGAH_DATABASE, which must be stopped.

    The backup is looked through first; what was there is kept beside it. When Dargah starts it asks the gateways about
    every payment that may have been paid since the backup. PostgreSQL: restore it, then `dargah restore --in-place`.
    """
    from proxy.config.settings import SettingsError, load  # noqa: PLC0415  slow to import

    if (file is None) is not in_place:
        raise click.UsageError("name a backup FILE, or say --in-place")
    at = None if moment is None else _time(moment)
    try:
        settings = load()
        done = asyncio.run(_note(settings, at)) if file is None else _put_back(settings, file, at)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    kept = f"; what was there is kept as {done['kept']}" if done.get("kept") else ""
    Output(as_json=as_json).done(
        f"restored to {done['moment']}{kept}. When Dargah runs it asks about all that may have been paid since. "
        "Payments that were made after it are unknown: docs/operations.md says what to do for them",
        done,
    )


async def _note(settings: "Settings", moment: int | None) -> dict[str, Any]:
    """Notes the restore in the database as it is; makes nothing of a file that is not there."""
    from proxy.adapters.sqlite import StoreLocked, StoreTooNew  # noqa: PLC0415  only here
    from proxy.config.settings import SettingsError  # noqa: PLC0415
    from proxy.storage import open_storage  # noqa: PLC0415

    if isinstance(settings.database, Path) and not settings.database.exists():
        raise click.ClickException(f"{settings.database} is not there")
    try:
        storage = await open_storage(settings, system_now)
    except (StoreLocked, StoreTooNew, SettingsError, OSError, sqlite3.Error) as error:
        raise click.ClickException(f"nothing was changed: {error}") from None
    try:
        noted = await storage.store.note_restore(moment, storage.now())
    finally:
        await storage.store.close()
    return {"database": str(settings.database), "moment": rfc3339(noted)}


def _put_back(settings: "Settings", file: Path, moment: int | None) -> dict[str, Any]:
    from proxy.adapters.sqlite.backup_files import BadBackup, bring, exchange, own_like  # noqa: PLC0415  only here
    from proxy.adapters.sqlite.lock import FileLock, StoreLocked  # noqa: PLC0415  only here

    database = settings.database
    if not isinstance(database, Path):
        raise click.ClickException(
            f"DARGAH_DATABASE is {database}: restore it with PostgreSQL's own tools, then say --in-place"
        )
    beside = database.with_name(f"{database.name}.restoring")
    lock_file = database.with_name(f"{database.name}.lock")
    try:
        lock = FileLock(database)
    except (StoreLocked, OSError) as error:
        raise click.ClickException(f"nothing was changed: {error}") from None
    try:
        own_like(lock_file, database if database.exists() else database.parent)
        _remove(beside)
        bring(file, beside)
        done = asyncio.run(_note(settings.model_copy(update={"database": beside}), moment))
        kept = exchange(beside, database)
    except (BadBackup, OSError) as error:
        raise click.ClickException(f"nothing was changed: {error}") from None
    finally:
        _remove(beside)
        lock.release()
    return done | {"database": str(database), "kept": None if kept is None else str(kept)}


def _remove(path: Path) -> None:
    for side in ("", "-wal", "-shm", ".lock"):
        path.with_name(path.name + side).unlink(missing_ok=True)


def _time(text: str) -> int:
    with suppress(ValueError, OverflowError, OSError):
        return parse_rfc3339(text)
    raise click.BadParameter(
        f"{text!r} is not a time with its offset, such as 2026-11-20T10:00:00Z", param_hint="--moment"
    )
