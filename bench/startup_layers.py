"""What the memory of a `dargah serve` is made of: what a process takes that loads the same, one after the other."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Each comes on top of those above it.
LAYERS: Final[Mapping[str, tuple[str, ...]]] = {
    "Python itself": (),
    "aiohttp, uvloop, the resolver, TLS with the system's authorities": ("uvloop", "aiohttp.web"),
    "pydantic, with the settings": ("pydantic_settings",),
    "cryptography, which has an OpenSSL of its own": ("cryptography.hazmat.primitives.ciphers.aead",),
    "SQLite, orjson, structlog, click": ("aiosqlite", "orjson", "structlog", "click"),
    "Dargah's modules": ("proxy.cli.serve", "proxy.process"),
}
# It imports nothing else before it has looked. What `dargah serve` keeps from structlog is kept here too.
_SCRIPT: Final = """
import sys
def taken():
    with open("/proc/self/statm") as file:
        return file.read()
found = []
sys.modules["rich"] = sys.modules["greenlet"] = None
for names in sys.argv[1:]:
    for name in filter(None, names.split(",")):
        __import__(name)
    found.append(taken())
import json
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True)
class Resident:
    """Megabytes (10^6 bytes) that a process has in memory, and those among them that are files' pages.

    These are machine code and constants: processes share them, and the kernel takes them back when it needs room.
    """

    mb: float
    files_mb: float


async def layers(env: Mapping[str, str]) -> dict[str, Resident]:
    """What a process has after each of LAYERS."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _SCRIPT, *map(",".join, LAYERS.values())),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **env},
    )
    said, _ = await process.communicate()
    if process.returncode != 0:
        raise SystemExit("the layers of memory cannot be told: not a measurement")
    return {name: _resident(statm) for name, statm in zip(LAYERS, json.loads(said), strict=True)}


def resident(pid: int) -> Resident:
    """What a process has just now."""
    return _resident(Path(f"/proc/{pid}/statm").read_text())


def _resident(statm: str) -> Resident:
    page_mb = os.sysconf("SC_PAGE_SIZE") / 1e6
    _, pages, files_pages, *_ = map(int, statm.split())
    return Resident(pages * page_mb, files_pages * page_mb)
