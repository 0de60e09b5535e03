"""Webhooks in the merchant's API: `/v1/webhook-endpoints`, `/v1/deliveries` and `/v1/events`."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, cast

from aiohttp import web

from proxy.api.auth import access_of, authorize, delivery_of_path, endpoint_of_path
from proxy.api.responses import Scope as CursorScope
from proxy.api.responses import first_page, json_answer, page_answer, read_cursor, read_number, write_cursor
from proxy.api.services import SERVICES, Services
from proxy.api.v1.objects import (
    answer_object,
    attempt_object,
    delivery_object,
    endpoint_object,
    endpoint_objects,
    event_object,
    stats_object,
)
from proxy.api.v1.schemas import (
    LATEST,
    ChangeEndpoint,
    CreateEndpoint,
    DeliveryQuery,
    EventQuery,
    RecoverDeliveries,
    ReplayDeliveries,
    RotateSecret,
    Trigger,
)
from proxy.http.headers import SECURITY_HEADERS
from proxy.http.parsing import query_of, read_body, read_object, read_optional_object, validated
from proxy.kernel.errors import invalid
from proxy.kernel.frozen import dataclass
from proxy.merchants.merchant import Mode, Scope, Token
from proxy.stores.store import Store
from proxy.webhooks.delivery import DeliveryFilter
from proxy.webhooks.endpoint_setup import EndpointChanges
from proxy.webhooks.event import EventFilter, EventSpan, StoredEvent
from proxy.webhooks.storage.redelivery import RedeliveryBatch


async def create_endpoint(request: web.Request) -> web.Response:
    """201 with the endpoint and its secret, which no other answer shows."""
    token = await authorize(request, Scope.WEBHOOKS)
    body = validated(CreateEndpoint, await read_object(request))
    require_own(token, body.mode, body.storefront)
    adding = request.app[SERVICES].endpoints.add_endpoint(
        token.merchant_id,
        body.url,
        mode=token.mode,
        storefront=token.storefront,
        event_types=body.event_types,
        description=body.description,
        headers=body.headers,
        signatures=body.signatures,
        max_in_flight=body.max_in_flight,
        actor=_actor(token),
    )
    endpoint, secret = await request.app[SERVICES].tasks.run(adding, token.merchant_id)
    shown = await endpoint_object(request.app[SERVICES].endpoints, endpoint)
    return json_answer(shown | {"secret": secret}, 201)


async def list_endpoints(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.WEBHOOKS)
    services = request.app[SERVICES]
    endpoints = await access_of(request, token).endpoints(token.merchant_id)
    return page_answer(request, await endpoint_objects(services.endpoints, endpoints), None)


async def get_endpoint(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.WEBHOOKS)
    endpoint = await endpoint_of_path(request, access_of(request, token))
    return json_answer(await endpoint_object(request.app[SERVICES].endpoints, endpoint))


async def change_endpoint(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.WEBHOOKS)
    services, endpoint_id = request.app[SERVICES], (await endpoint_of_path(request, access_of(request, token))).id
    body = validated(ChangeEndpoint, await read_object(request))
    if "storefront" in body.model_fields_set:
        require_own(token, None, body.storefront or "")
    changes = cast("EndpointChanges", {name: getattr(body, name) for name in body.model_fields_set})
    changing = services.endpoints.change_endpoint(token.merchant_id, endpoint_id, actor=_actor(token), **changes)
    changed = await services.tasks.run(changing, token.merchant_id)
    return json_answer(await endpoint_object(services.endpoints, changed))


async def rotate_secret(request: web.Request) -> web.Response:
    """The endpoint with its new secret, which no other answer shows."""
    token = await authorize(request, Scope.WEBHOOKS)
    services, endpoint_id = request.app[SERVICES], (await endpoint_of_path(request, access_of(request, token))).id
    body = validated(RotateSecret, await read_optional_object(request))
    rotating = services.endpoints.rotate_secret(
        token.merchant_id, endpoint_id, body.overlap_seconds, actor=_actor(token)
    )
    endpoint, secret = await services.tasks.run(rotating, token.merchant_id)
    return json_answer(await endpoint_object(services.endpoints, endpoint) | {"secret": secret})


async def delete_endpoint(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.WEBHOOKS)
    services, endpoint_id = request.app[SERVICES], (await endpoint_of_path(request, access_of(request, token))).id
    deleting = services.endpoints.delete_endpoint(token.merchant_id, endpoint_id, actor=_actor(token))
    await services.tasks.run(deleting, token.merchant_id)
    return web.Response(status=204, headers=SECURITY_HEADERS)


def require_own(token: Token, mode: Mode | None, storefront: str | None) -> None:
    """Raises InvalidInput if the endpoint would get events that the token may not see; None means the token's own
    values.
    """
    if mode not in {None, token.mode}:
        raise invalid(
            "mode",
            "other_mode",
            f"must be {token.mode.value}, the mode of the token",
            f"باید {token.mode.value} باشد، یعنی حالت همین توکن",
        )
    if storefront not in {None, token.storefront}:
        raise invalid(
            "storefront",
            "other_storefront",
            f"must be {token.storefront}, the token's own; an operator can make endpoints of all storefronts",
            f"باید {token.storefront} باشد، یعنی فروشگاه همین توکن؛ نشانی همهٔ فروشگاه‌ها را گردانندهٔ سامانه می‌سازد",
        )


def _actor(token: Token) -> str:
    return f"token:{token.id}"


async def list_deliveries(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.WEBHOOKS)
    access = access_of(request, token)
    endpoint = await endpoint_of_path(request, access)
    query = validated(DeliveryQuery, query_of(request))
    scope = ("deliveries", endpoint.id, query.status)
    after = read_cursor(query.cursor, scope)
    wanted = DeliveryFilter(query.status, after, query.limit + 1)
    found = await access.webhooks.list_endpoint_deliveries(token.merchant_id, endpoint.id, wanted)
    page, last = first_page(found, query.limit)
    # Deliveries of another storefront's events, from before the endpoint changed hands, make the page shorter.
    shown = [delivery_object(delivery) for delivery in page if access.sees_delivery(delivery)]
    return page_answer(request, shown, write_cursor(last, scope))


async def get_delivery(request: web.Request) -> web.Response:
    """The delivery with every attempt."""
    token = await authorize(request, Scope.WEBHOOKS)
    return await _show_delivery(request, token)


async def retry_delivery(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.WEBHOOKS)
    services = request.app[SERVICES]
    await read_body(request)
    delivery, _ = await delivery_of_path(request, access_of(request, token))
    await services.tasks.run(services.redelivery.retry(delivery.merchant_id, delivery.id), delivery.merchant_id)
    return await _show_delivery(request, token)


async def recover(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.WEBHOOKS)
    services, endpoint_id = request.app[SERVICES], (await endpoint_of_path(request, access_of(request, token))).id
    body = validated(RecoverDeliveries, await read_object(request))
    scope = ("recover", endpoint_id, body.since)
    after = read_cursor(body.cursor, scope)
    recovering = services.redelivery.recover(token.merchant_id, endpoint_id, body.since_ms, after)
    return _progress(await services.tasks.run(recovering, token.merchant_id), scope)


async def replay(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.WEBHOOKS)
    services, endpoint_id = request.app[SERVICES], (await endpoint_of_path(request, access_of(request, token))).id
    body = validated(ReplayDeliveries, await read_object(request))
    scope = ("replay", endpoint_id, body.since, body.until, ",".join(sorted(body.types)))
    after = read_cursor(body.cursor, scope)
    span = EventSpan(body.since_ms, body.until_ms(services.now()), frozenset(body.types))
    replaying = services.redelivery.replay(token.merchant_id, endpoint_id, span, after)
    return _progress(await services.tasks.run(replaying, token.merchant_id), scope)


async def test_endpoint(request: web.Request) -> web.Response:
    """Sends a ping now, and shows its result."""
    token = await authorize(request, Scope.WEBHOOKS)
    services = request.app[SERVICES]
    await read_body(request)
    endpoint = await endpoint_of_path(request, access_of(request, token))
    return json_answer(answer_object(*await services.event_tester.ping(endpoint)))


async def get_stats(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.WEBHOOKS)
    endpoint = await endpoint_of_path(request, access_of(request, token))
    return json_answer(stats_object(await request.app[SERVICES].redelivery.stats(endpoint.merchant_id, endpoint.id)))


async def _show_delivery(request: web.Request, token: Token) -> web.Response:
    delivery, attempts = await delivery_of_path(request, access_of(request, token))
    return json_answer(delivery_object(delivery) | {"log": [attempt_object(attempt) for attempt in attempts]})


def _progress(requeued: RedeliveryBatch, scope: CursorScope) -> web.Response:
    reached = requeued.reached
    return json_answer({"requeued": requeued.count, "next_cursor": write_cursor(reached, scope)})


# A notification is a hint; one that was lost, or another replica's commit, costs this much.
LOOK_AGAIN_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class _Page:
    """Events, the sequence after which to go on, and whether there is more behind it just now."""

    events: Sequence[StoredEvent]
    resume: int
    more: bool


async def list_events(request: web.Request) -> web.Response:
    """A page; its `resume_cursor` is the place after its last event, also at the end, where a poller waits for new
    ones.
    """
    token = await authorize(request, Scope.PAYMENTS_READ)
    services = request.app[SERVICES]
    query = validated(EventQuery, query_of(request))
    delivered = None if query.delivered is None else str(query.delivered)
    scope = ("events", token.merchant_id, token.storefront, query.storefront, query.type, query.payment_id, delivered)
    after = await _after(services, token, query, scope)
    if query.storefront not in {None, token.storefront}:
        return page_answer(request, [], None, resume_cursor=query.cursor)
    wanted = EventFilter(token.storefront, query.type, query.payment_id, after, query.limit, token.mode)
    page = await _wait_for_events(services, token.merchant_id, wanted, query)
    resume = write_cursor(str(page.resume), scope) if page.resume else None
    access = access_of(request, token)
    shown = [event_object(event) for event in page.events if access.sees_event(event)]
    return page_answer(request, shown, resume if page.more else None, resume_cursor=resume)


async def trigger(request: web.Request) -> web.Response:
    """201 with a test event of the given type, which is delivered like any other."""
    token = await authorize(request, Scope.WEBHOOKS)
    services = request.app[SERVICES]
    body = validated(Trigger, await read_object(request))
    triggering = services.event_tester.trigger(token, body.type)
    return json_answer(event_object(await services.tasks.run(triggering, token.merchant_id)), 201)


async def _after(services: Services, token: Token, query: EventQuery, scope: CursorScope) -> int:
    """The sequence after which to begin: from the cursor, or as given."""
    if query.cursor is not None:
        if query.after is not None:
            raise invalid("after", "both_given", "give `after` or `cursor`, not both", "یا after یا cursor، نه هر دو")
        return read_number(query.cursor, scope)
    if query.after == LATEST:
        return await services.store.webhooks.last_sequence(token.merchant_id)
    return int(query.after or 0)


async def _wait_for_events(services: Services, merchant_id: str, wanted: EventFilter, query: EventQuery) -> _Page:
    """The page of events; if it is empty, the events that arrive while the caller waits."""
    page = await _look(services.store, merchant_id, wanted, query.delivered)
    if page.events or page.more or not query.wait:
        return page
    until = asyncio.get_running_loop().time() + query.wait
    with services.long_polls.waiting(merchant_id) as notified:
        while not services.long_polls.closed:
            notified.clear()
            page = await _look(services.store, merchant_id, wanted, query.delivered)
            remaining = until - asyncio.get_running_loop().time()
            if page.events or page.more or remaining <= 0:
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(min(remaining, LOOK_AGAIN_SECONDS)):
                    await notified.wait()
    return page


async def _look(store: Store, merchant_id: str, wanted: EventFilter, delivered: bool | None) -> _Page:
    if delivered is None:
        found = await store.webhooks.list_events(merchant_id, replace(wanted, limit=wanted.limit + 1))
        events = found[: wanted.limit]
        return _Page(events, events[-1].sequence if events else wanted.after, len(found) > len(events))
    stretch = await store.webhooks.list_events_by_delivery(merchant_id, wanted, delivered=delivered)
    last = stretch.events[-1].sequence if stretch.events else wanted.after
    return _Page(stretch.events, stretch.reached or last, stretch.reached is not None)


async def get_event(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.PAYMENTS_READ)
    return json_answer(event_object(await access_of(request, token).event(request.match_info["event_id"])))
