"""The arithmetic of docs/scaling.md, by what a whole payment costs: run it after `python -m bench.whole_payments`.

What it assumes of shops and gateways stands in the names below; a run of your own begins by changing them.
"""

import json
import math
from pathlib import Path
from typing import Any

from proxy.clock import DAY, SECOND
from proxy.watch import FROM_LINK

RATES = (100, 1_000, 10_000)
ABANDONED = 0.3  # of the links, nobody pays and nobody comes back
GATEWAY_SECONDS = 0.3  # a call's answer
BUSY = 0.6  # of a core, so that a process has room for a peak and for another one's end
CONNECTIONS = 8 + 1  # of a process: DARGAH_DATABASE_CONNECTIONS and the one for hints
KEPT_WITH_EVENTS = ("events", "deliveries", "attempts")  # retention removes these

DAY_SECONDS = DAY // SECOND


def row(rate: int, cost: dict[str, Any]) -> list[str]:
    paid = rate * (1 - ABANDONED)
    checks = paid + rate * ABANDONED * len(FROM_LINK)
    calls = rate + checks
    cores = rate * cost["cpu_us"] / 1e6
    processes = max(2, math.ceil(cores / BUSY))
    watches = rate * ABANDONED * FROM_LINK[-1] / SECOND
    for_ever = sum(size for name, size in cost["bytes_of"].items() if name not in KEPT_WITH_EVENTS)
    return [
        f"{rate:,}",
        f"{rate * sum(cost['rows'].values()) * DAY_SECONDS / 1e6:,.0f}",
        f"{rate * cost['bytes'] * DAY_SECONDS / 1e9:,.0f}",
        f"{rate * for_ever * DAY_SECONDS / 1e9:,.0f}",
        f"{rate * cost['wal'] / 1e6:,.1f}",
        f"{calls:,.0f}",
        f"{calls * GATEWAY_SECONDS:,.0f}",
        f"{watches / 1e6:,.1f}",
        f"{cores:,.1f}",
        f"{processes}",
        f"{processes * CONNECTIONS:,}",
    ]


HEADS = (
    "payments/s", "million rows/day", "GB/day", "of them kept for ever", "WAL MB/s", "gateway calls/s",
    "calls in flight", "million open watches", "cores of Dargah", "processes", "connections",
)  # fmt: skip


def main() -> None:
    costs = json.loads(Path("bench/results/whole_payments.json").read_text())
    for name, cost in costs.items():
        if cost["wal"] is None:
            continue  # a file has one process: there is nothing to scale
        print(f"{name}: {cost['cpu_us']:.0f} us, {cost['bytes']:.0f} bytes, {sum(cost['rows'].values()):.0f} rows\n")
        print(f"| {' | '.join(HEADS)} |")
        print(f"|{' --- |' * len(HEADS)}")
        for rate in RATES:
            print(f"| {' | '.join(row(rate, cost))} |")
        print()


if __name__ == "__main__":
    main()
