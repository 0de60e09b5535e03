"""Secrets as files, flat in one directory, as an orchestrator mounts them.

Links are followed inside the directory only (Kubernetes mounts each file as one): a link that leads out of it could
make any file of the machine a setting.
"""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 64 * 1024


class SecretFileError(Exception):
    """The file or directory cannot be used; the text names it and says why."""


def secret_files(directory: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """(lower-case name, reader) of each file in `directory`. Raises SecretFileError."""
    try:
        root = directory.resolve(strict=True)
        paths = sorted(root.iterdir())
    except OSError as error:
        raise SecretFileError(
            f"{directory} cannot be listed ({error.strerror}): make it, or name another folder"
        ) from None
    for path in paths:
        yield path.name.lower(), lambda path=path: _read_inside(root, path)  # type: ignore[misc]  # bound now, not late


def read_secret_file(path: Path) -> str:
    """The text of the file without the white space around it. Raises SecretFileError."""
    try:
        with path.open("rb") as file:
            refuse_open_to_writers(path, os.fstat(file.fileno()).st_mode)
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SecretFileError(f"{path} cannot be read ({error.strerror}): make it, or name another") from None
    if len(content) > MAX_BYTES:
        raise SecretFileError(f"{path} is larger than {MAX_BYTES} bytes; a secret is not: was another file meant?")
    try:
        return content.decode().strip()
    except UnicodeDecodeError:
        raise SecretFileError(f"{path} is not UTF-8 text: was another file meant?") from None


def readable_by_all(path: Path) -> bool:
    """Whether every user of the machine may read it."""
    return path.is_file() and bool(path.stat().st_mode & stat.S_IROTH)


def refuse_open_to_writers(path: Path, mode: int) -> None:
    """Refuses a secret that other users can write: a key ring of theirs would seal the next secrets."""
    if not stat.S_ISREG(mode):
        return
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SecretFileError(
            f"{path} can be written by others ({stat.filemode(mode)}): `chmod go-w` it, and look at it"
        )
    folder = path.resolve().parent.stat().st_mode
    if folder & stat.S_IWOTH and not folder & stat.S_ISVTX:
        raise SecretFileError(f"{path} can be replaced by anybody: `chmod o-w` its folder ({stat.filemode(folder)})")


def _read_inside(root: Path, path: Path) -> str:
    real = path.resolve()
    if not real.is_relative_to(root):
        raise SecretFileError(f"{path} is a link out of the directory; put the file itself there")
    return read_secret_file(real)
