"""The layer of the power cuts alone. The campaign's short form is in test_campaigns.py."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from .power_cut import Disk, NotRecorded, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

COMMITS: Final = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute(f"PRAGMA synchronous = {sys.argv[2]}")
for _ in range(int(sys.argv[3])):
    connection.execute("INSERT INTO told VALUES (randomblob(3000))")
os.kill(os.getpid(), 9)
"""


def left_after(folder: Path, synchronous: str, commits: int, seed: int) -> int:
    """How many of the commits of a process that was killed are there when the power failed with it."""
    path = folder / "dargah.db"
    sqlite3.connect(path).execute("CREATE TABLE told (what BLOB)").connection.close()
    disk = Disk(path, seed)
    disk.resume()
    command = [sys.executable, "-c", COMMITS, str(path), synchronous, str(commits)]
    ran = subprocess.run(command, env={**os.environ, **disk.environment}, check=False)
    assert ran.returncode == -9
    disk.cut()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    count: int = connection.execute("SELECT count(*) FROM told").fetchone()[0]
    connection.close()
    return count


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("commits", [1, 1500])  # so many that they are copied back into the database meanwhile
def test_commits_that_are_synced_outlive_a_power_cut(tmp_path: Path, commits: int, seed: int) -> None:
    assert left_after(tmp_path, "FULL", commits, seed) == commits


def test_commits_that_are_not_synced_do_not(tmp_path: Path) -> None:
    left = []
    for seed in range(6):
        folder = tmp_path / str(seed)
        folder.mkdir()
        left.append(left_after(folder, "NORMAL", 20, seed))
    assert min(left) < 20


def test_a_change_past_the_layer_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "dargah.db"
    sqlite3.connect(path).execute("CREATE TABLE told (what BLOB)").connection.close()
    disk = Disk(path, 1)
    disk.resume()
    command = [sys.executable, "-c", COMMITS, str(path), "FULL", "3"]
    subprocess.run(command, env={**os.environ, **disk.environment}, check=False)
    with path.with_name("dargah.db-wal").open("r+b") as wal:
        wal.seek(40)
        wal.write(b"past the layer")
    with pytest.raises(NotRecorded):
        disk.cut()
