"""The process under test: the engine over a new store, or the bare client loop. One JSON line in, one out."""

import asyncio
import gc
import json
import sys
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from bench.webhooks_bare import post_all
from bench.webhooks_stock import Stock, refused, stock
from proxy.adapters.connector import BoundedResolver
from proxy.payment import Payment

Order = dict[str, Any]


async def limit(order: Order) -> Order:
    """`number` deliveries that wait in the store are sent; how long it took, from the start to the last record."""
    with tempfile.TemporaryDirectory() as folder:
        async with stock(Path(folder), order["urls"]) as made:
            await made.events(order["number"])
            settle_memory()
            began, cpu = time.perf_counter(), time.process_time()
            made.engine.start()
            await made.drained()
            return {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}


async def bare(order: Order) -> Order:
    return await post_all(order["urls"], order["number"], order["connections"], settle_memory)


async def rate(order: Order) -> Order:
    """Payments at a constant rate, each of which has an event: when each was about to be stored, and answered.

    Counted from before the commit, so that what the figures say of it is rather too much.
    """
    inner = aiohttp.AsyncResolver(nameservers=["127.0.0.1"], udp_port=order["dns"])
    with tempfile.TemporaryDirectory() as folder:
        async with stock(
            Path(folder),
            order["urls"],
            timed=True,
            attempt_seconds=order["attempt_seconds"],
            resolver=BoundedResolver(inner=inner),
        ) as made:
            payments = await made.payments(int(order["per_second"] * order["seconds"]))
            settle_memory()
            cpu = time.process_time()
            made.engine.start()
            began = await pay(made, payments, order["per_second"])
            await asyncio.sleep(order["linger_seconds"])
            return {"began": began, "answered": made.timed.answered, "cpu_seconds": time.process_time() - cpu}


async def pay(made: Stock, payments: list[Payment], per_second: float) -> list[tuple[str, float]]:
    began: list[tuple[str, float]] = []

    async def one(payment: Payment) -> None:
        change = refused(payment)
        began.append((change.events[0].id, time.monotonic()))
        await made.store.transition(change)
        made.engine.wake()

    start, loop = time.monotonic(), asyncio.get_running_loop()
    running = set()
    for payment, number in zip(payments, count()):
        await asyncio.sleep(max(0.0, start + number / per_second - time.monotonic()))
        task = loop.create_task(one(payment))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    return began


def settle_memory() -> None:
    """As `app.run` does: what lives until the end need not be looked at by every collection."""
    gc.collect()
    gc.freeze()


async def main() -> None:
    loop = asyncio.get_running_loop()
    print(json.dumps({}), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        done = await {"limit": limit, "bare": bare, "rate": rate}[order["do"]](order)
        print(json.dumps(done), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
