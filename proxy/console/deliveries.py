"""Endpoints and the results of their webhooks: health, deliveries, attempts, and redelivery."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from aiohttp import web

from proxy.api.responses import first_page
from proxy.console.bulk_resend import begin, choose, undelivered_since
from proxy.console.jobs import Ended, Job, JobPage, JobRedirect, Work
from proxy.console.page_context import PageContext
from proxy.console.trouble_list import RESEND_SPANS
from proxy.http.parsing import plain_number
from proxy.kernel.errors import invalid
from proxy.kernel.ids import merchant_of_id
from proxy.merchants.merchant import Merchant
from proxy.webhooks.delivery import Attempt, Delivery, DeliveryFilter
from proxy.webhooks.endpoint import MOST_IN_FLIGHT, Endpoint, EndpointState
from proxy.webhooks.event import EventSpan
from proxy.webhooks.retry_policy import DeliveryStatus
from proxy.webhooks.storage.redelivery import RedeliveryBatch

PAGE: Final = 25
MERCHANTS: Final = 50
UNKNOWN: Final = "unknown"
REFRESH_SECONDS: Final = 2
MAX_LOOKS: Final = 30
MAX_BATCHES: Final = 2000
"""Of 500 deliveries each: a million in one wish."""


async def list_endpoints(context: PageContext) -> web.StreamResponse:
    """Every endpoint with how it is doing, a page of merchants at a time; with `archived=1` those of archived ones."""
    archived = context.request.query.get("archived") == "1"
    after = context.request.query.get("after", "")
    if context.token is not None:
        found = [await context.services.merchant_cache.merchant(context.token.merchant_id)]
    else:
        found = await context.services.store.merchants.list_merchants(after, MERCHANTS + 1, archived=archived)
    merchants, following = first_page(found, MERCHANTS)
    rows = [
        (merchant, endpoint, await context.services.redelivery.stats(merchant.id, endpoint.id))
        for merchant in merchants
        for endpoint in await context.access.endpoints(merchant.id)
    ]
    return context.page("endpoints.html", rows=rows, following=following, archived=archived, now=context.services.now())


async def show_endpoint(context: PageContext) -> web.StreamResponse:
    endpoint = await context.endpoint()
    status, after = context.request.query.get("status", ""), context.request.query.get("after", "")
    wanted = DeliveryFilter(
        DeliveryStatus(status) if status in set(DeliveryStatus) else None,
        after if merchant_of_id(after) == endpoint.merchant_id else None,
        PAGE + 1,
    )
    found = await context.services.store.webhooks.list_endpoint_deliveries(endpoint.merchant_id, endpoint.id, wanted)
    deliveries, following = first_page(found, PAGE)
    return context.page(
        "endpoint.html",
        endpoint=endpoint,
        merchant=await _merchant(context, endpoint),
        stats=await context.services.redelivery.stats(endpoint.merchant_id, endpoint.id),
        deliveries=[each for each in deliveries if context.access.sees_delivery(each)],
        following=following,
        wanted=wanted.status,
        most=MOST_IN_FLIGHT,
        now=context.services.now(),
    )


async def show_delivery(context: PageContext) -> web.StreamResponse:
    """A delivery with every attempt; the page of a requested one reloads until its answer is there, and says what it
    waits for.
    """
    delivery, attempts = await context.delivery_log()
    event = await context.access.event(delivery.event_id)
    endpoints = {endpoint.id: endpoint for endpoint in await context.access.endpoints(delivery.merchant_id)}
    asked_after = plain_number(context.request.query.get("before"))
    answer = None if asked_after is None else _newest_answer(attempts, asked_after)
    waiting = asked_after is not None and answer is None and delivery.status is DeliveryStatus.PENDING
    looks = context.looks
    return context.page(
        "delivery.html",
        refresh=REFRESH_SECONDS if waiting and looks <= MAX_LOOKS else None,
        looks=looks,
        before=asked_after,
        waiting=waiting,
        under_way=attempts[-1] if attempts and attempts[-1].outcome == UNKNOWN else None,
        others=await _others(context, delivery) if waiting else 0,
        answer=answer,
        delivery=delivery,
        attempts=list(reversed(attempts)),
        event=event,
        endpoint=endpoints.get(delivery.endpoint_id),
        now=context.services.now(),
    )


async def retry_delivery(context: PageContext) -> web.StreamResponse:
    """Sent now; its page then waits for the answer. An endpoint that is off gets nothing, and the page says so.

    `seen` is how many attempts the form's page showed: a second click of it finds the first one's attempt.
    """
    found, _ = await context.delivery_log()
    endpoint = await context.services.store.webhooks.endpoint(found.merchant_id, found.endpoint_id)
    if endpoint.state is not EndpointState.ENABLED:
        return context.go(f"/deliveries/{found.id}?refused=off")
    seen = plain_number(context.form.get("seen"))
    retrying = context.services.redelivery.retry(found.merchant_id, found.id, seen)
    delivery = await context.services.tasks.run(retrying, found.merchant_id)
    if seen is None or delivery.attempts <= seen:
        await context.note("delivery.retry", {"delivery_id": delivery.id})
    before = delivery.attempts if seen is None else min(seen, delivery.attempts)
    return context.go(f"/deliveries/{delivery.id}?before={before}&looks=1")


async def recover(context: PageContext) -> web.StreamResponse:
    """Begins a resend of what did not arrive there since a time; where nothing may go, the page that says why."""
    endpoint = await context.endpoint()
    chosen = await choose(context, replace(undelivered_since(context), endpoints=(endpoint.id,)))
    if not chosen.rows:
        return context.go(f"/resend?endpoint={endpoint.id}&hours={context.form['hours']}")
    return await begin(context, chosen)


async def replay(context: PageContext) -> web.StreamResponse:
    """Sends every event since a time, whether it was delivered or not."""
    endpoint, since = await context.endpoint(), _since(context)
    span = EventSpan(since, context.services.now(), frozenset())

    def batch(after: str | None) -> Awaitable[RedeliveryBatch]:
        return context.services.redelivery.replay(endpoint.merchant_id, endpoint.id, span, after)

    await context.note("endpoint.replay", {"endpoint_id": endpoint.id, "since": since})
    return await context.work("فرستادن دوبارهٔ همه", "Sending everything again", _in_batches(endpoint.id, batch))


def _in_batches(endpoint_id: str, batch: Callable[[str | None], Awaitable[RedeliveryBatch]]) -> Work:
    """The work that sends one batch after the other again, at most MAX_BATCHES of them."""

    async def work(job: Job) -> Ended:
        after: str | None = None
        for _ in range(MAX_BATCHES):
            done = await batch(after)
            job.count += done.count
            if (after := done.reached) is None:
                break
        return JobRedirect(f"/endpoints/{endpoint_id}?said=resent&count={job.count}")

    return work


async def ping(context: PageContext) -> web.StreamResponse:
    """Sends a signed ping now, and shows the receiver's answer."""
    endpoint = await context.endpoint()

    async def work(_job: Job) -> Ended:
        event_id, answer = await context.services.event_tester.ping(endpoint)
        return JobPage("ping.html", {"endpoint": endpoint, "event_id": event_id, "answer": answer})

    return await context.work("فرستادن پیام آزمایشی", "Sending a ping", work)


def _newest_answer(attempts: Sequence[Attempt], before: int) -> Attempt | None:
    """The newest one that has ended: one that is on its way is among them already, without an outcome."""
    ended = (each for each in reversed(attempts) if each.number > before and each.outcome != UNKNOWN)
    return next(ended, None)


async def _others(context: PageContext, delivery: Delivery) -> int:
    """How many requests are under way to its endpoint."""
    stats = await context.services.redelivery.stats(delivery.merchant_id, delivery.endpoint_id)
    return stats.endpoint.in_flight


async def _merchant(context: PageContext, endpoint: Endpoint) -> Merchant:
    return await context.services.merchant_cache.merchant(endpoint.merchant_id)


def _since(context: PageContext) -> int:
    hours = context.form.get("hours", "")
    if hours not in RESEND_SPANS:
        raise invalid("hours", "not_a_choice", "must be one of the choices", "باید یکی از گزینه‌ها باشد")
    return context.services.now() - RESEND_SPANS[hours]
