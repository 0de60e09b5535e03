"""Enqueues webhooks as a shop's server does: `python -m bench.peers.foreign.produce QUEUE`.

It reads lines, each of them an event's name or `PREFIX COUNT` for so many, and answers each with the time of
`time.monotonic()` at which it began to enqueue.
"""

import asyncio
import sys
import time
from importlib import import_module


async def main(queue: str) -> None:
    enqueue = import_module(f"bench.peers.foreign.tasks_{queue}").enqueue
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        prefix, _, count = line.strip().partition(" ")
        began = time.monotonic()
        await enqueue([f"{prefix}-{number}" for number in range(int(count))] if count else [prefix])
        print(began, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
