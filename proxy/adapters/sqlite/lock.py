"""One process per database file: group commit and the single connection only hold when nobody else writes."""

import fcntl
import os
from pathlib import Path


class StoreLocked(Exception):
    """Another process has the database open; the message says which."""


class FileLock:
    """An flock on `<path>.lock`, held until `release`. The kernel drops it when the process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        """Takes the lock. Raises StoreLocked, or OSError when the folder cannot be written."""
        lock_path = path.with_name(f"{path.name}.lock")
        self._descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(self._descriptor, 20).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise StoreLocked(
                f"{path} is open in another process (pid {holder}). A SQLite store has one process; "
                "stop that one, or give this one another database."
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Gives the lock back. The file stays: removing it would let two processes lock two files of one name."""
        os.close(self._descriptor)
