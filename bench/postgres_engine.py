"""One replica's delivery engine over PostgreSQL, as `app.py` wires it: it sends what waits. Benchmarks only."""

import asyncio
import json
import os
import random
import sys
import time
from typing import Any

import uvloop

from bench.postgres_dargahs import KEYS
from bench.webhooks_sender import settle_memory
from proxy.adapters import postgresql
from proxy.adapters.guard import Guard
from proxy.adapters.sender import HttpSender
from proxy.adapters.vault import KeyRing, RingVault
from proxy.clock import SECOND
from proxy.delivery import Delivery
from proxy.directory import Directory
from proxy.ids import Ids
from proxy.loops import Repeater, Rhythm
from proxy.telemetry import logs

RHYTHM = Rhythm(longest_idle=1 * SECOND, shortest_idle=20)  # as proxy.storage has it for replicas


async def send_all(url: str) -> dict[str, Any]:
    """Sends until nothing is due or on its way, here or elsewhere; when that was, and what it cost this process."""
    store = await postgresql.open_store(url)
    sender = HttpSender(Guard(development=True))
    directory = Directory(store, RingVault(KeyRing.parse(KEYS), os.urandom), store.now)
    delivery = Delivery(store, directory, sender, Ids(os.urandom), store.now, lambda: random.uniform(-1, 1))
    engine = Repeater("deliver", delivery.step, store.now, RHYTHM)
    delivery.tasks.on_room = engine.wake
    settle_memory()
    began, cpu = time.perf_counter(), time.process_time()
    engine.start()
    while len(delivery.tasks) or await store.next_delivery_at() is not None:  # noqa: ASYNC110  an event would cost more
        await asyncio.sleep(0.02)
    done = {"began": began, "ended": time.perf_counter(), "cpu_seconds": time.process_time() - cpu}
    await engine.stop()
    await sender.close()
    await store.close()
    return done


async def main() -> None:
    logs.configure("warning", "json")
    loop = asyncio.get_running_loop()
    print(json.dumps({}), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await send_all(json.loads(line)["url"])), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
