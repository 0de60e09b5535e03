"""The settings of where payments are kept: a SQLite file, or a database of a PostgreSQL server."""

import re
from dataclasses import field
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import unquote

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode

from proxy.database.libpq import check_parameters
from proxy.kernel.frozen import dataclass

_POSTGRESQL: Final = frozenset({"postgres", "postgresql"})
_NOT_IN_A_URL: Final = re.compile(r"[\s\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class PostgresqlUrl:
    """Where a PostgreSQL database is. `text` has the password: it is shown to the driver and to nobody else."""

    text: str = field(repr=False)

    @property
    def name(self) -> str:
        """The database's own name."""
        return unquote(self._path)

    @property
    def _path(self) -> str:
        return self.text.partition("?")[0].partition("://")[2].partition("/")[2]

    def __str__(self) -> str:
        """Without user, password and parameters, which may hold a password too."""
        hosts = self.text.partition("?")[0].partition("://")[2].partition("/")[0].rpartition("@")[2]
        return f"postgresql://{hosts}/{self._path}"


Database = Path | PostgresqlUrl


def parse_database(value: object) -> Database:
    """The SQLite file of `sqlite:relative.db`, `sqlite:///absolute.db` or a plain path; or a PostgreSQL URL."""
    if isinstance(value, PostgresqlUrl):
        return value
    text = str(value).strip()
    scheme, mark, rest = text.partition(":")
    if mark and scheme in _POSTGRESQL:
        return _postgresql(text, rest)
    if mark and scheme == "sqlite":
        if rest.startswith("//") and not rest.startswith("///"):
            raise ValueError("write sqlite:relative.db or sqlite:///absolute/path.db (three slashes)")
        text = "/" + rest.lstrip("/") if rest.startswith("/") else rest
    elif "://" in text:
        raise ValueError(f"{scheme}:// is not known; write sqlite:dargah.db or postgresql://user@host/database")
    if not text or text == ":memory:" or "\0" in text:
        raise ValueError("name a file: payments must outlive the process, such as sqlite:dargah.db")
    return Path(text)


def _postgresql(text: str, rest: str) -> PostgresqlUrl:
    url = PostgresqlUrl(text)
    if not rest.startswith("//") or not url.name or "/" in url.name or "#" in text or _NOT_IN_A_URL.search(text):
        raise ValueError(
            "write postgresql://user:password@host:5432/database, with %-escapes for what is special in a URL"
        )
    check_parameters(text)
    return url


def _parse_server(value: object) -> PostgresqlUrl | None:
    if value is None:
        return None
    database = parse_database(value)
    if not isinstance(database, PostgresqlUrl):
        raise ValueError("write postgresql://user:password@host:5432/database: a SQLite file needs none")  # noqa: TRY004  pydantic's
    return database


class DatabaseSettings(BaseSettings):
    """Part of Settings."""

    database: Annotated[Database, BeforeValidator(parse_database), NoDecode] = Field(
        Path("dargah.db"),
        description="Where payments are kept. One process: sqlite:dargah.db, sqlite:///var/lib/dargah/dargah.db or a "
        "plain path. Several: postgresql://user:password@host:5432/database.",
    )
    migration_database: Annotated[PostgresqlUrl | None, BeforeValidator(_parse_server), NoDecode] = Field(
        None,
        description="PostgreSQL: the same database with its owner's role, for `dargah migrate`, where the role of "
        "DARGAH_DATABASE may not change the schema.",
    )
    database_connections: Annotated[int, Field(ge=2, le=100)] = Field(
        8, description="PostgreSQL: connections of a process, which has one more for what replicas tell each other."
    )
    database_pooler: bool = Field(
        False, description="PostgreSQL: true where a pooler in transaction mode, such as PgBouncer, stands before it."
    )
