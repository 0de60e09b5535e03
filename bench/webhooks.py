"""Webhooks beside a bad neighbour: from the customer's return until the webhook's first byte, at a constant rate.

One Dargah, several merchants. In each turn one payment in five is of a merchant with a bad endpoint, and the others'
webhooks are timed, beside a turn in which all are good. Then many merchants' payments come back at a high rate, and one
of their endpoints does not answer. The server has core 0 to itself.
"""

import asyncio
import json
import statistics
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

import uvloop

from bench.load import Pool, closed, paced
from bench.processes import cpu_seconds, share_cores
from bench.results import Cell, Result, Run, Table, Target, arguments, percentile, publish
from bench.shops import RETURN_URL, Shop, answered, come_back, creates, dargah, gateway, listening, must_be, set_up
from proxy.demo.stage import free_port

NONE: Final = "none"
DEAD: Final = "hang"
GOOD_MERCHANTS: Final = 4
CONNECTIONS: Final = 32
OK: Final = b"HTTP/1.1 204 No Content\r\n\r\n"
HUGE: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 10_000_000


@dataclass(frozen=True, slots=True)
class Counts:
    per_second: int = 100
    seconds: float = 6.0
    rounds: int = 3
    warm_up: int = 300
    endpoints: int = 50
    spread_per_second: int = 500


SHORT: Final = Counts(per_second=40, seconds=0.5, rounds=1, warm_up=10, endpoints=4, spread_per_second=40)


@dataclass(frozen=True, slots=True)
class Turn:
    """Milliseconds until the good merchants' webhooks, from the return and from the event, in order; CPU a payment."""

    taken_ms: list[float]
    after_ms: list[float]
    cpu_us: float


async def hang(_writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def drip(writer: asyncio.StreamWriter) -> None:
    for byte in OK:
        writer.write(bytes([byte]))
        await asyncio.sleep(1.0)


async def huge(writer: asyncio.StreamWriter) -> None:
    writer.write(HUGE)
    await writer.drain()


BAD: Final[Mapping[str, Callable[[asyncio.StreamWriter], Awaitable[None]]]] = {
    "hang": hang, "drip": drip, "huge": huge,
}  # fmt: skip


@asynccontextmanager
async def bad_endpoints() -> AsyncIterator[dict[str, int]]:
    """A port of each kind; nobody listens at that of `refuse`."""
    running: set[asyncio.Task[None]] = set()

    async def serve(kind: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            await BAD[kind](writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # Dargah has closed the connection, or the benchmark is over
        finally:
            running.discard(task)
            writer.close()

    async with AsyncExitStack() as stack:
        ports = {"refuse": free_port()}
        for kind in BAD:
            server = await asyncio.start_server(partial(serve, kind), "127.0.0.1", 0)
            stack.callback(server.close)
            ports[kind] = server.sockets[0].getsockname()[1]
        yield ports
        for task in tuple(running):
            task.cancel()


async def turn(url: str, pid: int, tokens: Sequence[str], shop: Shop, count: int, per_second: float) -> Turn:
    """So many payments, of one merchant after the other, return at that rate. The last one's may be a bad endpoint."""
    bodies: list[bytes] = []
    make = creates(*tokens, return_url=RETURN_URL)
    answered(await closed(url, make, count, CONNECTIONS, 201, bodies.append), "Dargah")
    # Answers come in any order, but a payment's id begins with its merchant's.
    payments = sorted((made["id"], come_back(made["pay_url"])) for made in map(json.loads, bodies))
    shop.forget()
    pool, dues = await Pool.open(url), dict[str, float]()

    async def customer(number: int, due: float) -> None:
        payment_id, request = payments[number * 7919 % count]  # any order in which merchants alternate
        dues[payment_id] = due
        status, _ = await pool.ask(request)
        must_be(status, 303)

    spent = cpu_seconds([pid])
    await paced(count, per_second, customer)
    good = count - count // len(tokens)
    await shop.wait_for(good)
    await asyncio.sleep(0.2)
    spent = cpu_seconds([pid]) - spent
    pool.close()
    taken = sorted((at - dues[payment_id]) * 1000 for payment_id, at in shop.payments.items() if payment_id in dues)
    after = sorted(after_ms for payment_id, after_ms in shop.after_ms.items() if payment_id in dues)
    return Turn(taken, after, spent / count * 1e6)


async def spread(counts: Counts) -> list[Turn]:
    """As many merchants as endpoints, of which the last one's does not answer."""
    cores, shop = share_cores(), Shop()
    count = round(counts.spread_per_second * counts.seconds)
    count -= count % counts.endpoints
    with tempfile.TemporaryDirectory() as folder:
        async with listening(shop) as port, bad_endpoints() as bad, gateway(cores.rest) as asked:
            allowed = {"DARGAH_WEBHOOK_ALLOW": f"127.0.0.1:{port},127.0.0.1:{bad[DEAD]}"}
            async with dargah(Path(folder), asked.url, cores.server, settings=allowed) as (stage, server):
                ports = [port] * (counts.endpoints - 1) + [bad[DEAD]]
                tokens = await asyncio.gather(*(set_up(stage, asked.url, each) for each in ports))
                rate = counts.spread_per_second
                turns = [
                    await turn(server.url, server.pid, tokens, shop, count, rate) for _ in range(counts.rounds + 1)
                ]
    return turns[1:]


async def measure(counts: Counts) -> dict[str, list[Turn]]:
    cores, shop = share_cores(), Shop()
    count = round(counts.per_second * counts.seconds)
    count -= count % (GOOD_MERCHANTS + 1)
    turns: dict[str, list[Turn]] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with listening(shop) as port, bad_endpoints() as bad, gateway(cores.rest) as asked:
            allowed = {"DARGAH_WEBHOOK_ALLOW": ",".join(f"127.0.0.1:{each}" for each in (port, *bad.values()))}
            async with dargah(Path(folder), asked.url, cores.server, settings=allowed) as (stage, server):
                ports = [port] * (GOOD_MERCHANTS + 1) + list(bad.values())
                made = await asyncio.gather(*(set_up(stage, asked.url, each) for each in ports))
                good, last = made[:GOOD_MERCHANTS], dict(zip((NONE, *bad), made[GOOD_MERCHANTS:], strict=True))
                for number in range(counts.rounds + 1):
                    for kind, token in last.items():
                        if number or kind == NONE:
                            done = await turn(server.url, server.pid, [*good, token], shop, count, counts.per_second)
                            turns.setdefault(kind, []).append(done)
                turns[NONE].pop(0)
    return turns


def result(counts: Counts, turns: dict[str, list[Turn]], many: list[Turn]) -> Result:
    rows: list[Sequence[Cell]] = []
    worst = 0.0
    for kind, taken in turns.items():
        p50, p99 = _medians([each.taken_ms for each in taken])
        pairs = zip(taken, turns[NONE], strict=True)
        ratio = statistics.median(percentile(a.taken_ms, 0.99) / percentile(b.taken_ms, 0.99) for a, b in pairs)
        worst = max(worst, ratio)
        rows.append((kind, p50, p99, ratio, statistics.median(each.cpu_us for each in taken)))
    title = (
        f"ms from a customer's return until the good merchants' webhooks, {counts.per_second} payments a second, a"
        f" fifth of them of the bad neighbour; medians of {counts.rounds} turns of {counts.seconds:g} s"
    )
    table = Table(title, ("bad neighbour", "p50", "p99", "p99, of none", "CPU µs"), rows)
    target = Target("p99 beside the worst neighbour, in times of that beside none", worst, 1.5, False)
    waits = {
        "the return": _medians([each.taken_ms for each in many]),
        "the event": _medians([each.after_ms for each in many]),
    }
    title = (
        f"ms until the first byte of a webhook, {counts.spread_per_second} payments a second over {counts.endpoints}"
        " endpoints, of which one does not answer; an event's time is just before its commit"
    )
    beside = Table(title, ("from", "p50", "p99"), [(what, *both) for what, both in waits.items()])
    soon = Target("p99 from the event over all endpoints, ms", waits["the event"][1], 10.0, False)
    raw = {kind: [asdict(each) for each in taken] for kind, taken in (turns | {"many": many}).items()}
    return Result("webhooks", asdict(counts), [table, beside], [target, soon], raw)


def _medians(turns: Sequence[Sequence[float]]) -> tuple[float, float]:
    """The turns' median p50 and p99, of figures in order."""
    p50, p99 = (statistics.median(percentile(ms, at) for ms in turns) for at in (0.50, 0.99))
    return p50, p99


async def main(run: Run) -> None:
    counts = SHORT if run.short else Counts()
    publish(result(counts, await measure(counts), await spread(counts)), run)


if __name__ == "__main__":
    uvloop.run(main(arguments(__doc__)))
