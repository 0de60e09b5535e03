"""Every benchmark of docs/performance.md, one after the other: `make bench`, within 20 minutes on two cores."""

import asyncio
import signal
import sys
import time

from bench.results import arguments

# The seconds that each may take, more than it needs on a quiet machine; 20 minutes in all. Then it is ended.
LIMITS = {
    "create": 160,
    "tail": 60,
    "kept": 150,
    "cost": 70,
    "statements": 20,
    "latency": 95,
    "overhead": 70,
    "webhooks": 125,
    "growth": 200,
    "startup": 110,
    "soak": 140,
}

END_SECONDS = 20


async def run(name: str, *options: str) -> str:
    """How it went, in a word."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", f"bench.{name}", *options)
    try:
        async with asyncio.timeout(LIMITS[name]):
            return "fine" if await process.wait() == 0 else "NOT as wanted"
    except TimeoutError:
        # As Ctrl-C does, so that it ends what it has started; a SIGTERM would leave that behind.
        process.send_signal(signal.SIGINT)
        try:
            await asyncio.wait_for(process.wait(), END_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
        return f"not done after {LIMITS[name]} s"


async def main() -> None:
    given = arguments(__doc__)
    options = ("--results", str(given.folder), *(("--short",) if given.short else ()))
    ends: dict[str, str] = {}
    for name in LIMITS:
        began = time.monotonic()
        print(f"== {name}", flush=True)
        ends[name] = await run(name, *options)
        print(f"== {name}: {ends[name]}, {time.monotonic() - began:.0f} s\n", flush=True)
    if any(end != "fine" for end in ends.values()):
        raise SystemExit(", ".join(f"{name}: {end}" for name, end in ends.items()))


if __name__ == "__main__":
    asyncio.run(main())
