"""The first settings of a Dargah, as a file: what was asked for, what the environment says already, and new secrets.

Whatever the settings would refuse at the start is refused here, in their own words, before the file is written.
"""

import errno
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from proxy.config import env_file
from proxy.config.database import PostgresqlUrl, parse_database
from proxy.config.settings import PREFIX, SECRETS_DIR, Settings, SettingsError, load, setting_names
from proxy.database.sqlite.files import FileLock, unusable
from proxy.kernel.errors import StartRefused, VaultError
from proxy.merchants.vault import KeyRing, generate_line

DATABASE_NAME: Final = "dargah.db"
_KEYS: Final = f"{PREFIX}KEYS"
_KEYS_FILE: Final = f"{PREFIX}KEYS_FILE"
_ADMIN_TOKEN: Final = f"{PREFIX}ADMIN_TOKEN"
_DATABASE: Final = f"{PREFIX}DATABASE"
_MANY_LINES: Final = frozenset({_KEYS, _ADMIN_TOKEN})
_KEK_IDS: Final = "SELECT DISTINCT kek_id FROM secrets"
_HEAD: Final = (
    "# The settings of this Dargah, as `dargah init` made them. docs/operations.md has all that may stand here.",
    "# Keep it private, and a copy of it apart from the database's backups: DARGAH_KEYS opens their secrets.",
)


class InitRefused(StartRefused):
    """The settings would not do; the message says why."""


async def write(path: Path, wanted: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> Settings:
    """Makes the file at `path` from the settings `wanted`, by their variables, and those of the environment, with a key
    ring and an operator's token where neither has them. Gives the settings that it stands for.

    Raises StartRefused, and writes nothing then; a file that is there stays as it is.
    """
    refuse_existing(path)
    values = _collected(path, wanted, environ)
    given = _loaded(values)
    if given.public_url is None and not given.development:
        raise InitRefused(
            "say how customers reach Dargah, --public-url https://pay.example.ir, or --development to try it on this "
            "machine"
        )
    if given.keys is None and given.keys_file is None:
        values[_KEYS] = generate_line(f"{datetime.now(UTC):k%Y%m%d}")
    if given.admin_token is None:
        values[_ADMIN_TOKEN] = secrets.token_hex(32)
    settings = _loaded(values)
    settings.check_serving()
    await _check_database(settings, made_now=_KEYS not in environ and _KEYS in values)
    env_file.make(path, (*_HEAD, *(env_file.line_of(name, value) for name, value in values.items())))
    return settings


def refuse_existing(path: Path) -> None:
    """Raises InitRefused for a file that is there: it has the keys of a database."""
    if os.path.lexists(path):
        raise InitRefused(env_file.exists_already(path))


def _collected(path: Path, wanted: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that the file is to have, in the order of the settings. Raises InitRefused."""
    said = {name: environ[name] for name in (*setting_names(), SECRETS_DIR) if environ.get(name)}
    for name, value in wanted.items():
        if said.get(name, value) != value:
            raise InitRefused(f"{name} is set otherwise in the environment, which goes before the file: unset it")
    values = {_DATABASE: str(path.absolute().with_name(DATABASE_NAME)), **said, **wanted}
    for name in _MANY_LINES & values.keys():
        values[name] = ",".join(_entries(values[name]))
    for name in {_KEYS_FILE, SECRETS_DIR} & values.keys():
        values[name] = str(Path(values[name]).absolute())
    values[_DATABASE] = _absolute(values[_DATABASE])
    return {name: values[name] for name in (*setting_names(), SECRETS_DIR) if name in values}


def _entries(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.strip().strip(",")


def _absolute(database: str) -> str:
    """As the settings take it, from whichever folder Dargah is started. What is refused stays as it is."""
    try:
        path = parse_database(database)
    except ValueError:
        return database
    return f"sqlite://{path.absolute()}" if isinstance(path, Path) else path.text


def _loaded(values: Mapping[str, str]) -> Settings:
    return load(**{name.removeprefix(PREFIX).lower(): value for name, value in values.items() if name != SECRETS_DIR})


async def _check_database(settings: Settings, *, made_now: bool) -> None:
    """Raises StartRefused for a database that cannot be used, or whose secrets the key ring does not open."""
    ring = KeyRing.parse(settings.key_text())
    database = settings.database
    sealed_under = _of_file(database) if isinstance(database, Path) else await _of_server(database)
    try:
        ring.check(sealed_under)
    except VaultError as error:
        if not made_now:
            raise InitRefused(f"{error}; or name another database") from None
        ids = ", ".join(sorted(sealed_under))
        raise InitRefused(
            f"{database} has secrets that are sealed under {ids}: set {_KEYS} to that key ring, which is in the "
            f"{env_file.DEFAULT} or the environment that this database was used with, or name another database"
        ) from None


def _of_file(path: Path) -> set[str]:
    """The keys under which a SQLite file has secrets. Raises StoreRefused."""
    try:
        if not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
        if not path.exists():
            return set()
        lock = FileLock(path)
        try:
            with closing(sqlite3.connect(path)) as connection:
                there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'secrets'").fetchone()
                return {row[0] for row in connection.execute(_KEK_IDS)} if there else set()
        finally:
            lock.release()
    except (OSError, sqlite3.Error) as error:
        raise unusable(path, error) from None


async def _of_server(database: PostgresqlUrl) -> set[str]:
    """The same of a database of PostgreSQL. Raises StoreRefused."""
    from proxy.database.postgresql.store import peek  # noqa: PLC0415  its driver is 3 MB

    try:
        return set(await peek(database.text, "secrets", _KEK_IDS))
    except StartRefused as error:
        raise SettingsError(f"{_DATABASE} ({database}): {error}") from None
