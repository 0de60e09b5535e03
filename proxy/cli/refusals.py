"""How `dargah` ends when a command cannot do its work: one sentence on standard error, and an exit code.

0: it is done. 1: it ran and the answer is no, or it met a bug of ours, whose trace is shown. 2: wrong use, or a place
(a setting, a port, a file, a database) that cannot be used.
"""

import errno
import os
import re
import sys
import traceback
from collections.abc import Mapping
from typing import Any, Final

import click

from proxy.cli.output import Refused
from proxy.kernel.errors import StartRefused, StoreUnavailable, VaultError

# What libraries say where Python would raise MemoryError.
_NO_MEMORY: Final = re.compile(r"can't start new thread|[Cc]annot allocate memory|failed to map segment|out of memory")
_NOT_TEXT: Final = "what was read, from a file or standard input, is not UTF-8 text: save it as that"
_NOT_ALLOWED: Final = "this process (uid {uid}) may not use it: `chown` or `chmod` it, or name another"
_OF_SYSTEM: Final[Mapping[int, str]] = {
    errno.ENOENT: "there is no such file or folder: make it, or name another",
    errno.ENOTDIR: "a part of its path is no folder: name another",
    errno.EISDIR: "it is a folder: name a file",
    errno.EACCES: _NOT_ALLOWED,
    errno.EPERM: _NOT_ALLOWED,
    errno.EROFS: "the file system is read-only: mount it for writing, or name another place",
    errno.ENOSPC: "there is no room left on the disk: free some, then run it again",
    errno.EDQUOT: "the quota of uid {uid} is used up: free some of it, then run it again",
    errno.EMFILE: "this process may not open more files: raise its limit (`ulimit -n`)",
    errno.ENFILE: "this machine may not open more files: raise fs.file-max (`sysctl`)",
    errno.ENAMETOOLONG: "the name is too long: name another",
}


class Bug(click.ClickException):
    """An error that Dargah does not know; its trace was shown before."""

    exit_code = 1

    def __init__(self) -> None:
        super().__init__(
            "this is a bug of Dargah: please report it, with the lines above and what `dargah --version` says, as an "
            "issue where you got Dargah from"
        )


class CommandGroup(click.Group):
    """The root command: no error of any command leaves it but as a sentence."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().main(*arguments, **options)
        except Exception as error:  # noqa: BLE001  the last place of all: each ends in a sentence
            sentence = _NOT_TEXT if isinstance(error, UnicodeDecodeError) else refusal_of(error)
            if sentence is None:
                traceback.print_exception(error)
            ending = Bug() if sentence is None else Refused(sentence)
            ending.show()
            raise SystemExit(ending.exit_code) from None


def log_end(error: Exception) -> None:
    """Logs why `dargah serve` serves nothing. A terminal, which shows the sentence anyway, gets only a bug's trace.

    Raises Bug where the trace is logged.
    """
    import structlog  # noqa: PLC0415  only this command logs

    from proxy.observability import logs  # noqa: PLC0415  the same

    if not structlog.is_configured():  # the settings that say how are what is wrong, or were not read yet
        logs.configure("info", "console" if os.environ.get("DARGAH_LOG_FORMAT", "").lower() == "console" else "json")
    why, log = refusal_of(error), structlog.get_logger()
    if why is None:
        log.critical("ended_by_bug", error=type(error).__name__, exc_info=error)
        raise Bug from None
    if not sys.stderr.isatty():
        log.error("start_refused", why=why)


def refusal_of(error: BaseException) -> str | None:
    """The sentence to print instead of a trace; None for a bug of ours."""
    if isinstance(error, StartRefused | VaultError):
        return str(error)
    if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
        from proxy.http.connection_limits import reported_limit  # noqa: PLC0415  30 ms that `--help` does without

        return f"there is not enough memory to go on: {reported_limit()}"
    if isinstance(error, StoreUnavailable):
        return f"the database cannot be used just now ({error.__cause__ or 'it did not answer in time'}): start again"
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("proxy"):
        return f"the library {error.name} is not in this Python: install Dargah with all that it needs"
    if isinstance(error, OSError) and error.strerror:
        return _of_system(error)
    return None


def _of_system(error: OSError) -> str:
    subject = "the operating system says" if error.filename is None else os.fspath(error.filename)
    remedy = _OF_SYSTEM.get(error.errno or 0, error.strerror or "it failed").format(uid=os.geteuid())
    return f"{subject}: {remedy}"
