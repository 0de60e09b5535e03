"""What processes have used of the processors. Benchmarks only."""

import os
from collections.abc import Iterable
from pathlib import Path


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time so far of those processes that are still there."""
    return sum(_ticks(pid) for pid in pids) / os.sysconf("SC_CLK_TCK")


def with_children(pid: int) -> float:
    """The same of a process and of those that it has started, also those that have ended."""
    started = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return cpu_seconds([pid, *started]) + _ticks(pid, 13) / os.sysconf("SC_CLK_TCK")


def _ticks(pid: int, at: int = 11) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0
    return int(fields[at]) + int(fields[at + 1])
