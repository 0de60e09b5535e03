"""`dargah backup`."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, BinaryIO, Final

import click

from proxy.cli.api import Api, ApiError, admin_token, admin_url
from proxy.cli.output import Output

# The server tells every half second how far it is; a disk that hangs for longer is worth a message.
SILENCE_SECONDS: Final = 120.0
PIECE_BYTES: Final = 1024 * 1024
MAX_LINE_BYTES: Final = 1000

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
        raise click.ClickException(f"{file} exists; a backup overwrites nothing")
    stopped = None if url else _stopped_database()
    done = None if stopped is None else _made(file, lambda copy, part: _of_stopped(stopped, copy, part, out))
    if done is None:
        api = Api(url or admin_url(), admin_token(token_file))
        done = _made(file, lambda copy, _part: _of_running(api, copy, out))
    out.done(f"{done['bytes']} bytes in {file}, sha256 {done['sha256']}", {"file": str(file), **done})


def _stopped_database() -> Path | None:
    """The file of DARGAH_DATABASE, where there is one here that no process has open."""
    from proxy.adapters.sqlite.lock import FileLock, StoreLocked  # noqa: PLC0415  only here
    from proxy.config.settings import SettingsError, load  # noqa: PLC0415  slow to import

    try:
        database = load().database
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    if not isinstance(database, Path):
        raise click.ClickException(
            f"DARGAH_DATABASE is {database}: back it up with pg_dump or pg_basebackup (docs/operations.md)"
        )
    if not database.exists():
        return None
    try:
        FileLock(database).release()
    except StoreLocked:
        return None
    return database


def _made(file: Path, fill: Fill) -> dict[str, Any]:
    """Makes the file by `fill`, whole and looked through before it has its name."""
    from proxy.adapters.sqlite.backup_files import BadBackup, check, sync_folder  # noqa: PLC0415  only here

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
    except (BadBackup, OSError) as error:
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
    import sqlite3  # noqa: PLC0415  only here

    from proxy.adapters.sqlite.backup_files import copy_stopped  # noqa: PLC0415  only here
    from proxy.adapters.sqlite.lock import StoreLocked  # noqa: PLC0415  only here

    try:
        copy_stopped(database, part, lambda done, total: out.note(f"{done} of {total} pages copied"))
    except (sqlite3.Error, StoreLocked) as error:
        raise click.ClickException(f"no backup was made: {error}") from None
    copy.seek(0)
    digest = hashlib.file_digest(copy, "sha256")  # type: ignore[arg-type]  # typeshed asks for more than it uses
    return {"bytes": os.fstat(copy.fileno()).st_size, "longest_pause_ms": None, "sha256": digest.hexdigest()}
