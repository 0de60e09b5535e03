"""The end of a campaign: the last readings, the judge's verdict on the whole history, and what was logged.

A part of the machines' campaign also tells how long each recovery took.
"""

import asyncio
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import click
import orjson
import uvloop

from proxy.kernel.clock import rfc3339
from proxy.observability import logs

from ..history import judge_file
from .load import Load
from .rest import ledger
from .stage import Stage, Storefront

# What a broken promise means for the money; the others mean other things.
MEANS: Final = {
    "what was acknowledged is there": "lost",
    "captured is paid or in review": "lost",
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
    findings = Findings(Counter({"lost": 0, "wrongly paid": 0, "webhooks missing": 0}))
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


ASK_SECONDS: Final = 0.1
PATIENCE_SECONDS: Final = 90.0


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
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            name = f"first-after-{since}-{refused}"
            order = {"amount": 150_000, "currency": "IRR", "order_id": name}
            status, document = await load.api(storefront, "POST", "/v1/payments", order, name)
            if status == 201:
                return time.monotonic() - since
            refused += document.get("code") == "gateway_refused"  # for good, under that key
            await asyncio.sleep(ASK_SECONDS)
