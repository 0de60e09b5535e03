"""PostgreSQL by figures: creates and webhooks per second by replicas, claims and payments in a large database.

`make bench-postgres` runs it. Nothing is pinned: load, gateway, shops, Dargahs and PostgreSQL share the cores.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import uvloop

from bench import postgres_creates, postgres_growth, postgres_webhooks
from bench.results import FOLDER, about
from tests.torture.replicas_server import durable_server

WANTED = {"claim_ms": 2.0, "claim": 1.3, "life": 1.2}
Rounds = postgres_creates.Rounds | postgres_webhooks.Rounds
Figures = dict[str, Any]


async def rates(only: Sequence[str], rounds: int) -> Figures:
    figures: Figures = {}
    async with durable_server("max_connections=200", "shared_buffers=512MB") as server:
        for name, measure in (("creates", postgres_creates.measure), ("webhooks", postgres_webhooks.measure)):
            if not only or name in only:
                done = await measure(server, rounds)
                show(name, done)
                figures[name] = [asdict(each) for each in done]
    return figures


def show(what: str, done: Sequence[Rounds]) -> None:
    floor = done[0]
    print(f"{what}: {len(floor.rates)} rounds in turns; medians")
    print(f"{'':16} {'per s':>8} {'of the first':>13} {'CPU us, Dargah':>15} {'PostgreSQL':>11}")
    for each in done:
        share = statistics.median(mine / first for mine, first in zip(each.rates, floor.rates, strict=True))
        rate, dargah, postgresql = map(statistics.median, (each.rates, each.dargah_us, each.postgresql_us))
        print(f"{each.name:16} {rate:8.0f} {share:13.2f} {dargah:15.0f} {postgresql:11.0f}")
    print(flush=True)


async def growth(*, short: bool) -> tuple[Figures, bool]:
    small, large = await postgres_growth.measure(short=short)
    for each in (small, large):
        print(f"{each.payments:,} payments and {each.waiting:,} deliveries that wait: {each.megabytes:,} MB, "
              f"filled in {each.fill_seconds:.0f} s")  # fmt: skip
    life = _table("a payment's own steps, ms", small.lives, large.lives)
    claim = _table("a claim until its commit, ms", small.claims, large.claims)
    whole = sum(life["large"].values()) / sum(life["small"].values())
    one = next(iter(claim["large"]))
    longest, ratio = claim["large"][one], max(claim["large"][name] / claim["small"][name] for name in claim["large"])
    print(f"a payment's whole life, large to small: {whole:.2f} (wanted: {WANTED['life']})")
    print(f"a claim of an endpoint's deliveries beside {large.waiting:,}: {longest:.2f} ms "
          f"(wanted: {WANTED['claim_ms']}), large to small {ratio:.2f} (wanted: {WANTED['claim']})\n")  # fmt: skip
    fine = whole <= WANTED["life"] and longest <= WANTED["claim_ms"] and ratio <= WANTED["claim"]
    sizes = [{"payments": each.payments, "waiting": each.waiting, "mb": each.megabytes} for each in (small, large)]
    return {"sizes": sizes, "life": life, "claim": claim, "life_ratio": whole}, fine


def _table(title: str, *taken: postgres_growth.Taken) -> Figures:
    small, large = map(postgres_growth.medians, taken)
    print(f"{title:32} {'small':>8} {'large':>8} {'ratio':>6}")
    for name, median in small.items():
        print(f"{name:32} {median:8.2f} {large[name]:8.2f} {large[name] / median:6.2f}")
    return {"small": small, "large": large}


async def main(only: Sequence[str], rounds: int, *, short: bool) -> None:
    began = time.perf_counter()
    before = about()
    print(f"{before['machine']}, Python {before['python']}, load average {before['load_average']} before\n")
    figures, fine = {"about": before, **await rates(only, rounds)}, True
    if not only or "growth" in only:
        figures["growth"], fine = await growth(short=short)
    keep("postgres" if not only else "postgres_" + "_".join(only), figures)
    print(f"{time.perf_counter() - began:.0f} s")
    if not fine:
        raise SystemExit("below what is wanted")


def keep(name: str, figures: Figures) -> None:
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", choices=["creates", "webhooks", "growth", []])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--short", action="store_true", help="the large database is a twentieth as large")
    given = parser.parse_args()
    uvloop.run(main(given.only, given.rounds, short=given.short))
