"""The schema versions that a Dargah works with: its own, and newer ones with additive migrations.

A comment line of a migration, such as `-- oldest code: 1`, names the schema version of the oldest code that works
beside it. Without the line that is the migration's own version: older code then refuses the database.
"""

import re
from collections.abc import Sequence
from typing import Final

from proxy.kernel.errors import StoreRefused

COLUMNS: Final = "version, name, applied_at, oldest_code"
NEWER: Final = """
SELECT version, name FROM schema_versions WHERE version > {known} AND oldest_code > {known}
ORDER BY version DESC LIMIT 1
"""
"""The newest migration, if any, beside which code that knows `known` versions does not work."""

MOVING: Final = 1_000_000
"""The version that stands in a database which a store is being moved into, so that no Dargah starts on a part of it."""

_OLDEST_CODE: Final = re.compile(r"^-- oldest code: ([0-9]+)$", re.MULTILINE)


class WrongSchema(StoreRefused):
    """The database has tables that this code does not work with."""


class StoreForeign(WrongSchema):
    """The database has tables, and none of them is ours."""

    def __init__(self, tables: Sequence[str]) -> None:
        super().__init__(f"it is another program's, with the table {tables[0]}: name another file, or one to be made")


class StoreTooNew(WrongSchema):
    """The database was migrated by a newer Dargah than this one, in a way that this one does not work with."""

    def __init__(self, version: int, name: str, known: int) -> None:
        if version == MOVING:
            super().__init__(
                "a store is being moved into the database: let `dargah migrate-store` come to its end first"
            )
            return
        super().__init__(
            f"the database is at schema version {version} ({name}) and this Dargah knows {known}: "
            "start the newer Dargah that migrated it"
        )


def oldest_code(number: int, script: str) -> int:
    """The schema version of the oldest code that works once this migration is applied."""
    said = _OLDEST_CODE.search(script)
    return number if said is None else int(said[1])
