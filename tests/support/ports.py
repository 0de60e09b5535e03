"""Loopback ports for what tests start as processes, which bind them later than they are chosen."""

import fcntl
import random
import socket
import tempfile
from contextlib import suppress
from functools import cache
from os import getuid
from pathlib import Path
from typing import IO, Final

# Below the range of outgoing connections.
_PORTS: Final = range(10_000, 30_000)
_TAKEN: Final[set[int]] = set()


@cache
def _reservations() -> IO[bytes]:
    """A file of this machine, whose byte N a process locks while port N is its own: until it ends, however it does."""
    return Path(tempfile.gettempdir(), f"dargah-ports-{getuid()}").open("ab")


def free_port(count: int = 1) -> int:
    """The first of `count` ports in a row where nothing listens. No other call gets one of them while this process
    lives, of any test run on this machine: also not while the server there is down between two starts.
    """
    while True:
        first = random.choice(_PORTS)
        ports = range(first, first + count)
        if not _TAKEN.intersection(ports):
            with suppress(OSError):
                for port in ports:
                    _reserve(port)
                return first


def _reserve(port: int) -> None:
    """Raises OSError where it is another's."""
    fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    _TAKEN.add(port)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
