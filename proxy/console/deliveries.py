"""Endpoints and what became of their webhooks: health, deliveries, attempts, and sending again."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web

from proxy.clock import DAY, HOUR
from proxy.console.jobs import Ended, Goes, Job, Shows, Work
from proxy.console.payment import looks_of
from proxy.console.visit import Visit
from proxy.delivery_records import DeliveryFilter, EventSpan, Requeued
from proxy.errors import invalid
from proxy.ids import merchant_of_id
from proxy.merchant import Endpoint, Merchant
from proxy.records import Attempt
from proxy.webhook import DeliveryStatus

PAGE: Final = 25
MERCHANTS: Final = 50
REFRESH_SECONDS: Final = 2
MAX_LOOKS: Final = 30
MAX_BATCHES: Final = 2000
"""Of 500 deliveries each: a million in one wish."""
_MOST_DIGITS: Final = 9
_HOURS: Final = {"1": HOUR, "24": DAY, "72": 3 * DAY, "168": 7 * DAY, "720": 30 * DAY}


async def list_endpoints(visit: Visit) -> web.StreamResponse:
    """Every endpoint with how it is doing, a page of merchants at a time."""
    after = visit.request.query.get("after", "")
    if visit.token is not None:
        merchants, following = [await visit.services.directory.merchant(visit.token.merchant_id)], None
    else:
        merchants = await visit.services.store.list_merchants(after, MERCHANTS + 1)
        following = merchants[MERCHANTS - 1].id if len(merchants) > MERCHANTS else None
    rows = [
        (merchant, endpoint, await visit.services.redelivery.stats(merchant.id, endpoint.id))
        for merchant in merchants[:MERCHANTS]
        for endpoint in await visit.services.store.list_endpoints(merchant.id)
    ]
    return visit.page("endpoints.html", rows=rows, following=following, now=visit.services.now())


async def show_endpoint(visit: Visit) -> web.StreamResponse:
    endpoint = await visit.endpoint()
    status, after = visit.request.query.get("status", ""), visit.request.query.get("after", "")
    wanted = DeliveryFilter(
        DeliveryStatus(status) if status in set(DeliveryStatus) else None,
        after if merchant_of_id(after) == endpoint.merchant_id else None,
        PAGE + 1,
    )
    found = await visit.services.store.list_endpoint_deliveries(endpoint.merchant_id, endpoint.id, wanted)
    return visit.page(
        "endpoint.html",
        endpoint=endpoint,
        merchant=await _merchant(visit, endpoint),
        stats=await visit.services.redelivery.stats(endpoint.merchant_id, endpoint.id),
        deliveries=found[:PAGE],
        following=found[PAGE - 1].id if len(found) > PAGE else None,
        wanted=wanted.status,
        now=visit.services.now(),
    )


async def show_delivery(visit: Visit) -> web.StreamResponse:
    """A delivery with every attempt; one that was just asked for again is looked at until its answer is there."""
    delivery_id = visit.request.match_info["delivery_id"]
    merchant_id = visit.merchant_of(delivery_id, "delivery")
    store = visit.services.store
    delivery, attempts = await store.delivery_log(merchant_id, delivery_id)
    event = await store.event(merchant_id, delivery.event_id)
    endpoints = {endpoint.id: endpoint for endpoint in await store.list_endpoints(merchant_id)}
    asked_after = _attempt_of(visit.request.query.get("before", ""))
    answer = None if asked_after is None else _answered_since(attempts, asked_after)
    waiting = asked_after is not None and answer is None and delivery.status is DeliveryStatus.PENDING
    looks = looks_of(visit)
    return visit.page(
        "delivery.html",
        refresh=REFRESH_SECONDS if waiting and looks <= MAX_LOOKS else None,
        looks=looks,
        before=asked_after,
        waiting=waiting,
        answer=answer,
        delivery=delivery,
        attempts=list(reversed(attempts)),
        event=event,
        endpoint=endpoints.get(delivery.endpoint_id),
        now=visit.services.now(),
    )


async def retry_delivery(visit: Visit) -> web.StreamResponse:
    """Due now; its page then waits for the answer."""
    delivery_id = visit.request.match_info["delivery_id"]
    merchant_id = visit.merchant_of(delivery_id, "delivery")
    _, attempts = await visit.services.store.delivery_log(merchant_id, delivery_id)
    await visit.services.tasks.run(visit.services.redelivery.retry(merchant_id, delivery_id))
    await visit.note("delivery.retry", {"delivery_id": delivery_id})
    before = max((attempt.number for attempt in attempts), default=0)
    return visit.go(f"/deliveries/{delivery_id}?before={before}&looks=1")


async def recover(visit: Visit) -> web.StreamResponse:
    """Sends again what did not get through since a time."""
    endpoint, since = await visit.endpoint(), _since(visit)

    def batch(after: str | None) -> Awaitable[Requeued]:
        return visit.services.redelivery.recover(endpoint.merchant_id, endpoint.id, since, after)

    await visit.note("endpoint.recover", {"endpoint_id": endpoint.id, "since": since})
    work = _in_batches(endpoint.id, batch)
    return await visit.work("فرستادن دوبارهٔ آنچه نرسیده", "Sending again what did not arrive", work)


async def replay(visit: Visit) -> web.StreamResponse:
    """Sends every event since a time, whether it was delivered or not."""
    endpoint, since = await visit.endpoint(), _since(visit)
    span = EventSpan(since, visit.services.now(), frozenset())

    def batch(after: str | None) -> Awaitable[Requeued]:
        return visit.services.redelivery.replay(endpoint.merchant_id, endpoint.id, span, after)

    await visit.note("endpoint.replay", {"endpoint_id": endpoint.id, "since": since})
    return await visit.work("فرستادن دوبارهٔ همه", "Sending everything again", _in_batches(endpoint.id, batch))


def _in_batches(endpoint_id: str, batch: Callable[[str | None], Awaitable[Requeued]]) -> Work:
    """The work that sends one batch after the other again, at most MAX_BATCHES of them."""

    async def work(job: Job) -> Ended:
        after: str | None = None
        for _ in range(MAX_BATCHES):
            done = await batch(after)
            job.count += done.count
            if (after := done.reached) is None:
                break
        return Goes(f"/endpoints/{endpoint_id}?said=resent&count={job.count}")

    return work


async def ping(visit: Visit) -> web.StreamResponse:
    """Sends a signed ping now, and shows what the receiver answered."""
    endpoint = await visit.endpoint()

    async def work(_job: Job) -> Ended:
        event_id, answer = await visit.services.trial.ping(endpoint)
        return Shows("ping.html", {"endpoint": endpoint, "event_id": event_id, "answer": answer})

    return await visit.work("فرستادن پیام آزمایشی", "Sending a ping", work)


def _attempt_of(text: str) -> int | None:
    """The number of an attempt; None for what is none."""
    return int(text) if len(text) <= _MOST_DIGITS and text.isascii() and text.isdigit() else None


def _answered_since(attempts: Sequence[Attempt], before: int) -> Attempt | None:
    """The newest one that has ended: one that is on its way is among them already, without an outcome."""
    ended = (each for each in reversed(attempts) if each.number > before and each.outcome != "unknown")
    return next(ended, None)


async def _merchant(visit: Visit, endpoint: Endpoint) -> Merchant:
    return await visit.services.directory.merchant(endpoint.merchant_id)


def _since(visit: Visit) -> int:
    hours = visit.form.get("hours", "")
    if hours not in _HOURS:
        raise invalid("hours", "not_a_choice", "must be one of the choices", "باید یکی از گزینه‌ها باشد")
    return visit.services.now() - _HOURS[hours]
