"""What became of an endpoint's webhooks, and sending them again: `…/webhook-endpoints/{id}/…` and `/v1/deliveries`."""

from aiohttp import web

from proxy.delivery_records import DeliveryFilter, EventSpan, Requeued
from proxy.errors import NotFound
from proxy.ids import merchant_of_id
from proxy.merchant import Scope, Token
from proxy.web.answers import json_answer, page_answer
from proxy.web.auth import authorize
from proxy.web.cursors import Scope as CursorScope
from proxy.web.cursors import read_cursor, write_cursor
from proxy.web.delivery_schemas import DeliveryQuery, Recover, Replay
from proxy.web.endpoint_objects import answer_object, attempt_object, delivery_object, stats_object
from proxy.web.endpoints import endpoint_id_of
from proxy.web.parsing import query_of, read_body, read_object, validated
from proxy.web.services import SERVICES


async def list_deliveries(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.WEBHOOKS)
    store = request.app[SERVICES].store
    endpoint = await store.endpoint(token.merchant_id, endpoint_id_of(request, token))
    query = validated(DeliveryQuery, query_of(request))
    scope = ("deliveries", endpoint.id, query.status)
    after = None if query.cursor is None else read_cursor(query.cursor, scope)
    wanted = DeliveryFilter(query.status, after, query.limit + 1)
    found = await store.list_endpoint_deliveries(token.merchant_id, endpoint.id, wanted)
    page = found[: query.limit]
    following = write_cursor(page[-1].id, scope) if len(found) > len(page) else None
    return page_answer(request, [delivery_object(delivery) for delivery in page], following)


async def get_delivery(request: web.Request) -> web.Response:
    """The delivery with every attempt."""
    token = await authorize(request, Scope.WEBHOOKS)
    return await _shown(request, token.merchant_id, _delivery_id(request, token))


async def retry_delivery(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.WEBHOOKS)
    services, delivery_id = request.app[SERVICES], _delivery_id(request, token)
    await read_body(request)
    await services.tasks.run(services.redelivery.retry(token.merchant_id, delivery_id))
    return await _shown(request, token.merchant_id, delivery_id)


async def recover(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.WEBHOOKS)
    services, endpoint_id = request.app[SERVICES], endpoint_id_of(request, token)
    body = validated(Recover, await read_object(request))
    scope = ("recover", endpoint_id, body.since)
    after = None if body.cursor is None else read_cursor(body.cursor, scope)
    recovering = services.redelivery.recover(token.merchant_id, endpoint_id, body.since_ms, after)
    return _progress(await services.tasks.run(recovering), scope)


async def replay(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.WEBHOOKS)
    services, endpoint_id = request.app[SERVICES], endpoint_id_of(request, token)
    body = validated(Replay, await read_object(request))
    scope = ("replay", endpoint_id, body.since, body.until, ",".join(sorted(body.types)))
    after = None if body.cursor is None else read_cursor(body.cursor, scope)
    span = EventSpan(body.since_ms, body.until_ms(services.now()), frozenset(body.types))
    replaying = services.redelivery.replay(token.merchant_id, endpoint_id, span, after)
    return _progress(await services.tasks.run(replaying), scope)


async def test_endpoint(request: web.Request) -> web.Response:
    """Sends a ping now, and shows what came of it."""
    token = await authorize(request, Scope.WEBHOOKS)
    services = request.app[SERVICES]
    await read_body(request)
    endpoint = await services.store.endpoint(token.merchant_id, endpoint_id_of(request, token))
    return json_answer(answer_object(*await services.trial.ping(endpoint)))


async def get_stats(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.WEBHOOKS)
    redelivery = request.app[SERVICES].redelivery
    return json_answer(stats_object(await redelivery.stats(token.merchant_id, endpoint_id_of(request, token))))


async def _shown(request: web.Request, merchant_id: str, delivery_id: str) -> web.Response:
    delivery, attempts = await request.app[SERVICES].store.delivery_log(merchant_id, delivery_id)
    return json_answer(delivery_object(delivery) | {"log": [attempt_object(attempt) for attempt in attempts]})


def _progress(requeued: Requeued, scope: CursorScope) -> web.Response:
    reached = requeued.reached
    following = None if reached is None else write_cursor(reached, scope)
    return json_answer({"requeued": requeued.count, "next_cursor": following})


def _delivery_id(request: web.Request, token: Token) -> str:
    delivery_id = request.match_info["delivery_id"]
    if merchant_of_id(delivery_id) != token.merchant_id:
        raise NotFound("delivery")
    return delivery_id
