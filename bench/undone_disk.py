"""Undone: what makes a commit last. Not ideas that are kept: what they cost a create is asked. Benchmarks only."""

from bench.undo import Used, replace
from proxy.adapters.sqlite import connection


def sync(used: Used) -> None:
    """A commit is told to nobody but the operating system: a power cut would take it back."""
    _set("synchronous", "OFF", used)


def copying(used: Used) -> None:
    """The WAL is never copied back into the database."""
    _set("wal_autocheckpoint", "0", used)


def _set(pragma: str, value: str, used: Used) -> None:
    pragmas = connection._PRAGMAS  # noqa: SLF001  what each connection is set up with
    [mine] = (number for number, text in enumerate(pragmas) if text.startswith(f"PRAGMA {pragma} "))
    replace(connection, "_PRAGMAS", (*pragmas[:mine], f"PRAGMA {pragma} = {value}", *pragmas[mine + 1 :]))
    used()
