"""Every benchmark of docs/performance.md, one after the other: `make bench`, within 20 minutes on two cores."""

import asyncio
import signal
import sys
import time

from bench.results import arguments

# The seconds that each may take, a fifth more than it needs on a quiet machine, where all of them take less than 20
# minutes. One that is not done by then is ended.
LIMITS = {
    "create": 170,
    "tail": 75,
    "kept": 170,
    "cost": 70,
    "statements": 25,
    "latency": 95,
    "overhead": 70,
    "webhooks": 150,
    "growth": 220,
    "startup": 90,
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
