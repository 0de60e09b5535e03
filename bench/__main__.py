"""Every benchmark of docs/performance.md, one after the other: `make bench`, within 20 minutes on two cores."""

import signal
import subprocess
import sys
import time
from contextlib import suppress

from bench.results import arguments

# The seconds that each may take, more than it needs on a quiet machine; 20 minutes in all. Then it is ended.
LIMITS = {
    "create": 160,
    "webhooks": 125,
    "growth": 200,
    "soak": 140,
}

END_SECONDS = 20


def run(name: str, *options: str) -> str:
    """How it went, in a word."""
    process = subprocess.Popen([sys.executable, "-m", f"bench.{name}", *options])
    try:
        return "fine" if process.wait(LIMITS[name]) == 0 else "NOT as wanted"
    except subprocess.TimeoutExpired:
        # As Ctrl-C does, so that it ends what it has started; a SIGTERM would leave that behind.
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        return f"not done after {LIMITS[name]} s"
    finally:
        process.kill()
        process.wait()


def main() -> None:
    given = arguments(__doc__)
    options = ("--results", str(given.folder), *(("--short",) if given.short else ()))
    ends: dict[str, str] = {}
    for name in LIMITS:
        began = time.monotonic()
        print(f"== {name}", flush=True)
        ends[name] = run(name, *options)
        print(f"== {name}: {ends[name]}, {time.monotonic() - began:.0f} s\n", flush=True)
    if any(end != "fine" for end in ends.values()):
        raise SystemExit(", ".join(f"{name}: {end}" for name, end in ends.items()))


if __name__ == "__main__":
    main()
