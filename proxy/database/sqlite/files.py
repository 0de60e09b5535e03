"""The files of a SQLite database: one process for each, the owner alone reads them, and why one cannot be opened."""

import errno
import fcntl
import os
import re
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

from proxy.database.versions import WrongSchema
from proxy.kernel.errors import StoreRefused
from proxy.kernel.frozen import dataclass

_MOUNTS: Final = Path("/proc/self/mountinfo")
_LOCKS: Final = Path("/proc/locks")
_MOUNT_POINT: Final = 4  # of the fields of a line of mountinfo


class StoreLocked(StoreRefused):
    """Another process has the database open; the message says which."""


class StoreMisplaced(StoreRefused):
    """The file is at a place where commits can be lost, or was moved away; the message says the remedy."""


class FileLock:
    """Locks on the database file itself and on `<path>.lock`, held until `release`.

    The file's own lock is authoritative: it is one lock under any name of the file (a symbolic link, a bind mount in
    another container). The other names its holder's pid, and keeps out a Dargah that checks names alone. The kernel
    drops both when the process dies.

    The descriptor of the database must not be closed while SQLite has the file open: POSIX would drop SQLite's locks.
    """

    def __init__(self, path: Path, *, make: bool = False) -> None:
        """Takes the locks; with `make`, a database that is not there yet is made, empty.

        Raises StoreLocked, StoreMisplaced, or OSError when the folder or the file cannot be written.
        """
        self.path = path.resolve()
        self._path = str(self.path)
        _refuse_misplaced(self.path)
        self._named = _lock(self.path.with_name(f"{self.path.name}.lock"), self.path)
        try:
            self._file = _lock(self.path, self.path) if make or self.path.exists() else None
        except BaseException:
            os.close(self._named)
            raise
        # Which a file has for as long as it is open, as this one is.
        self._id = None if self._file is None else _id_of(os.fstat(self._file))
        os.ftruncate(self._named, 0)
        os.pwrite(self._named, f"{os.getpid()}\n".encode(), 0)

    def require_in_place(self) -> None:
        """Raises StoreMisplaced if the file was deleted, renamed or replaced: further writes would be lost."""
        if self._file is not None and file_id(self._path) != self._id:
            raise StoreMisplaced(
                f"{self.path} was deleted or replaced while it was open. What it held is still in "
                f"/proc/{os.getpid()}/fd/{self._file} until this process ends: copy it from there, then restart"
            )

    def sync_database(self) -> None:
        """Has the disk keep what was written to the database so far. Raises OSError."""
        if self._file is not None:
            os.fdatasync(self._file)

    def release(self) -> None:
        """Gives the locks back. The files stay: removing one would let two processes lock two files of one name."""
        for descriptor in (self._file, self._named):
            if descriptor is not None:
                os.close(descriptor)


@contextmanager
def unused(file: Path) -> Iterator[None]:
    """No process has the file open as its database, or opens it, while the context lasts. Raises StoreLocked, OSError.

    A file that may only be read is enough, such as a backup on another's medium.
    """
    descriptor = os.open(file, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise StoreLocked(
            f"{file} is open in another process (pid {_holder(descriptor)}) as its database: stop that one, or take a "
            "copy of it with `dargah backup`"
        ) from None
    finally:
        os.close(descriptor)


def _lock(file: Path, database: Path) -> int:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = _holder(descriptor)
        os.close(descriptor)
        raise StoreLocked(
            f"{database} is open in another process (pid {holder}). A SQLite store has one process; "
            "stop that one, or give this one another database."
        ) from error
    return descriptor


def _holder(descriptor: int) -> str:
    """The pid of the holder of the file's lock, by the kernel's table; a process of another container has none here."""
    inode = os.fstat(descriptor).st_ino
    try:
        found = re.search(rf"FLOCK +ADVISORY +WRITE +([1-9][0-9]*) \S+:{inode} ", _LOCKS.read_text("ascii"))
    except OSError:
        found = None
    return found[1] if found else "unknown"


def _refuse_misplaced(path: Path) -> None:
    """Raises StoreMisplaced where the next process that opens the file could miss its WAL, which is beside it and under
    its name.
    """
    if str(path) in _mount_points():
        raise StoreMisplaced(
            f"{path} is mounted as a single file. Its WAL, which holds the newest payments, would stay behind in this "
            "container: mount the folder that the file lies in"
        )
    if path.is_file() and path.stat().st_nlink > 1:
        raise StoreMisplaced(
            f"{path} has other names (hard links). Opened by another one, it would lack what its WAL holds: "
            f"find them with `find … -samefile {path}` and remove them"
        )


def _mount_points() -> set[str]:
    try:
        lines = _MOUNTS.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return set()
    return {re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line.split(" ")[_MOUNT_POINT]) for line in lines}


def file_id(path: str) -> tuple[int, int] | None:
    """The device and inode of the file at this path; None where there is none."""
    try:
        return _id_of(os.stat(path))  # noqa: PTH116  pathlib takes ten times as long, and this is done after each commit
    except FileNotFoundError:
        return None


def _id_of(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


log = structlog.get_logger()

_OTHERS: Final = 0o077
SIDES: Final = ("", "-wal", "-shm", "-journal", ".lock")


def make_private(path: Path) -> None:
    """Removes others' rights to the file and to its companions. SQLite gives its WAL the rights of the file."""
    for file in _files_of(path):
        _tighten(file)
    if is_open_to_others(path.resolve().parent):
        log.warning("database_folder_open", database=str(path))


def is_open_to_others(folder: Path) -> bool:
    """Whether others may put another file in the place of one in it: they may write it, and it is not sticky."""
    mode = folder.stat().st_mode
    return bool(mode & (stat.S_IWGRP | stat.S_IWOTH)) and not mode & stat.S_ISVTX


def _tighten(path: Path) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & _OTHERS:
            path.chmod(mode & ~_OTHERS)
            log.warning("database_file_tightened", database=str(path))
    except FileNotFoundError:
        return
    except PermissionError:  # another's file, which this process may use all the same
        log.warning("database_file_open", database=str(path))


_FULL: Final = "there is no room left on the disk of {folder}: free some, then start again; nothing was lost"
_OF_SYSTEM: Final[Mapping[int, str]] = {
    errno.ENOENT: "the folder {folder} is not there: make it, for Dargah's user, or name another ({setting})",
    errno.ENOTDIR: "{folder} is no folder: name a file in one ({setting})",
    errno.EISDIR: "it is a folder: name a file in it ({setting})",
    errno.EACCES: "this process (uid {uid}) may not write {file}: `chown` or `chmod` it, and its folder",
    errno.EPERM: "{file} may not be changed, even by its owner: see `lsattr -d {folder} {path}`, and `chattr -i` it",
    errno.EROFS: "its file system is read-only: mount it for writing (`findmnt -T {folder}`)",
    errno.ENOSPC: _FULL,
    errno.EDQUOT: "the quota of uid {uid} for the disk of {folder} is used up",
    errno.EMFILE: "this process may not open more files: raise its limit (`ulimit -n`)",
}
_OF_SQLITE: Final[Mapping[int, str]] = {
    sqlite3.SQLITE_NOTADB: "it is no SQLite database: name another ({setting}), or a file that is to be made",
    sqlite3.SQLITE_CORRUPT: "it is damaged ({error}): stop Dargah, keep the file, and put a backup in its place with "
    "`dargah restore`",
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_BUSY: "another program has it open and writes: stop it",
    sqlite3.SQLITE_READONLY: _OF_SYSTEM[errno.EACCES],
    sqlite3.SQLITE_IOERR: "the disk or its file system fails ({error}): look at `dmesg`, and put a backup elsewhere",
    sqlite3.SQLITE_CANTOPEN: "files cannot be made in {folder}: look at its owner, `ls -ld` and `lsattr -d` of it",
}
_ODD: Final = (
    "its tables are not as Dargah made them ({error}): name another ({setting}), or put a backup in its place "
    "with `dargah restore`"
)
_PRIMARY_CODE_MASK: Final = 0xFF


class StoreUnusable(StoreRefused):
    """The file cannot be opened, or is no database of ours."""


@dataclass(frozen=True, slots=True)
class FileUse:
    """What a file is used as, and the setting or option that names it, for a sentence."""

    what: str
    setting: str


DATABASE: Final = FileUse("the database", "DARGAH_DATABASE")


@contextmanager
def explained(path: Path, use: FileUse = DATABASE) -> Iterator[None]:
    """Raises StoreUnusable for the errors of the disk, of SQLite and of a wrong schema in the file at `path`."""
    try:
        yield
    except WrongSchema as error:
        raise StoreUnusable(f"{path.absolute()} cannot be used as {use.what}: {error}") from error
    except (OSError, sqlite3.Error) as error:
        raise unusable(path, error, use) from error


def unusable(path: Path, error: OSError | sqlite3.Error, use: FileUse = DATABASE) -> StoreUnusable:
    """The error to report for `error`, from opening the file at `path`."""
    path = path.absolute()
    explanation = _of_system(error) if isinstance(error, OSError) else _of_sqlite(path, error)
    file = getattr(error, "filename", None) or _kept_from_us(path) or path
    places = {"path": path, "folder": path.parent, "file": file, "uid": os.geteuid(), "setting": use.setting}
    return StoreUnusable(f"{path} cannot be used as {use.what}: {explanation.format(**places, error=error)}")


def _of_system(error: OSError) -> str:
    return _OF_SYSTEM.get(error.errno or 0, "{error}: name another ({setting})")


def _of_sqlite(path: Path, error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY_CODE_MASK
    if code == sqlite3.SQLITE_IOERR and not os.statvfs(path.parent).f_bavail:
        return _FULL
    if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR} and (why := _why_not_opened(path)):
        return why
    return _OF_SQLITE.get(code, _ODD)


def _why_not_opened(path: Path) -> str | None:
    if not path.parent.exists():
        return _OF_SYSTEM[errno.ENOENT]
    if path.is_dir():
        return _OF_SYSTEM[errno.EISDIR]
    if any(file.is_dir() for file in _files_of(path)):
        return "a folder beside it has the name of its WAL or lock ({path}-wal, -shm, .lock): move that away"
    return _OF_SYSTEM[errno.EACCES] if _kept_from_us(path) else None


def _files_of(path: Path) -> Iterator[Path]:
    return (path.with_name(path.name + side) for side in SIDES)


def _kept_from_us(path: Path) -> Path | None:
    """The first of the files of the database at `path` that is there and that this process may not write."""
    return next((file for file in _files_of(path) if file.exists() and not os.access(file, os.R_OK | os.W_OK)), None)
