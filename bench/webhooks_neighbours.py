"""Webhooks' latency, bad neighbours, and claims beside a backlog.

`make bench-webhooks` runs it after `bench.webhooks`. The engine has core 0 to itself; the receivers and this process
share the other one.
"""

import argparse
import asyncio
import json
import os
import platform
import socket
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from bench import webhooks_claims
from bench.webhooks_child import Child, stop_all

MERCHANTS = 50
LATENCY_RATE, LATENCY_SECONDS = 100, 20
NEIGHBOUR_RATE, NEIGHBOUR_SECONDS = 100, 8
# The engine's own is 20 s; with it, each run would have to be as long.
ATTEMPT_SECONDS = 4.0
NEIGHBOURS = ("hang", "refuse", "dead name", "drip", "huge", "bomb")
RESULTS = Path("bench/results")
WANTED = {"p50_ms": 15.0, "p99_ms": 60.0, "neighbour": 1.2, "claim": 1.3}

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Beside:
    """How long each payment of the 49 took until its answer, in order, and what the engine's process spent."""

    taken_ms: list[float]
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Bench:
    """The processes, and the benchmarks over them; each returns its figures and whether they are as wanted."""

    engine: Child
    bare: Child
    shops: Child
    bad: dict[str, Child]
    rounds: int

    async def latency(self) -> tuple[Figures, bool]:
        urls = [f"http://127.0.0.1:{port}/hook" for port in self.shops.ready["ports"]]
        run = await self._rate(self.engine, urls, LATENCY_RATE, LATENCY_SECONDS, 1.0)
        first_byte = (await self.shops.ask())["first_byte"]
        taken = sorted((first_byte[event] - began) * 1000 for event, began in run["began"])
        p50, p99 = percentile(taken, 0.50), percentile(taken, 0.99)
        print(
            f"1. From before the commit to the receiver's first byte, {LATENCY_RATE} payments/s, {len(taken)} of them"
        )
        print(f"p50 {p50:.1f} ms (wanted: {WANTED['p50_ms']:.0f}), p99 {p99:.1f} ms (wanted: {WANTED['p99_ms']:.0f}), "
              f"longest {taken[-1]:.1f} ms\n")  # fmt: skip
        figures = {"p50_ms": p50, "p99_ms": p99, "longest_ms": taken[-1]}
        return figures, p50 <= WANTED["p50_ms"] and p99 <= WANTED["p99_ms"]

    async def neighbours(self) -> tuple[Figures, bool]:
        """Two engines run at the same time on the one core, only one of which has the bad merchant: what else the
        machine does at that moment falls on both."""
        pairs: dict[str, list[tuple[Beside, Beside]]] = {name: [] for name in NEIGHBOURS}
        for number in range(self.rounds):
            first, second = (self.engine, self.bare) if number % 2 == 0 else (self.bare, self.engine)
            for name, taken in pairs.items():
                taken.append(await asyncio.gather(self._beside(first, "none"), self._beside(second, name)))
        print(f"2. One of {MERCHANTS} merchants is bad, beside an engine that has none at the same time; each "
              f"{NEIGHBOUR_RATE} payments/s, {self.rounds} rounds of {NEIGHBOUR_SECONDS} s, attempts of "
              f"{ATTEMPT_SECONDS:.0f} s")  # fmt: skip
        print("from before the commit to the answer at the other 49, in milliseconds; medians of the rounds")
        print(f"{'':12} {'p50':>8} {'none':>8} {'p99':>8} {'none':>8} {'p99 ratio':>10} {'CPU ratio':>10}")
        figures: Figures = {}
        for name, rounds in pairs.items():
            row = {
                f"{whose}{share}_ms": statistics.median(percentile(each[at].taken_ms, share / 100) for each in rounds)
                for share in (50, 99)
                for whose, at in (("p", 1), ("none_p", 0))
            }
            ratios = [percentile(bad.taken_ms, 0.99) / percentile(none.taken_ms, 0.99) for none, bad in rounds]
            row["ratio"] = statistics.median(ratios)
            row["cpu_ratio"] = statistics.median(bad.cpu_seconds / none.cpu_seconds for none, bad in rounds)
            figures[name] = row | {"ratios": ratios}
            print(f"{name:12} {row['p50_ms']:8.1f} {row['none_p50_ms']:8.1f} {row['p99_ms']:8.1f} "
                  f"{row['none_p99_ms']:8.1f} {row['ratio']:10.2f} {row['cpu_ratio']:10.2f}")  # fmt: skip
        print(f"(p99 ratio wanted: {WANTED['neighbour']})\n")
        return figures, all(figures[name]["ratio"] <= WANTED["neighbour"] for name in NEIGHBOURS)

    async def _beside(self, engine: Child, name: str) -> "Beside":
        urls = [f"http://m{number}.shops.test:{port}/hook" for number, port in enumerate(self.shops.ready["ports"])]
        if name == "refuse":
            urls[0] = f"http://bad.shops.test:{closed_port()}/hook"
        elif name == "dead name":
            urls[0] = f"http://dead.shops.test:{self.shops.ready['ports'][0]}/hook"
        elif name in self.bad:
            urls[0] = f"http://bad.shops.test:{self.bad[name].ready['ports'][0]}/hook"
        run = await self._rate(engine, urls, NEIGHBOUR_RATE, NEIGHBOUR_SECONDS, 2.0)
        answered = run["answered"]
        others = [pair for number, pair in enumerate(run["began"]) if number % MERCHANTS]
        missing = sum(event not in answered for event, _ in others)
        if missing:
            raise SystemExit(f"{name}: {missing} of the others had no answer: not a measurement")
        return Beside(sorted((answered[event] - began) * 1000 for event, began in others), run["cpu_seconds"])

    async def _rate(
        self, engine: Child, urls: list[str], per_second: int, seconds: int, linger_seconds: float
    ) -> Figures:
        return await engine.ask(
            do="rate",
            urls=urls,
            per_second=per_second,
            seconds=seconds,
            attempt_seconds=ATTEMPT_SECONDS,
            linger_seconds=linger_seconds,
            dns=self.shops.ready["dns"],
        )

    async def claims(self) -> tuple[Figures, bool]:
        figures, plans = await webhooks_claims.measure()
        least, *others = figures.values()
        ratio = max(each["cpu_us"] for each in others) / least["cpu_us"]
        print(f"3. A claim of {webhooks_claims.LIMIT} beside deliveries that wait for {webhooks_claims.DEAD} dead "
              f"endpoints, {webhooks_claims.ROUNDS} in turns; medians, in microseconds")  # fmt: skip
        print(f"{'waiting':>10} {'CPU':>8} {'time':>8} {'p90 time':>10}")
        for waiting, each in figures.items():
            print(f"{waiting:10} {each['cpu_us']:8.0f} {each['wall_us']:8.0f} {each['p90_wall_us']:10.0f}")
        print(f"the longest to that of {min(figures)}: {ratio:.2f} (wanted: {WANTED['claim']})")
        for name, plan in plans.items():
            print(f"  {name}: {'; '.join(plan)}")
        by_index = not any(line.startswith("SCAN") or "TEMP" in line for plan in plans.values() for line in plan)
        print(f"by index only: {'yes' if by_index else 'NO'}\n")
        return {"ratio": ratio, "claims": figures, "plans": plans}, ratio <= WANTED["claim"] and by_index


def percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def main(only: list[str], rounds: int) -> None:
    cores = sorted(os.sched_getaffinity(0))
    mine, other = cores[0], cores[-1]
    os.sched_setaffinity(0, {other})
    children: list[Child] = []

    async def child(core: int, *arguments: str) -> Child:
        children.append(await Child.start(core, *arguments))
        return children[-1]

    print(f"Python {platform.python_version()}, {os.cpu_count()} cores")
    failed = []
    try:
        shops = await child(other, "bench.webhooks_receiver", "good", "--count", str(MERCHANTS), "--timed")
        bad = {name: await child(other, "bench.webhooks_receiver", name) for name in ("hang", "drip", "huge", "bomb")}
        engine, bare = [await child(mine, "bench.webhooks_sender") for _ in range(2)]
        bench = Bench(engine, bare, shops, bad, rounds)
        for name, run in {
            "latency": bench.latency, "neighbours": bench.neighbours, "claims": bench.claims
        }.items():  # fmt: skip
            if only and name not in only:
                continue
            figures, fine = await run()
            (RESULTS / f"webhooks_{name}.json").write_text(json.dumps(figures, indent=1))
            if not fine:
                failed.append(name)
    finally:
        await stop_all(children)
    if failed:
        raise SystemExit(f"below what is wanted: {', '.join(failed)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", choices=["latency", "neighbours", "claims", []])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    uvloop.run(main(given.only, given.rounds))
