"""`/v1/events`: what happened, in order, for a shop without a public URL, or to compare with what its webhooks told."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
from aiohttp import web

from proxy.errors import NotFound, invalid
from proxy.ids import merchant_of_id
from proxy.merchant import Scope, Token
from proxy.ports import Store
from proxy.records import EventFilter, StoredEvent
from proxy.web.answers import json_answer, page_answer
from proxy.web.auth import authorize
from proxy.web.cursors import Scope as CursorScope
from proxy.web.cursors import read_number, write_cursor
from proxy.web.delivery_schemas import Trigger
from proxy.web.parsing import query_of, read_object, validated
from proxy.web.schemas import LATEST, EventQuery
from proxy.web.services import SERVICES, Services

# A ring is a hint; one that was lost, or another replica's commit, costs this much.
LOOK_AGAIN_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class _Page:
    """Events, the sequence after which to go on, and whether there is more behind it just now."""

    events: Sequence[StoredEvent]
    resume: int
    more: bool


async def list_events(request: web.Request) -> web.Response:
    """A page; its `resume_cursor` stands after its last event, also at the end, where a poller waits for new ones."""
    token = await authorize(request, Scope.PAYMENTS_READ)
    services = request.app[SERVICES]
    query = validated(EventQuery, query_of(request))
    delivered = None if query.delivered is None else str(query.delivered)
    scope = ("events", token.merchant_id, token.storefront, query.storefront, query.type, query.payment_id, delivered)
    after = await _after(services, token, query, scope)
    if query.storefront not in {None, token.storefront}:
        return page_answer(request, [], None, resume_cursor=query.cursor)
    wanted = EventFilter(token.storefront, query.type, query.payment_id, after, query.limit, token.mode)
    page = await _waited_for(services, token.merchant_id, wanted, query)
    resume = write_cursor(str(page.resume), scope) if page.resume else None
    shown = [event for event in map(event_object, page.events) if _sees(token, event)]
    return page_answer(request, shown, resume if page.more else None, resume_cursor=resume)


async def trigger(request: web.Request) -> web.Response:
    """201 with a test event of the type asked for, which is delivered like any other."""
    token = await authorize(request, Scope.WEBHOOKS)
    services = request.app[SERVICES]
    body = validated(Trigger, await read_object(request))
    return json_answer(event_object(await services.tasks.run(services.trial.trigger(token, body.type))), 201)


async def _after(services: Services, token: Token, query: EventQuery, scope: CursorScope) -> int:
    """The sequence after which to begin: of the cursor, or the one asked for."""
    if query.cursor is not None:
        if query.after is not None:
            raise invalid("after", "both_given", "give `after` or `cursor`, not both", "یا after یا cursor، نه هر دو")
        return read_number(query.cursor, scope)
    if query.after == LATEST:
        return await services.store.last_sequence(token.merchant_id)
    return int(query.after or 0)


async def _waited_for(services: Services, merchant_id: str, wanted: EventFilter, query: EventQuery) -> _Page:
    """What there is; when there is nothing, what comes within the time that the caller waits."""
    page = await _look(services.store, merchant_id, wanted, query.delivered)
    if page.events or page.more or not query.wait:
        return page
    until = asyncio.get_running_loop().time() + query.wait
    with services.bell.waiting(merchant_id) as rung:
        while not services.bell.closed:
            rung.clear()
            page = await _look(services.store, merchant_id, wanted, query.delivered)
            remaining = until - asyncio.get_running_loop().time()
            if page.events or page.more or remaining <= 0:
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(min(remaining, LOOK_AGAIN_SECONDS)):
                    await rung.wait()
    return page


async def _look(store: Store, merchant_id: str, wanted: EventFilter, delivered: bool | None) -> _Page:
    if delivered is None:
        found = await store.list_events(merchant_id, replace(wanted, limit=wanted.limit + 1))
        events = found[: wanted.limit]
        return _Page(events, events[-1].sequence if events else wanted.after, len(found) > len(events))
    stretch = await store.list_events_by_delivery(merchant_id, wanted, delivered=delivered)
    last = stretch.events[-1].sequence if stretch.events else wanted.after
    return _Page(stretch.events, stretch.reached or last, stretch.reached is not None)


async def get_event(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.PAYMENTS_READ)
    event_id = request.match_info["event_id"]
    if merchant_of_id(event_id) != token.merchant_id:
        raise NotFound("event")
    event = await request.app[SERVICES].store.event(token.merchant_id, event_id)
    shown = event_object(event)
    if event.storefront not in {None, token.storefront} or not _sees(token, shown):
        raise NotFound("event")
    return json_answer(shown)


def _sees(token: Token, shown: Mapping[str, Any]) -> bool:
    """Whether an event is of the token's mode and terminal, or of none."""
    mode, terminal_id = (shown["data"].get(name) for name in ("mode", "terminal_id"))
    return mode in {None, token.mode} and (token.terminal_id is None or terminal_id in {None, token.terminal_id})


def event_object(event: StoredEvent) -> dict[str, Any]:
    """The event as it is sent (`type`, `timestamp`, `data`), with its id and place."""
    return {
        "id": event.id,
        "sequence": event.sequence,
        "storefront": event.storefront,
        "payment_id": event.payment_id,
        **orjson.loads(event.body),
    }
