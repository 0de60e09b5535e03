"""Checkpoints beside the commits: a second connection copies the WAL back into the database, on a thread of its own.

A commit waits for none of it, except for a last small piece once the WAL has MOST_PAGES: only when all of it is copied
does SQLite write it from its beginning again, and commits that go on all the time never leave it so.
"""

import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import structlog

from proxy.database.sqlite.files import FileLock

log = structlog.get_logger()

ROWS_BETWEEN: Final = 500
"""So many rows are written, of one page or a few each, before the next piece is copied: a piece takes milliseconds."""
MOST_PAGES: Final = 4000
"""Of the WAL: 16 MB, at 4 kB a page. It has more of them only until the piece under way is copied."""


class Checkpoints:
    """Of the database file of `lock`, which another connection writes; made and closed while that one is open.

    SQLite before 3.51.3 loses commits when the WAL is written from its beginning while a checkpoint begins
    (https://sqlite.org/wal.html#walresetbug). That needs a WAL of which all is copied, and a checkpoint all the same:
    here none begins unless something was committed since the one before, and no other connection makes any.
    """

    def __init__(self, lock: FileLock, rows_between: int = ROWS_BETWEEN, most_pages: int = MOST_PAGES) -> None:
        self._lock, self._rows_between, self._most_pages = lock, rows_between, most_pages
        self._connection = sqlite3.connect(lock.path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA synchronous = FULL").fetchall()
        self._executor = ThreadPoolExecutor(1, "store-checkpoint")
        self._piece: Future[None] | None = None
        self._begun_at = 0
        self._full = False
        self._failing = False
        # All that is there may have been copied, so a commit comes first here too.
        self._seen = self._version()

    def between_commits(self, total_changes: int) -> None:
        """Begins with the next piece when it is time. The thread that commits calls it outside of its transactions,
        with `total_changes` of its connection.
        """
        if self._piece is not None and not self._piece.done():
            return
        if self._full:
            self._full = self._copy(beside_commits=False) is None
        if total_changes - self._begun_at >= self._rows_between:
            self._begun_at = total_changes
            self._piece = self._executor.submit(self._copy_piece)

    def close(self) -> None:
        """Waits for the piece that is being copied. What is left is copied when the last connection is closed."""
        self._executor.shutdown()
        self._connection.close()

    def _copy_piece(self) -> None:
        self._full = (self._copy(beside_commits=True) or 0) > self._most_pages

    def _copy(self, *, beside_commits: bool) -> int | None:
        """How many pages the WAL has; None when nothing was committed since the last time. 0 when the disk failed: the
        WAL then grows until the next piece.
        """
        try:
            if self._version() == self._seen:
                return None
            [(_, pages, _)] = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            # Not of before: then a commit in between would make what was copied with it look like news.
            self._seen = self._version()
            if beside_commits:
                # SQLite does so only when nobody has committed meanwhile, so the next commit would wait for it.
                self._lock.sync_database()
        except (sqlite3.Error, OSError) as error:
            if not self._failing:
                log.warning("checkpoint_failed", why=str(error))
            self._failing = True
            return 0
        self._failing = False
        return int(pages)

    def _version(self) -> int:
        """Changes with each commit of the other connection that wrote something."""
        [(version,)] = self._connection.execute("PRAGMA data_version").fetchall()
        return int(version)
