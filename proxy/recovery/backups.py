"""A backup of a store that is a file, taken while it serves, and handed over piece by piece."""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import structlog

from proxy.errors import Conflict

log = structlog.get_logger()

PIECE_BYTES: Final = 1024 * 1024


class CopyProgress(Protocol):
    """How far a copy is."""

    @property
    def pages(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def longest_pause_ms(self) -> float: ...


class Copies(Protocol):
    """A store that can be copied while it is used."""

    def copying(self, target: Path) -> AsyncGenerator[CopyProgress, None]:
        """Copies it into a file, which is whole and synced at the end."""

    async def ping(self) -> None: ...


class BackupRunning(Conflict):
    def __init__(self) -> None:
        super().__init__(
            "A backup is being taken already. Wait for its end.",
            "یک نسخهٔ پشتیبان در حال تهیه است. تا پایان آن صبر کنید.",
        )


class NotAFile(Conflict):
    def __init__(self) -> None:
        super().__init__(
            "This Dargah keeps its payments in PostgreSQL. Take the backup with pg_dump or pg_basebackup.",
            "پرداخت‌ها در PostgreSQL نگهداری می‌شوند. با pg_dump یا pg_basebackup پشتیبان بگیرید.",
        )


@dataclass(frozen=True, slots=True)
class Whole:
    """A copy that is whole: its size, and how long payments waited for a step of it at most."""

    size: int
    longest_pause_ms: float


Piece = CopyProgress | Whole | bytes | str


class Backups:
    """One at a time. The copy lies in the database's folder, which needs room for it, until its bytes are read."""

    def __init__(self, store: Copies, database: Path) -> None:
        self._store = store
        self._folder = database.parent
        self._prefix = f".{database.name}.backup-"
        self._one = asyncio.Lock()

    def begin(self) -> AsyncGenerator[Piece, None]:
        """How far the copy is, then the Whole, then its bytes, then their SHA-256 in hexadecimal.

        Close it when it is not read to its end. Raises BackupRunning.
        """
        if self._one.locked():
            raise BackupRunning
        return self._pieces()

    async def _pieces(self) -> AsyncGenerator[Piece, None]:
        async with self._one:
            for left in self._folder.glob(f"{self._prefix}*"):
                left.unlink()  # of a process that was killed
            # So that the copy says when it was taken, at the earliest: a restore asks gateways about what came after.
            await self._store.ping()
            descriptor, name = tempfile.mkstemp(prefix=self._prefix, dir=self._folder)
            with os.fdopen(descriptor, "rb") as copy:
                longest = 0.0
                try:
                    async with aclosing(self._store.copying(Path(name))) as steps:
                        async for step in steps:
                            longest = step.longest_pause_ms
                            yield step
                finally:
                    _remove(name)
                size = os.fstat(copy.fileno()).st_size
                log.info("backup_copied", bytes=size, longest_pause_ms=longest)
                yield Whole(size, longest)
                digest = hashlib.sha256()
                while piece := await asyncio.to_thread(copy.read, PIECE_BYTES):
                    digest.update(piece)
                    yield piece
                yield digest.hexdigest()


def _remove(name: str) -> None:
    Path(name).unlink()
