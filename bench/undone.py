"""A Dargah with one of its ideas undone, as the benchmarks start it, and the proof that it was."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from bench.postgres_dargahs import open_shops, settings_of
from bench.processes import child, pin
from bench.shops import Server
from bench.undos import UNDOS

ANY_PORT: Final = "127.0.0.1:0"


@asynccontextmanager
async def undone(undo: str, database: Path, gateway_url: str, core: int, creates: int) -> AsyncIterator[Server]:
    """`dargah serve` with that undone ("" for nothing) on a new file, which at least so many creates will come to."""
    [token] = await open_shops(database, gateway_url, 1)
    uses = database.with_suffix(".uses")
    launcher = ("bench.without", undo, str(uses)) if undo else ("proxy",)
    # The system gives the ports: one that was free a moment ago may be that of a call to the gateway by now.
    own = {"DARGAH_ADMIN_LISTEN": ANY_PORT, "DARGAH_UNREADY_SECONDS": "0", "PYTHONUNBUFFERED": "1"}
    async with child(None, "-m", *launcher, "serve", env=settings_of(database, ANY_PORT) | own) as process:
        pin(process.pid, core)
        yield Server(undo or "Dargah", process.url, process.pid, token)
    if undo:
        check_uses(undo, int(uses.read_text()), creates)


def check_uses(undo: str, uses: int, creates: int) -> None:
    """Ends the benchmark when what was put in the idea's place was not used."""
    wanted = creates if UNDOS[undo].each else 1
    if uses < wanted:
        raise SystemExit(f"without {undo}: used {uses} times and not {wanted}: not a measurement")
