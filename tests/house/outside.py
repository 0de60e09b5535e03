"""`python -m tests.house.outside --write`: renews the copies in `outside/` from the tree as it is.

The copies are the interfaces that a change of the code's structure must leave as they are. `test_house.py` compares.
"""

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import asyncpg
import click
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

REPOSITORY: Final = Path(__file__).parents[2]
COPIES: Final = Path(__file__).with_name("outside")
WRITE: Final = "DARGAH_TEST_WRITE_OUTSIDE"
VARYING: Final = frozenset({"version", "le"})  # labels whose values belong to the release, or to a histogram's type

# Periods are made as time goes by, so partitions are no part of the schema. The constraint "n" is NOT NULL, which only
# newer servers list, and the columns have it.
_OF_POSTGRESQL: Final = {
    "column": """
        SELECT format('%s.%s %s%s%s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
            CASE WHEN a.attnotnull THEN ' NOT NULL' END,
            CASE WHEN a.attcollation NOT IN (0, 100) THEN ' COLLATE ' || a.attcollation::regcollation END,
            ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid))
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
        ORDER BY c.relname, a.attnum""",
    "partitioned": """
        SELECT c.relname || ' ' || pg_get_partkeydef(c.oid) FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'p'""",
    "storage": """
        SELECT c.relname || ' ' || array_to_string(c.reloptions, ', ') FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition AND c.reloptions IS NOT NULL""",
    "index": """
        SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition""",
    "constraint": """
        SELECT format('%s %s %s', c.relname, k.conname, pg_get_constraintdef(k.oid)) FROM pg_constraint k
        JOIN pg_class c ON c.oid = k.conrelid
        WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition AND k.contype <> 'n'""",
    "trigger": """
        SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition AND NOT t.tgisinternal""",
    "function": "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    "view": """
        SELECT relname || ' ' || pg_get_viewdef(oid) FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'v'""",
    "sequence": "SELECT sequencename FROM pg_sequences WHERE schemaname = 'public'",
    "version": "SELECT format('%s %s %s', version, name, oldest_code) FROM schema_versions",
}
_OF_SQLITE: Final = "SELECT type || ' ' || name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name"
_VERSIONS: Final = "SELECT version, name, oldest_code FROM schema_versions ORDER BY version"


def openapi() -> str:
    return hashlib.sha256((REPOSITORY / "openapi.yaml").read_bytes()).hexdigest() + "\n"


def metrics(scraped: str) -> str:
    """Each metric of a scrape with its type, and its series with their labels."""
    return "\n".join(_metrics(scraped)) + "\n"


def settings() -> str:
    """Each setting with its default, as `dargah config` shows them."""
    said = CliRunner().invoke(_dargah(), ["config", "--json"], env={"DARGAH_SECRETS_DIR": None}).stdout
    return "".join(f"{each['name']}={each['default']}\n" for each in json.loads(said))


def commands() -> str:
    """Each command with its arguments and options, in their order."""
    return "\n".join(_commands(_dargah(), "dargah")) + "\n"


async def schema(database: Path | str) -> str:
    """The tables, indexes, triggers and functions of a database, and the migrations that made them."""
    if isinstance(database, Path):
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as file:
            made = [f"{name}\n{sql};\n" for name, sql in file.execute(_OF_SQLITE)]
            return "\n".join([*made, *(" ".join(map(str, row)) for row in file.execute(_VERSIONS))]) + "\n"
    connection = await asyncpg.connect(database)
    try:
        return "".join([part async for part in _schema(connection)])
    finally:
        await connection.close()


async def _schema(connection: Any) -> AsyncIterator[str]:
    for kind, query in _OF_POSTGRESQL.items():
        rows = [row[0] for row in await connection.fetch(query)]
        if kind not in {"column", "version"}:
            rows.sort()
        for row in rows:
            yield f"{kind} {row}\n"


def _metrics(scraped: str) -> Iterator[str]:
    for family in sorted(text_string_to_metric_families(scraped), key=lambda each: each.name):
        yield f"{family.name} {family.type}"
        series = {f"    {sample.name}{{{', '.join(_labels(sample.labels))}}}" for sample in family.samples}
        yield from sorted(series)


def _labels(labels: dict[str, str]) -> Iterator[str]:
    for name, value in labels.items():
        yield name if name in VARYING else f'{name}="{value}"'


def _dargah() -> click.Group:
    """The command, by the name that pyproject.toml has for it: all that is behind it may move."""
    group: click.Group = import_module("proxy.__main__").dargah
    return group


def _commands(command: click.Command, path: str) -> Iterator[str]:
    yield " ".join([path, *map(_parameter, command.params)])
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            under = command.get_command(context, name)
            assert under is not None
            yield from _commands(under, f"{path} {name}")


def _parameter(parameter: click.Parameter) -> str:
    kind = parameter.type
    names = "/".join([*parameter.opts, *parameter.secondary_opts])
    said = [names, "|".join(map(str, kind.choices)) if isinstance(kind, click.Choice) else kind.name]
    if isinstance(parameter.default, (str, int, float, tuple, list)):
        said.append(f"default={parameter.default}")
    said += [name for name in ("required", "multiple", "is_flag", "hidden") if getattr(parameter, name, False)]
    said += [f"nargs={parameter.nargs}"] * (parameter.nargs != 1)
    return f"[{' '.join(said)}]"


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    test = Path(__file__).with_name("test_house.py")
    command = [sys.executable, "-m", "pytest", "-n", "0", "-k", "what_it_was or what_they_were", str(test)]
    sys.exit(subprocess.run(command, env=os.environ | {WRITE: "1"}, cwd=REPOSITORY, check=False).returncode)
