"""`dargah backup` and `dargah restore`."""

import asyncio
import hashlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, BinaryIO, Final

import click

from proxy.cli.api import Api, ApiError, admin_token, admin_url
from proxy.cli.output import Output, Refused
from proxy.cli.refusals import refusal_of
from proxy.cli.times import PAST_HELP, past
from proxy.config.settings import Settings, load
from proxy.database.sqlite.backups import BadBackup, bring, check, copy_stopped, exchange, own_like, sync_folder
from proxy.database.sqlite.files import FileLock, FileUse, StoreLocked, explained, unusable, unused
from proxy.kernel.clock import parse_rfc3339, rfc3339, system_now
from proxy.kernel.errors import StartRefused, StoreRefused
from proxy.stores.storage import open_storage

# The server tells every half second how far it is; a disk that hangs for longer is worth a message.
SILENCE_SECONDS: Final = 120.0
PIECE_BYTES: Final = 1024 * 1024
MAX_LINE_BYTES: Final = 1000
COPY: Final = FileUse("the backup", "FILE")

Fill = Callable[[BinaryIO, Path], dict[str, Any]]


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.option("--admin-url", "url", default=None, metavar="URL", help="The operator's API. [env: DARGAH_ADMIN_URL]")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file with an owner's token, instead of DARGAH_ADMIN_TOKEN.",
)
def backup(*, file: Path, as_json: bool, url: str | None, token_file: Path | None) -> None:
    """Copy the SQLite database to FILE, which must not exist yet: of one moment, looked through, for its owner only.

    A running Dargah copies it itself and hands it over, while payments go on; one that is stopped is copied from
    DARGAH_DATABASE. The keys (DARGAH_KEYS) are not in it: keep them apart.
    """
    out = Output(as_json=as_json)
    if file.exists():
        raise Refused(f"{file} exists; a backup overwrites nothing: name another file")
    stopped = None if url else _stopped_database()
    done = None if stopped is None else _make_file(file, lambda copy, part: _of_stopped(stopped, copy, part, out))
    if done is None:
        api = Api(url or admin_url(), admin_token(token_file))
        done = _make_file(file, lambda copy, _part: _of_running(api, copy, out))
    out.done(f"{done['bytes']} bytes in {file}, sha256 {done['sha256']}", {"file": str(file), **done})


def _stopped_database() -> Path | None:
    """The file of DARGAH_DATABASE, where there is one here that no process has open."""
    database = load().database
    if not isinstance(database, Path):
        raise Refused(f"DARGAH_DATABASE is {database}: back it up with pg_dump or pg_basebackup (docs/operations.md)")
    if not database.exists():
        return None
    with explained(database):
        try:
            FileLock(database).release()
        except StoreLocked:
            return None
    return database


def _make_file(file: Path, fill: Fill) -> dict[str, Any]:
    """Makes the file by `fill`, whole and looked through before it has its name."""
    with explained(file, COPY):
        descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "r+b") as copy:
            done = fill(copy, part)
            copy.flush()
            os.fsync(copy.fileno())
        check(part)
        os.link(part, file)  # fails where the name is taken by now
        sync_folder(file.parent)
    except BadBackup as error:
        raise click.ClickException(f"no backup was made: {error}") from None
    finally:
        part.unlink()
    return done


def _of_running(api: Api, copy: BinaryIO, out: Output) -> dict[str, Any]:
    with api.reading("/backup", SILENCE_SECONDS) as answer:
        while "bytes" not in (line := _line(answer)):
            out.note(f"{line['pages']} of {line['total']} pages copied")
        digest, left = hashlib.sha256(), line["bytes"]
        while left:
            piece = answer.read(min(left, PIECE_BYTES))
            if not piece:
                raise ApiError("no backup was made: the server ended in the midst of it")
            digest.update(piece)
            copy.write(piece)
            left -= len(piece)
        if _line(answer).get("sha256") != digest.hexdigest():
            raise ApiError("no backup was made: what came is not what was sent")
    return {**line, "sha256": digest.hexdigest()}


def _line(answer: HTTPResponse) -> dict[str, Any]:
    try:
        line: dict[str, Any] = json.loads(answer.readline(MAX_LINE_BYTES))
    except ValueError:
        raise ApiError("no backup was made: the server ended in the midst of it; its log says why") from None
    if "error" in line:
        raise ApiError(f"no backup was made: {line['error']}")
    return line


def _of_stopped(database: Path, copy: BinaryIO, part: Path, out: Output) -> dict[str, Any]:
    try:
        copy_stopped(database, part, lambda done, total: out.note(f"{done} of {total} pages copied"))
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise unusable(part, error, COPY) from None
        raise unusable(database, error) from None
    copy.seek(0)
    digest = hashlib.file_digest(copy, "sha256")  # type: ignore[arg-type]  # typeshed asks for more than it uses
    return {"bytes": os.fstat(copy.fileno()).st_size, "longest_pause_ms": None, "sha256": digest.hexdigest()}


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--in-place",
    is_flag=True,
    help="The database is restored already, by pg_restore, point-in-time recovery or a snapshot: only note it.",
)
@click.option("--moment", metavar="TIME", type=past, help=f"What it went back to, if it cannot tell: {PAST_HELP}")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def restore(*, file: Path | None, in_place: bool, moment: str | None, as_json: bool) -> None:
    """Put the backup FILE in the place of the SQLite database of DARGAH_DATABASE, which must be stopped.

    The backup is verified first; the old file is kept beside it. When Dargah starts it asks the gateways about every
    payment that may have been paid since the backup. PostgreSQL: restore it, then `dargah restore --in-place`.
    """
    if (file is None) is not in_place:
        raise click.UsageError("name a backup FILE, or say --in-place")
    at = None if moment is None else parse_rfc3339(moment)
    settings = load()
    with _nothing_changed():
        done = asyncio.run(_note(settings, at)) if file is None else _put_back(settings, file, at)
    kept = f"; what was there is kept as {done['kept']}" if done.get("kept") else ""
    Output(as_json=as_json).done(
        f"restored to {done['moment']}{kept}. When Dargah runs it asks about all that may have been paid since. "
        "Payments that were made after it are unknown: docs/operations.md says what to do for them",
        done,
    )


@contextmanager
def _nothing_changed() -> Iterator[None]:
    try:
        yield
    except (BadBackup, StartRefused, OSError) as error:
        why = refusal_of(error) or f"{error}"
        raise Refused(f"nothing was changed: {why}") from None


async def _note(settings: Settings, moment: int | None) -> dict[str, Any]:
    """Notes the restore in the database as it is; makes nothing of a file that is not there."""
    if isinstance(settings.database, Path) and not settings.database.exists():
        raise StoreRefused(f"{settings.database} is not there: set DARGAH_DATABASE to the one that was restored")
    storage = await open_storage(settings, system_now)
    try:
        noted = await storage.store.recovery.note_restore(moment, storage.now())
    finally:
        await storage.store.close()
    return {"database": str(settings.database), "moment": rfc3339(noted)}


def _put_back(settings: Settings, file: Path, moment: int | None) -> dict[str, Any]:
    database = settings.database
    if not isinstance(database, Path):
        raise StoreRefused(
            f"DARGAH_DATABASE is {database}: restore it with PostgreSQL's own tools, then say --in-place"
        )
    database = database.resolve()
    if database.exists() and file.samefile(database):
        raise StoreRefused(f"{file} is DARGAH_DATABASE itself: name a backup of it, or say --in-place")
    with unused(file):
        return _exchange(settings, database, file, moment)


def _exchange(settings: Settings, database: Path, file: Path, moment: int | None) -> dict[str, Any]:
    beside = database.with_name(f"{database.name}.restoring")
    lock_file = database.with_name(f"{database.name}.lock")
    with explained(database):
        lock = FileLock(database)
    try:
        own_like(lock_file, database if database.exists() else database.parent)
        _remove(beside)
        bring(file, beside)
        done = asyncio.run(_note(settings.model_copy(update={"database": beside}), moment))
        kept = exchange(beside, database)
    finally:
        _remove(beside)
        lock.release()
    return done | {"database": str(database), "kept": None if kept is None else str(kept)}


def _remove(path: Path) -> None:
    for side in ("", "-wal", "-shm", ".lock"):
        path.with_name(path.name + side).unlink(missing_ok=True)
