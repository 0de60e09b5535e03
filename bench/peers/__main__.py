"""Dargah beside what a shop would take instead: a gateway library on Django, and queues that send webhooks.

`make bench-peers` installs those into .venv/peers, locked by their hashes; redis-server is Debian's. What is missing is
said, and not measured.
"""

import asyncio
import tempfile
from dataclasses import asdict
from pathlib import Path

import uvloop

from bench.peers import payments, webhooks
from bench.peers.programs import lacking
from bench.processes import share_cores
from bench.results import Result, Run, Table, arguments, publish


async def main(run: Run) -> None:
    missing = lacking()
    for what in missing.values():
        print(f"NOT RUN: {what}")
    if "peers" in missing:
        return
    pay, send = (payments.SHORT, webhooks.SHORT) if run.short else (payments.Counts(), webhooks.Counts())
    core = share_cores().server
    quiet = asyncio.Event()

    async def webhooks_then(folder: Path) -> list[Table]:
        await quiet.wait()
        return await webhooks.measure(folder, core, send, with_redis="redis" not in missing)

    with tempfile.TemporaryDirectory() as folder:
        async with asyncio.TaskGroup() as group:
            paid = group.create_task(payments.measure(Path(folder), core, pay, quiet))
            sent = group.create_task(webhooks_then(Path(folder)))
    tables = [*paid.result(), *sent.result()]
    publish(Result("peers", {"payments": asdict(pay), "webhooks": asdict(send)}, tables), run)


if __name__ == "__main__":
    uvloop.run(main(arguments(__doc__)))
