"""`/admin/v1/merchants/…`: merchants, and their terminals, tokens and endpoints."""

from typing import Final, cast

from aiohttp import web

from proxy.errors import NotFound
from proxy.ids import merchant_of_id
from proxy.operators.operators import Caller
from proxy.setup import EndpointChanges, MerchantChanges, MerchantLooks, TerminalChanges
from proxy.web.admin_objects import merchant_object, terminal_object, token_object
from proxy.web.admin_schemas import (
    ChangedMerchant,
    ChangedTerminal,
    NewMerchant,
    NewTerminal,
    NewToken,
    RevokeQuery,
    RotateToken,
)
from proxy.web.admin_services import AdminServices
from proxy.web.answers import json_answer, page_answer
from proxy.web.cursors import read_cursor, write_cursor
from proxy.web.delivery_schemas import RotateSecret
from proxy.web.endpoint_objects import endpoint_object, endpoint_objects
from proxy.web.headers import SECURITY_HEADERS
from proxy.web.middleware import MERCHANT_ID
from proxy.web.parsing import query_of, read_body, read_object, read_optional_object, validated
from proxy.web.schemas import ChangeEndpoint, CreateEndpoint, PageQuery

CREATED: Final = 201


class AdminSetup:
    """The handlers. Each gets the operator who calls."""

    def __init__(self, services: AdminServices) -> None:
        self._store = services.store
        self._setup = services.setup

    async def create_merchant(self, request: web.Request, caller: Caller) -> web.Response:
        body = validated(NewMerchant, await read_object(request))
        looks = cast("MerchantLooks", body.looks())
        merchant, secret = await self._setup.create_merchant(body.name, body.return_origins, actor=caller.name, **looks)
        request[MERCHANT_ID] = merchant.id
        return json_answer(merchant_object(merchant) | {"return_secret": secret}, CREATED)

    async def list_merchants(self, request: web.Request, _caller: Caller) -> web.Response:
        query = validated(PageQuery, query_of(request))
        scope = ("merchants",)
        after = None if query.cursor is None else read_cursor(query.cursor, scope)
        found = await self._store.list_merchants(after, query.limit + 1)
        page = found[: query.limit]
        following = write_cursor(page[-1].id, scope) if len(found) > len(page) else None
        return page_answer(request, [merchant_object(merchant) for merchant in page], following)

    async def get_merchant(self, request: web.Request, _caller: Caller) -> web.Response:
        return json_answer(merchant_object(await self._store.merchant(_merchant_id(request))))

    async def change_merchant(self, request: web.Request, caller: Caller) -> web.Response:
        merchant_id = _merchant_id(request)
        changes = cast("MerchantChanges", validated(ChangedMerchant, await read_object(request)).given())
        return json_answer(
            merchant_object(await self._setup.change_merchant(merchant_id, actor=caller.name, **changes))
        )

    async def rotate_return_secret(self, request: web.Request, caller: Caller) -> web.Response:
        merchant_id = _merchant_id(request)
        await read_body(request)
        return json_answer({"return_secret": await self._setup.rotate_return_secret(merchant_id, actor=caller.name)})

    async def create_terminal(self, request: web.Request, caller: Caller) -> web.Response:
        merchant_id = _merchant_id(request)
        body = validated(NewTerminal, await read_object(request))
        terminal = await self._setup.add_terminal(
            merchant_id, body.name, body.gateway_url, body.api_key, body.mode, body.return_base_url, actor=caller.name
        )
        return json_answer(terminal_object(terminal), CREATED)

    async def list_terminals(self, request: web.Request, _caller: Caller) -> web.Response:
        merchant = await self._store.merchant(_merchant_id(request))
        rows = [terminal_object(terminal) for terminal in await self._store.list_terminals(merchant.id)]
        return page_answer(request, rows, None)

    async def get_terminal(self, request: web.Request, _caller: Caller) -> web.Response:
        return json_answer(terminal_object(await self._store.terminal(*_owned(request, "terminal"))))

    async def change_terminal(self, request: web.Request, caller: Caller) -> web.Response:
        ids = _owned(request, "terminal")
        changes = cast("TerminalChanges", validated(ChangedTerminal, await read_object(request)).given())
        return json_answer(terminal_object(await self._setup.change_terminal(*ids, actor=caller.name, **changes)))

    async def create_token(self, request: web.Request, caller: Caller) -> web.Response:
        merchant_id = _merchant_id(request)
        body = validated(NewToken, await read_object(request))
        token, text = await self._setup.issue_token(
            merchant_id,
            body.storefront,
            body.mode,
            body.scopes,
            body.terminal_id,
            body.expires_at_ms(),
            body.amount_unit,
            body.return_method,
            any_https_return=body.any_https_return,
            actor=caller.name,
        )
        return json_answer(token_object(token) | {"token": text}, CREATED)

    async def list_tokens(self, request: web.Request, _caller: Caller) -> web.Response:
        merchant = await self._store.merchant(_merchant_id(request))
        return page_answer(request, [token_object(token) for token in await self._store.list_tokens(merchant.id)], None)

    async def get_token(self, request: web.Request, _caller: Caller) -> web.Response:
        return json_answer(token_object(await self._store.token(*_owned(request, "token"))))

    async def rotate_token(self, request: web.Request, caller: Caller) -> web.Response:
        ids = _owned(request, "token")
        body = validated(RotateToken, await read_optional_object(request))
        token, text = await self._setup.rotate_token(*ids, body.overlap_seconds, actor=caller.name)
        return json_answer(token_object(token) | {"token": text}, CREATED)

    async def revoke_token(self, request: web.Request, caller: Caller) -> web.Response:
        ids = _owned(request, "token")
        query = validated(RevokeQuery, query_of(request))
        return json_answer(token_object(await self._setup.revoke_token(*ids, query.after_seconds, actor=caller.name)))

    async def create_endpoint(self, request: web.Request, caller: Caller) -> web.Response:
        merchant_id = _merchant_id(request)
        body = validated(CreateEndpoint, await read_object(request))
        endpoint, secret = await self._setup.add_endpoint(merchant_id, actor=caller.name, **body.model_dump())
        return json_answer(await endpoint_object(self._setup, endpoint) | {"secret": secret}, CREATED)

    async def list_endpoints(self, request: web.Request, _caller: Caller) -> web.Response:
        merchant = await self._store.merchant(_merchant_id(request))
        rows = await endpoint_objects(self._setup, await self._store.list_endpoints(merchant.id))
        return page_answer(request, rows, None)

    async def get_endpoint(self, request: web.Request, _caller: Caller) -> web.Response:
        endpoint = await self._store.endpoint(*_owned(request, "endpoint"))
        return json_answer(await endpoint_object(self._setup, endpoint))

    async def change_endpoint(self, request: web.Request, caller: Caller) -> web.Response:
        ids = _owned(request, "endpoint")
        body = validated(ChangeEndpoint, await read_object(request))
        changes = cast("EndpointChanges", {name: getattr(body, name) for name in body.model_fields_set})
        endpoint = await self._setup.change_endpoint(*ids, actor=caller.name, **changes)
        return json_answer(await endpoint_object(self._setup, endpoint))

    async def rotate_endpoint_secret(self, request: web.Request, caller: Caller) -> web.Response:
        ids = _owned(request, "endpoint")
        body = validated(RotateSecret, await read_optional_object(request))
        endpoint, secret = await self._setup.rotate_secret(*ids, body.overlap_seconds, actor=caller.name)
        return json_answer(await endpoint_object(self._setup, endpoint) | {"secret": secret})

    async def delete_endpoint(self, request: web.Request, caller: Caller) -> web.Response:
        await self._setup.delete_endpoint(*_owned(request, "endpoint"), actor=caller.name)
        return web.Response(status=204, headers=SECURITY_HEADERS)


def _merchant_id(request: web.Request) -> str:
    merchant_id = request.match_info["merchant_id"]
    request[MERCHANT_ID] = merchant_id
    return merchant_id


def _owned(request: web.Request, kind: str) -> tuple[str, str]:
    """The merchant's id and the record's of the path. Raises NotFound when they do not belong together."""
    merchant_id, record_id = _merchant_id(request), request.match_info[f"{kind}_id"]
    if merchant_of_id(record_id) != merchant_id:
        raise NotFound(kind)
    return merchant_id, record_id
