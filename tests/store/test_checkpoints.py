"""Checkpoints run beside the commits, keep the WAL bounded, and never begin on a WAL that is copied already."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.database.sqlite.checkpoints import Checkpoints
from proxy.database.sqlite.files import FileLock
from proxy.stores.sqlite import open_store
from store.records import NOW, create

ROWS, PAGES = 10, 40
PAGE_BYTES = 4096


class Written:
    """A database whose rows are two to a page, and its checkpoints."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = FileLock(path, make=True)
        self.connection = sqlite3.connect(path, isolation_level=None)
        for statement in ("journal_mode = WAL", "wal_autocheckpoint = 0"):
            self.connection.execute(f"PRAGMA {statement}").fetchall()
        self.connection.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, filler BLOB)")
        self.checkpoints = Checkpoints(self.lock, ROWS, PAGES)
        self.begun: list[str] = []
        self.checkpoints._connection.set_trace_callback(self._traced)

    def commit(self, *numbers: int) -> None:
        self.checkpoints.between_commits(self.connection.total_changes)
        with self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.executemany("INSERT INTO rows VALUES (?, zeroblob(1500))", [(each,) for each in numbers])

    def wait(self) -> None:
        """For the piece under way."""
        if self.checkpoints._piece is not None:
            self.checkpoints._piece.result()

    @property
    def wal_bytes(self) -> int:
        return self.path.with_name(f"{self.path.name}-wal").stat().st_size

    def close(self) -> None:
        self.checkpoints.close()
        self.connection.close()
        self.lock.release()

    def _traced(self, statement: str) -> None:
        if "wal_checkpoint" in statement:
            self.begun.append(statement)


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    with closing(Written(tmp_path / "rows.db")) as made:
        yield made


def numbers_in(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [number for (number,) in connection.execute("SELECT number FROM rows ORDER BY number")]


def test_a_piece_is_copied_once_the_rows_are_written(written: Written) -> None:
    for number in range(ROWS):
        written.commit(number)
    assert written.checkpoints._piece is None
    written.commit(ROWS)
    written.wait()
    assert written.begun
    written.commit(ROWS + 1)
    assert len(written.begun) == 1, "the next piece waits for the next rows"


def test_no_checkpoint_begins_when_nothing_was_committed_since_the_last(written: Written) -> None:
    written.commit(1)
    assert written.checkpoints._copy(beside_commits=True)
    for _ in range(3):
        assert written.checkpoints._copy(beside_commits=True) is None
    written.connection.execute("BEGIN IMMEDIATE")
    written.connection.execute("UPDATE rows SET filler = filler")
    written.connection.execute("ROLLBACK")
    assert written.checkpoints._copy(beside_commits=True) is None
    assert len(written.begun) == 1
    with closing(Checkpoints(written.lock)) as opened_later:
        assert opened_later._copy(beside_commits=True) is None
    written.commit(2)
    assert written.checkpoints._copy(beside_commits=True)


def test_commits_that_go_on_all_the_time_leave_the_wal_bounded(written: Written, tmp_path: Path) -> None:
    for number in range(4000):
        written.commit(number)
        if number % 500 == 499:
            written.wait()
    written.wait()
    assert written.wal_bytes < 20 * PAGES * PAGE_BYTES
    shutil.copy(written.path, tmp_path / "copy.db")
    shutil.copy(f"{written.path}-wal", tmp_path / "copy.db-wal")
    assert numbers_in(tmp_path / "copy.db") == list(range(4000))


def test_a_full_wal_is_written_from_its_beginning_again(written: Written) -> None:
    written.commit(*range(3 * PAGES))
    written.commit(1000)
    written.wait()
    written.commit(1001)
    written.commit(1002)
    before = written.wal_bytes
    for number in range(1003, 1003 + ROWS // 2):
        written.commit(number)
    assert written.wal_bytes == before
    assert len(written.begun) == 2, "a piece beside the commits, and the rest between two"


def test_a_reader_of_another_process_holds_it_up_only_while_it_reads(written: Written) -> None:
    def commit_some(first: int) -> None:
        for number in range(first, first + 10 * ROWS):
            written.commit(number)
            written.wait()

    written.commit(*range(2 * PAGES))
    with closing(sqlite3.connect(written.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM rows").fetchall() == [(2 * PAGES,)]
        commit_some(1000)
        assert reader.execute("SELECT count(*) FROM rows").fetchall() == [(2 * PAGES,)]
        reader.execute("COMMIT")
    commit_some(2000)
    grown = written.wal_bytes
    commit_some(3000)
    assert written.wal_bytes == grown


def test_a_checkpoint_that_fails_is_told_once_and_costs_no_commit(written: Written) -> None:
    with capture_logs() as lines:
        written.checkpoints._connection.set_progress_handler(lambda: True, 1)
        for number in range(4 * ROWS):
            written.commit(number)
            written.wait()
        assert [line["event"] for line in lines] == ["checkpoint_failed"]
        written.checkpoints._connection.set_progress_handler(None, 1)
        for number in range(100, 100 + 2 * ROWS):
            written.commit(number)
            written.wait()
    assert not written.checkpoints._failing
    assert written.begun


async def test_a_store_copies_its_wal_back_and_leaves_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Checkpoints.__init__, "__defaults__", (ROWS, PAGES))
    store = await open_store(tmp_path / "dargah.db", now=lambda: NOW)
    for _ in range(100):
        await create(store)
    file = store._file._database
    assert file._checkpoints is not None
    assert file._checkpoints._piece is not None
    assert (tmp_path / "dargah.db-wal").stat().st_size < 3 * 1024 * 1024
    await store.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["dargah.db", "dargah.db.lock"]
