"""A backup of a store that is a file, taken while it serves, and handed over piece by piece."""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Final

import structlog

from proxy.database.repository import Heartbeat
from proxy.database.sqlite.backups import CopyProgress
from proxy.kernel.errors import Conflict
from proxy.kernel.frozen import dataclass

log = structlog.get_logger()

# Copies the database, while it is used, into a file, which is whole and synced at the end.
Copying = Callable[[Path], AsyncGenerator[CopyProgress, None]]

PIECE_BYTES: Final = 1024 * 1024


class BackupRunning(Conflict):
    def __init__(self) -> None:
        super().__init__(
            "A backup is being taken already. Wait for its end.",
            "یک نسخهٔ پشتیبان در حال تهیه است. تا پایان آن صبر کنید.",
        )


class BackupNotSupported(Conflict):
    def __init__(self) -> None:
        super().__init__(
            "This Dargah keeps its payments in PostgreSQL. Take the backup with pg_dump or pg_basebackup.",
            "پرداخت‌ها در PostgreSQL نگهداری می‌شوند. با pg_dump یا pg_basebackup پشتیبان بگیرید.",
        )


@dataclass(frozen=True, slots=True)
class CompleteBackup:
    """A copy that is whole: its size, and how long payments waited for a step of it at most."""

    size: int
    longest_pause_ms: float


Piece = CopyProgress | CompleteBackup | bytes | str


class Backups:
    """One at a time. The copy is in the database's folder, which needs room for it, until its bytes are read."""

    def __init__(self, copying: Copying, heartbeat: Heartbeat, database: Path) -> None:
        self._copying = copying
        self._heartbeat = heartbeat
        self._folder = database.parent
        self._prefix = f".{database.name}.backup-"
        self._one = asyncio.Lock()
        self.failed = False
        """Whether the last one that this process took failed."""

    def begin(self) -> AsyncGenerator[Piece, None]:
        """How far the copy is, then the CompleteBackup, then its bytes, then their SHA-256 in hexadecimal.

        Close it when it is not read to its end. Raises BackupRunning.
        """
        if self._one.locked():
            raise BackupRunning
        return self._noted()

    async def _noted(self) -> AsyncGenerator[Piece, None]:
        """The pieces; notes that the backup was handed over whole, or that it failed."""
        try:
            async with aclosing(self._pieces()) as pieces:
                async for piece in pieces:
                    yield piece
            await self._heartbeat.note_backup()
            self.failed = False
        except Exception:
            self.failed = True
            raise

    async def _pieces(self) -> AsyncGenerator[Piece, None]:
        async with self._one:
            for left in self._folder.glob(f"{self._prefix}*"):
                left.unlink()  # of a process that was killed
            # So that the copy says when it was taken, at the earliest: a restore asks gateways about what came after.
            await self._heartbeat.ping()
            descriptor, name = tempfile.mkstemp(prefix=self._prefix, dir=self._folder)
            with os.fdopen(descriptor, "rb") as copy:
                longest = 0.0
                try:
                    async with aclosing(self._copying(Path(name))) as steps:
                        async for step in steps:
                            longest = step.longest_pause_ms
                            yield step
                finally:
                    _remove(name)
                size = os.fstat(copy.fileno()).st_size
                log.info("backup_copied", bytes=size, longest_pause_ms=longest)
                yield CompleteBackup(size, longest)
                digest = hashlib.sha256()
                while piece := await asyncio.to_thread(copy.read, PIECE_BYTES):
                    digest.update(piece)
                    yield piece
                yield digest.hexdigest()


def _remove(name: str) -> None:
    Path(name).unlink()
