"""`/v1/webhook-endpoints`: where webhooks go. They are the merchant's, whichever storefront's token asks."""

from typing import cast

from aiohttp import web

from proxy.errors import NotFound
from proxy.ids import merchant_of_id
from proxy.merchant import Scope, Token
from proxy.setup import EndpointChanges
from proxy.web.answers import json_answer, page_answer
from proxy.web.auth import authorize
from proxy.web.delivery_schemas import RotateSecret
from proxy.web.endpoint_objects import endpoint_object, endpoint_objects
from proxy.web.headers import SECURITY_HEADERS
from proxy.web.parsing import read_object, read_optional_object, validated
from proxy.web.schemas import ChangeEndpoint, CreateEndpoint
from proxy.web.services import SERVICES


async def create_endpoint(request: web.Request) -> web.Response:
    """201 with the endpoint and its secret, which no other answer shows."""
    token = await authorize(request, Scope.WEBHOOKS)
    body = validated(CreateEndpoint, await read_object(request))
    adding = request.app[SERVICES].setup.add_endpoint(
        token.merchant_id,
        body.url,
        storefront=body.storefront,
        event_types=body.event_types,
        description=body.description,
        headers=body.headers,
        signatures=body.signatures,
        actor=_actor(token),
    )
    endpoint, secret = await request.app[SERVICES].tasks.run(adding)
    shown = await endpoint_object(request.app[SERVICES].setup, endpoint)
    return json_answer(shown | {"secret": secret}, 201)


async def list_endpoints(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.WEBHOOKS)
    services = request.app[SERVICES]
    endpoints = await services.store.list_endpoints(token.merchant_id)
    return page_answer(request, await endpoint_objects(services.setup, endpoints), None)


async def get_endpoint(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.WEBHOOKS)
    services = request.app[SERVICES]
    endpoint = await services.store.endpoint(token.merchant_id, endpoint_id_of(request, token))
    return json_answer(await endpoint_object(services.setup, endpoint))


async def change_endpoint(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.WEBHOOKS)
    services, endpoint_id = request.app[SERVICES], endpoint_id_of(request, token)
    body = validated(ChangeEndpoint, await read_object(request))
    changes = cast("EndpointChanges", {name: getattr(body, name) for name in body.model_fields_set})
    changing = services.setup.change_endpoint(token.merchant_id, endpoint_id, actor=_actor(token), **changes)
    return json_answer(await endpoint_object(services.setup, await services.tasks.run(changing)))


async def rotate_secret(request: web.Request) -> web.Response:
    """The endpoint with its new secret, which no other answer shows."""
    token = await authorize(request, Scope.WEBHOOKS)
    services, endpoint_id = request.app[SERVICES], endpoint_id_of(request, token)
    body = validated(RotateSecret, await read_optional_object(request))
    rotating = services.setup.rotate_secret(token.merchant_id, endpoint_id, body.overlap_seconds, actor=_actor(token))
    endpoint, secret = await services.tasks.run(rotating)
    return json_answer(await endpoint_object(services.setup, endpoint) | {"secret": secret})


async def delete_endpoint(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.WEBHOOKS)
    endpoint_id = endpoint_id_of(request, token)
    services = request.app[SERVICES]
    await services.tasks.run(services.setup.delete_endpoint(token.merchant_id, endpoint_id, actor=_actor(token)))
    return web.Response(status=204, headers=SECURITY_HEADERS)


def endpoint_id_of(request: web.Request, token: Token) -> str:
    """The endpoint's id of the path. Raises NotFound when it is another merchant's."""
    endpoint_id = request.match_info["endpoint_id"]
    if merchant_of_id(endpoint_id) != token.merchant_id:
        raise NotFound("webhook endpoint")
    return endpoint_id


def _actor(token: Token) -> str:
    return f"token:{token.id}"
