"""The end of a campaign of processes: it comes to rest, and then all that anybody was told is judged.

First checks through the API, then the poller and the delivery alone. The watch and the retries of webhooks are planned
over hours, so the last Dargah runs in this process, on the same database, with a clock that jumps to what is due
whenever nothing is under way. Then the last readings, the judge's verdict on the whole history, and what was logged.
A part of the machines' campaign also tells how long each recovery took.
"""

import asyncio
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg
import click
import orjson
import uvloop
from support.clock import OffsetClock
from support.dargah import settings

from proxy.app import Dargah, Outside, running
from proxy.kernel.clock import HOUR, SECOND, rfc3339, system_now
from proxy.observability import logs

from ..history import judge_file
from .load import Load, Shown
from .stage import CHECK_TIMEOUT_SECONDS, LATE_SECONDS, REQUEST_TIMEOUT_SECONDS, Stage, Storefront

CHECKS_AT_ONCE: Final = 32
CHECK_TRIES: Final = 100
REST_SECONDS: Final = 300
# The watch of an unpaid payment goes on for three days; what was paid is found by its first points.
HORIZON: Final = 2 * HOUR
LEAST_JUMP: Final = 30 * SECOND


async def late_money_has_landed(stage: Stage) -> None:
    """Waits until the bank has taken all the money that customers gave it."""
    async with asyncio.timeout(LATE_SECONDS * 4):
        while any(one["capture_due_at"] is not None for one in await ledger(stage)):  # noqa: ASYNC110  a process's
            await asyncio.sleep(0.2)


async def ledger(stage: Stage) -> list[dict[str, object]]:
    """Every invoice at the gateway."""
    invoices: list[dict[str, object]] = []
    after: int | None = 0
    while after is not None:
        _, page = await stage.control("GET", f"/invoices?after={after}&limit=10000")
        invoices += page["invoices"]
        after = page["next"]
    return invoices


async def check_by_api(load: Load, payments: Iterable[Shown]) -> None:
    """The storefronts ask for a check of each that is not left alone, until each is answered."""
    turns = asyncio.Semaphore(CHECKS_AT_ONCE)

    async def check(shown: Shown) -> None:
        async with turns:
            for _ in range(CHECK_TRIES):
                status, document = await load.api(shown.storefront, "POST", f"/v1/payments/{shown.id}/check")
                if status == 200 and (document["check"]["outcome"] != "unknown" or _waits(document["check"])):
                    return
                await asyncio.sleep(0.1)
            load.violations.append(f"the check of {shown.id} found no answer: {status} {document}")

    await asyncio.gather(*(check(shown) for shown in payments if shown.id not in load.left_alone))


def _waits(check: dict[str, Any]) -> bool:
    """Whether a call is under way, as far as is known: of one that was killed the poller finds it, after its lease."""
    return check["reason"] in {"under_way", "order_busy"}


async def come_to_rest(stage: Stage, load: Load) -> int:
    """The last Dargah, which nobody asks for anything: what is still open is the poller's and the delivery's.

    Gives when it began; what became paid after that, the poller found alone.
    """
    began = system_now()
    clock = OffsetClock()
    made = settings(
        stage.folder,
        request_timeout_seconds=REQUEST_TIMEOUT_SECONDS,
        check_timeout_seconds=CHECK_TIMEOUT_SECONDS,
        gateway_calls_per_terminal=64,
        webhook_allow=stage.allowed,
    )
    async with running(made, Outside(now=clock)) as dargah, asyncio.timeout(REST_SECONDS):
        while True:
            due_at = await _idle_until(dargah, clock)
            if due_at is None:
                break
            clock.offset += max(due_at - clock(), LEAST_JUMP)
            dargah.poller.tasks.on_room()
            dargah.delivery.tasks.on_room()
        load.counts["minutes jumped over"] = clock.offset // (60 * SECOND)
    return began


async def _idle_until(dargah: Dargah, clock: OffsetClock) -> int | None:
    """When nothing is under way: the time of the next work, or None when none is left before the horizon."""
    store = dargah.services.store
    while True:
        watch_at, delivery_at = await store.payments.next_check_at(), await store.webhooks.next_delivery_at()
        # A claimed watch is "due" at the end of its lease, so what runs must have ended before that is believed.
        running_now = len(dargah.poller.tasks) + len(dargah.delivery.tasks)
        planned = [at for at in (watch_at, delivery_at) if at is not None]
        if not running_now and all(at > clock() for at in planned):
            if delivery_at is None and clock.offset > HORIZON:
                return None
            return min(planned, default=None)
        await asyncio.sleep(0.05)


# What a broken promise means for the money; the others mean other things.
MEANS: Final = {
    "what was acknowledged is there": "lost",
    "captured is paid or in review": "lost",
    "what was paid is kept or gone back": "lost",
    "nothing is wrongly kept": "wrongly kept",
    "an order is paid once": "wrongly paid",
    "paid is captured": "wrongly paid",
    "paid is final": "wrongly paid",
    "every outcome is an event": "webhooks missing",
    "sequences have no gap": "gaps in sequences",
    "every event is taken by every endpoint": "webhooks missing",
}
Rows = list[dict[str, Any]]


def meaning(what: str) -> set[str]:
    """The judge's promises that mean that when they are broken."""
    return {promise for promise, means in MEANS.items() if means == what}


@dataclass(slots=True)
class Findings:
    """`violations` must be empty; the counts are the report."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report; of very many violations only the first are shown."""
        counts = [f"  {name}: {count:,}" for name, count in sorted(self.counts.items())]
        return counts + [f"  VIOLATION {violation[:400]}" for violation in self.violations[:20]]

    def broken(self, count: str, text: str) -> None:
        self.counts[count] += 1
        self.violations.append(text)


async def audit(stage: Stage, load: Load, alone_since: int) -> Findings:
    """Takes the last readings, and lets the judge compare everything with everything. Dargah must be up and at rest.

    `alone_since` is from when nobody but the poller asked the gateway.
    """
    findings = Findings(Counter({"lost": 0, "wrongly paid": 0, "wrongly kept": 0, "webhooks missing": 0}))
    findings.violations += load.violations
    stage.history.note("rest")
    for invoice in await ledger(stage):
        stage.history.note("invoice", **invoice)
    payments: Rows = []
    for storefront in stage.storefronts:
        payments += await _pages(load, storefront, "/v1/payments")
        await _pages(load, storefront, "/v1/events")
        await _read_retried(load, storefront)
    findings.counts["paid by the poller alone"] = sum(
        payment["paid_at"] is not None and payment["updated_at"] >= rfc3339(alone_since) for payment in payments
    )
    stage.history.close()
    verdict = judge_file(stage.history.path)
    findings.counts.update(verdict.counts)
    for broken in verdict.broken:
        findings.broken(MEANS.get(broken.promise, "other promises"), str(broken))
    for receiver in stage.receivers:
        findings.violations += receiver.violations
    _read_log(stage.process.log, findings)
    return findings


async def _pages(load: Load, storefront: Storefront, path: str) -> Rows:
    rows: Rows = []
    cursor = ""
    while True:
        status, page = await load.api(storefront, "GET", f"{path}?limit=100{cursor}")
        assert status == 200, page
        rows += page["data"]
        if page["next_cursor"] is None:
            return rows
        cursor = f"&cursor={page['next_cursor']}"


async def _read_retried(load: Load, storefront: Storefront) -> None:
    """The deliveries that took more than one attempt, each with its attempts."""
    status, endpoints = await load.api(storefront, "GET", "/v1/webhook-endpoints")
    assert status == 200, endpoints
    for endpoint in endpoints["data"]:
        for delivery in await _pages(load, storefront, f"/v1/webhook-endpoints/{endpoint['id']}/deliveries"):
            if delivery["attempts"] != 1:
                await load.api(storefront, "GET", f"/v1/deliveries/{delivery['id']}")


def _read_log(log: Path, findings: Findings) -> None:
    """A killed process must not have left errors that nobody foresaw; a line cut by the kill is no JSON."""
    for line in log.read_bytes().splitlines():
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        name = entry.get("event", "?")
        findings.counts[f"logged {name}"] += 1
        if name == "request_failed":
            findings.violations.append(f"logged: {entry}")


_PAID_WITHOUT_CHECK = """
SELECT id FROM payments AS p WHERE status = 'paid' AND NOT EXISTS (
    SELECT 1 FROM timeline AS t WHERE t.merchant_id = p.merchant_id AND t.payment_id = p.id
    AND t.kind IN ('gateway.check', 'gateway.confirm', 'gateway.settle')
)
"""
_MANY_ATTEMPTS = """
SELECT d.id, d.attempts, count(a.number) FROM deliveries AS d
LEFT JOIN attempts AS a ON a.merchant_id = d.merchant_id AND a.delivery_id = d.id
GROUP BY d.merchant_id, d.id, d.attempts HAVING d.attempts <> count(a.number)
"""


async def audit_rows(url: str, findings: Findings) -> None:
    """Of PostgreSQL: each paid payment with its check, each attempt that was counted with its row."""
    connection = await asyncpg.connect(url)
    try:
        for (payment_id,) in await connection.fetch(_PAID_WITHOUT_CHECK):
            findings.broken("wrongly paid", f"{payment_id} is paid and no check says so")
        for delivery_id, counted, rows in await connection.fetch(_MANY_ATTEMPTS):
            findings.violations.append(f"{delivery_id} counts {counted} attempts and has {rows}")
        findings.counts["attempts of which nothing was heard"] = await connection.fetchval(
            "SELECT count(*) FROM attempts WHERE outcome = 'unknown'"
        )
    finally:
        await connection.close()


ASK_SECONDS: Final = 0.1
PATIENCE_SECONDS: Final = 90.0
# Answers that a key keeps. One whose create got no clear answer is closed by a clock that then jumps past its expiry.
FOR_GOOD: Final = ("gateway_refused", "payment_closed")


def run(name: str, seed: int, campaign: Callable[[Path], Coroutine[Any, Any, Findings]]) -> None:
    """A campaign as a command, in a folder of its own. Prints what it found; exit code 1 when a promise was broken."""
    logs.configure("warning", "json")
    click.echo(f"{name}: seed {seed}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dargah-torture-") as folder:
        findings = uvloop.run(campaign(Path(folder)))
    click.echo("\n".join(findings.lines()))
    click.echo(f"{name}: {len(findings.violations)} violations in {time.monotonic() - began:.0f} s, seed {seed}")
    raise SystemExit(1 if findings.violations else 0)


@dataclass(slots=True)
class Told:
    """`recoveries` are seconds by what broke; `findings` must have no violation."""

    findings: Findings = field(default_factory=Findings)
    recoveries: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


async def recovered(url: str, session: aiohttp.ClientSession, since: float) -> float:
    """Seconds from `since`, on the steady clock, until that Dargah writes: its readiness is a commit.

    Raises TimeoutError when it does not.
    """
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        return time.monotonic() - since
            await asyncio.sleep(ASK_SECONDS)


async def first_create(load: Load, since: float) -> float:
    """Seconds from `since` until a storefront's create is answered with a pay link.

    Raises TimeoutError when none is.
    """
    storefront, refused = load.stage.storefronts[0], 0
    answers: Counter[str] = Counter()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                name = f"first-after-{since}-{refused}"
                order = {"amount": 150_000, "currency": "IRR", "order_id": name}
                status, document = await load.api(storefront, "POST", "/v1/payments", order, name)
                if status == 201:
                    return time.monotonic() - since
                answers[f"{status} {document.get('code', '')} {name}"] += 1
                refused += document.get("code") in FOR_GOOD
                await asyncio.sleep(ASK_SECONDS)
    except TimeoutError:
        raise TimeoutError(f"no create was answered: {dict(answers)}") from None
