"""`/v1/events`: what happened, in order, for a shop without a public URL, or to compare with what its webhooks told."""

from typing import Any

import orjson
from aiohttp import web

from proxy.errors import NotFound
from proxy.ids import merchant_of_id
from proxy.merchant import Scope, Token
from proxy.records import EventFilter, StoredEvent
from proxy.web.answers import json_answer, page_answer
from proxy.web.auth import authorize
from proxy.web.cursors import read_number, write_cursor
from proxy.web.parsing import query_of, validated
from proxy.web.schemas import EventQuery
from proxy.web.services import SERVICES


async def list_events(request: web.Request) -> web.Response:
    """A page; its `resume_cursor` stands after its last event, also at the end, where a poller waits for new ones."""
    token = await authorize(request, Scope.PAYMENTS_READ)
    query = validated(EventQuery, query_of(request))
    scope = ("events", token.merchant_id, token.storefront, query.storefront, query.type, query.payment_id)
    after = 0 if query.cursor is None else read_number(query.cursor, scope)
    if query.storefront not in {None, token.storefront}:
        return page_answer(request, [], None, resume_cursor=query.cursor)
    wanted = EventFilter(token.storefront, query.type, query.payment_id, after, query.limit + 1)
    found = await request.app[SERVICES].store.list_events(token.merchant_id, wanted)
    page = found[: query.limit]
    resume = write_cursor(str(page[-1].sequence), scope) if page else query.cursor
    shown = [each for each in map(event_object, page) if _of_mode(each, token)]
    return page_answer(request, shown, resume if len(found) > len(page) else None, resume_cursor=resume)


async def get_event(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.PAYMENTS_READ)
    event_id = request.match_info["event_id"]
    if merchant_of_id(event_id) != token.merchant_id:
        raise NotFound("event")
    event = await request.app[SERVICES].store.event(token.merchant_id, event_id)
    shown = event_object(event)
    if event.storefront != token.storefront or not _of_mode(shown, token):
        raise NotFound("event")
    return json_answer(shown)


def event_object(event: StoredEvent) -> dict[str, Any]:
    """The event as it is sent (`type`, `timestamp`, `data`), with its id and place."""
    return {
        "id": event.id,
        "sequence": event.sequence,
        "storefront": event.storefront,
        "payment_id": event.payment_id,
        **orjson.loads(event.body),
    }


def _of_mode(event: dict[str, Any], token: Token) -> bool:
    return bool(event["data"].get("mode", token.mode) == token.mode)
