"""How the SIGKILL campaign comes to rest: checks through the API, then the poller and the delivery alone.

The watch and the retries of webhooks are planned over hours, so the last Dargah runs in this process, on the same
database, with a clock that jumps to what is due whenever nothing is under way.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from support.clock import OffsetClock
from support.dargah import settings

from proxy.app import Dargah, Outside, running
from proxy.kernel.clock import HOUR, SECOND, system_now

from .load import Load, Shown
from .stage import CHECK_TIMEOUT_SECONDS, LATE_SECONDS, REQUEST_TIMEOUT_SECONDS, Stage

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
                if status == 200 and document["check"]["outcome"] != "unknown":
                    return
                await asyncio.sleep(0.1)
            load.violations.append(f"the check of {shown.id} found no answer: {status} {document}")

    await asyncio.gather(*(check(shown) for shown in payments if shown.id not in load.left_alone))


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
