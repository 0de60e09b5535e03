"""Transactions that run queries by their names in `sql/`, the steps in them, and the lanes where steps wait for one."""

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol, TypeVar

from proxy.kernel.frozen import dataclass

MAX_WAITING: Final = 10_000
"""How many callers may wait for a lane before the next one is told Overloaded."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a step: its value, or the error that it raised itself."""

    value: Any = None
    error: Exception | None = None

    def resolve(self, future: asyncio.Future[Any]) -> None:
        """Ends the future of the waiting caller, unless that was cancelled."""
        if future.done():
            return
        if self.error is None:
            future.set_result(self.value)
        else:
            future.set_exception(self.error)


@dataclass(frozen=True, slots=True)
class Batch:
    """The metrics of one transaction: its number of steps and its duration, including the commit."""

    steps: int
    seconds: float
    failed: bool


def observe(observer: Callable[[Batch], None] | None, batch: Batch) -> None:
    """Calls the observer. Its bug must not end the lane, on which everybody waits."""
    if observer is not None:
        with suppress(Exception):
            observer(batch)


T = TypeVar("T")
Row = Sequence[Any]
"""A row of a result, or the parameters of a query: str, int, bytes and None, which every driver takes as they are."""


class Transaction(Protocol):
    """One transaction of one database. Everything in it is stored together, or nothing is."""

    async def row(self, query: str, parameters: Row = ()) -> Row | None:
        """The first row, or None."""

    async def rows(self, query: str, parameters: Row = ()) -> Sequence[Row]:
        """All rows."""

    async def run(self, query: str, parameters: Row = ()) -> int:
        """Runs a query that gives no rows: how many it wrote."""

    async def run_all(self, query: str, rows: Sequence[Row]) -> int:
        """Runs it with each of the parameters in turn: how many rows were written in all, 0 for none."""


Step = Callable[[Transaction], Coroutine[Any, Any, T]]
"""A whole act of the store. It awaits nothing but its transaction: on SQLite the thread of the database runs it."""


class Lane(Protocol):
    """Where steps wait for their transaction."""

    async def do(self, step: Step[T], merchant_id: str | None = None) -> T:
        """The result of `step`, once it is done: committed, on a lane that writes.

        Where several write at once, no two steps with the same `merchant_id` run together.

        Raises the errors of the step; Overloaded when too many wait; StoreUnavailable when the storage failed or the
        store is closed. A step may run twice, the first time undone.
        """


@dataclass(frozen=True, slots=True)
class WholeStep:
    """A step as one query of PostgreSQL's. It gives one number, which is 1 when the step is done, with `value` as its
    result; otherwise it has written nothing that matters, and the step itself finds out why.
    """

    query: str
    parameters: Row
    value: Any = None


@dataclass(frozen=True, slots=True)
class SharedStep:
    """A step that is done together for all waiting items with the same `run`, which gives each item's outcome in the
    items' order.

    An item with an error as its outcome has written nothing that matters. `whole` gives an item's WholeStep, or None
    where it takes more than that; after it `run` does no harm, even if it was done.
    """

    run: Callable[[Transaction, Sequence[Any]], Coroutine[Any, Any, Sequence[Outcome]]]
    item: Any
    whole: Callable[[Any], WholeStep | None] | None = None

    async def __call__(self, transaction: Transaction) -> Any:
        [outcome] = await self.run(transaction, [self.item])
        if outcome.error is not None:
            raise outcome.error
        return outcome.value


Dialect = Literal["sqlite", "postgresql"]

_PART: Final = re.compile(
    r"^-- (?P<kind>name|columns): (?P<name>\w+)\n-- (?P<about>.+)\n(?P<text>(?:(?!^-- (?:name|columns): ).*\n?)+)",
    re.MULTILINE,
)
_LIST: Final = re.compile(r"\{(?:(?P<table>\w+)\.)?(?P<name>\w+)(?: from \$(?P<first>\d+))?\}")


class BadQueryFile(Exception):
    """A `.sql` file has text outside a named and described query, or a name that is taken."""


def load_queries(dialect: Dialect) -> Mapping[str, str]:
    """The SQL of every query of the dialect by its name; those of its own may have common ones in them.

    Raises BadQueryFile.
    """
    queries = _load("name", "common", dialect)
    columns = load_columns()
    for name, text in queries.items():
        text = _LIST.sub(partial(_write_out, columns, queries), text)
        queries[name] = _for_sqlite(text) if dialect == "sqlite" else text
    return MappingProxyType(queries)


@cache
def load_columns() -> Mapping[str, tuple[str, ...]]:
    """The lists of columns by their names. Raises BadQueryFile."""
    texts = _load("columns", "common")

    def expanded(text: str) -> str:
        """With the columns of the lists that it names, and of those that they name."""
        return _LIST.sub(lambda match: expanded(texts[match["name"]]), text)

    return MappingProxyType({name: tuple(re.split(r",\s+", expanded(text))) for name, text in texts.items()})


def load_migrations(dialect: Dialect) -> tuple[tuple[int, str, str], ...]:
    """Number, name and SQL of every migration of the dialect, in order. Raises BadQueryFile when one is missing."""
    folder = files("proxy.database") / dialect / "migrations"
    migrations = []
    for number, file in enumerate(_sql_files(folder), start=1):
        if not file.name.startswith(f"{number:04}_"):
            raise BadQueryFile(f"migration {number:04} is missing: {file.name} stands in its place")
        migrations.append((number, file.name.removesuffix(".sql"), file.read_text("utf-8")))
    return tuple(migrations)


def parse(text: str, file_name: str, kind: str = "name") -> Iterator[tuple[str, str]]:
    """The name and text of each query of a file, or of each list of columns. Raises BadQueryFile."""
    end = 0
    for match in _PART.finditer(text):
        if text[end : match.start()].strip():
            break
        end = match.end()
        if match["kind"] == kind:
            yield match["name"], match["text"].strip().removesuffix(";")
    if end != len(text):
        raise BadQueryFile(f"{file_name}: text after character {end} belongs to no named and described query")


def _load(kind: str, *folders: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for file in _query_files(files("proxy"), folders):
        for name, text in parse(file.read_text("utf-8"), file.name, kind):
            if name in parts:
                raise BadQueryFile(f"{file.name}: there is another one named {name}")
            parts[name] = text
    return parts


def _write_out(columns: Mapping[str, tuple[str, ...]], queries: Mapping[str, str], place: re.Match[str]) -> str:
    """The list of columns at the place; or the common query, with its parameters numbered from the one of the place."""
    if place["name"] not in columns:
        more = int(place["first"] or 1) - 1
        return re.sub(r"\$(\d+)", lambda number: f"${int(number[1]) + more}", queries[place["name"]])
    names = columns[place["name"]]
    if place["first"] is not None:
        return ", ".join(f"${number}" for number, _ in enumerate(names, int(place["first"])))
    return ", ".join(names if place["table"] is None else [f"{place['table']}.{name}" for name in names])


def _for_sqlite(text: str) -> str:
    """Parameters are written `$1`, and bind by position as `?1`.

    An INSERT from a SELECT is written OR FAIL instead of ABORT: SQLite otherwise keeps a copy of each page that the
    statement changes, a fifth of what a payment's costs, to undo that statement alone. Whoever runs one here undoes its
    whole step.
    """
    return re.sub(r"\$(\d+)", r"?\1", re.sub(r"^INSERT INTO\b", "INSERT OR FAIL INTO", text))


def _query_files(package: Traversable, folders: Sequence[str]) -> Iterator[Traversable]:
    """Those of such folders in every `sql` of the package."""
    for folder in package.iterdir():
        if folder.name == "sql":
            for name in folders:
                if (folder / name).is_dir():
                    yield from _sql_files(folder / name)
        elif folder.is_dir():
            yield from _query_files(folder, folders)


def _sql_files(folder: Traversable) -> list[Traversable]:
    return sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
