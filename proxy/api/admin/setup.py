"""`/admin/v1/merchants/…`: merchants, and their terminals, tokens and endpoints."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

from aiohttp import web

from proxy.api.admin.schemas import (
    ChangedMerchant,
    MerchantQuery,
    NewMerchant,
    NewToken,
    RevokeQuery,
    RotateReturnSecret,
    RotateToken,
)
from proxy.api.admin.terminals import CREATED, AdminTerminals, ids_of_path, merchant_id_of_path
from proxy.api.customer.page_assets import logo_path
from proxy.api.middleware import MERCHANT_ID
from proxy.api.responses import first_page, json_answer, page_answer, read_cursor, write_cursor
from proxy.api.services import AdminServices
from proxy.api.v1.objects import endpoint_object, endpoint_objects
from proxy.api.v1.schemas import ChangeEndpoint, CreateEndpoint, RotateSecret
from proxy.audit.log import INSTALLATION, AuditEntry
from proxy.http.headers import SECURITY_HEADERS
from proxy.http.parsing import query_of, read_body, read_object, read_optional_object, validated
from proxy.kernel.clock import rfc3339
from proxy.merchants.merchant import Merchant, Token
from proxy.merchants.setup import BrandingChanges, MerchantChanges, RotationBatch
from proxy.operations.doctor.base import Finding, Level
from proxy.operators.operators import Caller
from proxy.webhooks.endpoint_setup import EndpointChanges


def merchant_object(merchant: Merchant) -> dict[str, Any]:
    return {
        "id": merchant.id,
        "name": merchant.name,
        "name_fa": merchant.branding.name_fa,
        "colour": merchant.branding.colour,
        "language": merchant.branding.language,
        "logo_path": logo_path(merchant),
        "contact": merchant.branding.contact,
        "return_origins": list(merchant.return_origins),
        "created_at": rfc3339(merchant.created_at),
        "updated_at": rfc3339(merchant.updated_at),
        "archived_at": optional_time(merchant.archived_at),
    }


def token_object(token: Token) -> dict[str, Any]:
    """`prefix` is the part that may be shown; the digest stays inside."""
    return {
        "id": token.id,
        "merchant_id": token.merchant_id,
        "storefront": token.storefront,
        "mode": token.mode.value,
        "prefix": token.prefix,
        "scopes": token.scope_names(),
        "terminal_id": token.terminal_id,
        "created_at": rfc3339(token.created_at),
        "expires_at": optional_time(token.expires_at),
        "revoked_at": optional_time(token.revoked_at),
        "amount_unit": token.amount_unit.value,
        "return_method": token.return_method.value,
        "any_https_return": token.any_https_return,
        "protocol": token.protocol,
        "last_used_at": optional_time(token.last_used_at),
    }


def optional_time(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)


def audit_object(entry: AuditEntry) -> dict[str, Any]:
    """`merchant_id` is null for an act on no merchant."""
    return {
        "id": entry.id,
        "merchant_id": None if entry.merchant_id == INSTALLATION else entry.merchant_id,
        "at": rfc3339(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "target": entry.target,
        "data": dict(entry.data),
    }


def findings_object(findings: Sequence[Finding]) -> dict[str, Any]:
    healthy = all(finding.level is not Level.PROBLEM for finding in findings)
    return {"healthy": healthy, "findings": [asdict(finding) for finding in findings]}


def rotated_object(rotated: RotationBatch) -> dict[str, Any]:
    return {
        "kek_id": rotated.kek_id,
        "rewrapped": rotated.rewrapped,
        "failed": list(rotated.failed),
        "done": rotated.done,
    }


class AdminSetup(AdminTerminals):
    """The handlers of the set-up. Each gets the authenticated operator as its caller."""

    def __init__(self, services: AdminServices) -> None:
        super().__init__(services)
        self._endpoints = services.endpoints

    async def create_merchant(self, request: web.Request, caller: Caller) -> web.Response:
        body = validated(NewMerchant, await read_object(request))
        branding = cast("BrandingChanges", body.looks())
        merchant, secret = await self._setup.create_merchant(
            body.name, body.return_origins, actor=caller.name, **branding
        )
        request[MERCHANT_ID] = merchant.id
        return json_answer(merchant_object(merchant) | {"return_secret": secret}, CREATED)

    async def list_merchants(self, request: web.Request, _caller: Caller) -> web.Response:
        query = validated(MerchantQuery, query_of(request))
        scope = ("merchants", str(query.archived))
        after = read_cursor(query.cursor, scope)
        found = await self._store.merchants.list_merchants(after, query.limit + 1, archived=query.archived)
        page, last = first_page(found, query.limit)
        return page_answer(request, [merchant_object(merchant) for merchant in page], write_cursor(last, scope))

    async def get_merchant(self, request: web.Request, _caller: Caller) -> web.Response:
        return json_answer(merchant_object(await self._store.merchants.merchant(merchant_id_of_path(request))))

    async def change_merchant(self, request: web.Request, caller: Caller) -> web.Response:
        merchant_id = merchant_id_of_path(request)
        changes = cast("MerchantChanges", validated(ChangedMerchant, await read_object(request)).given())
        return json_answer(
            merchant_object(await self._setup.change_merchant(merchant_id, actor=caller.name, **changes))
        )

    async def archive_merchant(self, request: web.Request, caller: Caller) -> web.Response:
        await read_body(request)
        merchant_id = merchant_id_of_path(request)
        return json_answer(merchant_object(await self._setup.archive_merchant(merchant_id, actor=caller.name)))

    async def unarchive_merchant(self, request: web.Request, caller: Caller) -> web.Response:
        await read_body(request)
        merchant_id = merchant_id_of_path(request)
        return json_answer(merchant_object(await self._setup.unarchive_merchant(merchant_id, actor=caller.name)))

    async def rotate_return_secret(self, request: web.Request, caller: Caller) -> web.Response:
        merchant_id = merchant_id_of_path(request)
        mode = validated(RotateReturnSecret, await read_optional_object(request)).mode
        secret = await self._setup.rotate_return_secret(merchant_id, mode, actor=caller.name)
        return json_answer({"return_secret": secret, "mode": mode.value})

    async def create_token(self, request: web.Request, caller: Caller) -> web.Response:
        merchant_id = merchant_id_of_path(request)
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
            protocol=body.protocol,
            actor=caller.name,
        )
        return json_answer(token_object(token) | {"token": text}, CREATED)

    async def list_tokens(self, request: web.Request, _caller: Caller) -> web.Response:
        merchant = await self._store.merchants.merchant(merchant_id_of_path(request))
        return page_answer(
            request, [token_object(token) for token in await self._store.merchants.list_tokens(merchant.id)], None
        )

    async def get_token(self, request: web.Request, _caller: Caller) -> web.Response:
        return json_answer(token_object(await self._store.merchants.token(*ids_of_path(request, "token"))))

    async def rotate_token(self, request: web.Request, caller: Caller) -> web.Response:
        ids = ids_of_path(request, "token")
        body = validated(RotateToken, await read_optional_object(request))
        token, text = await self._setup.rotate_token(*ids, body.overlap_seconds, actor=caller.name)
        return json_answer(token_object(token) | {"token": text}, CREATED)

    async def revoke_token(self, request: web.Request, caller: Caller) -> web.Response:
        ids = ids_of_path(request, "token")
        query = validated(RevokeQuery, query_of(request))
        return json_answer(token_object(await self._setup.revoke_token(*ids, query.after_seconds, actor=caller.name)))

    async def create_endpoint(self, request: web.Request, caller: Caller) -> web.Response:
        merchant_id = merchant_id_of_path(request)
        body = validated(CreateEndpoint, await read_object(request))
        endpoint, secret = await self._endpoints.add_endpoint(merchant_id, actor=caller.name, **body.model_dump())
        return json_answer(await endpoint_object(self._endpoints, endpoint) | {"secret": secret}, CREATED)

    async def list_endpoints(self, request: web.Request, _caller: Caller) -> web.Response:
        merchant = await self._store.merchants.merchant(merchant_id_of_path(request))
        rows = await endpoint_objects(self._endpoints, await self._store.webhooks.list_endpoints(merchant.id))
        return page_answer(request, rows, None)

    async def get_endpoint(self, request: web.Request, _caller: Caller) -> web.Response:
        endpoint = await self._store.webhooks.endpoint(*ids_of_path(request, "endpoint"))
        return json_answer(await endpoint_object(self._endpoints, endpoint))

    async def change_endpoint(self, request: web.Request, caller: Caller) -> web.Response:
        ids = ids_of_path(request, "endpoint")
        body = validated(ChangeEndpoint, await read_object(request))
        changes = cast("EndpointChanges", {name: getattr(body, name) for name in body.model_fields_set})
        endpoint = await self._endpoints.change_endpoint(*ids, actor=caller.name, **changes)
        return json_answer(await endpoint_object(self._endpoints, endpoint))

    async def rotate_endpoint_secret(self, request: web.Request, caller: Caller) -> web.Response:
        ids = ids_of_path(request, "endpoint")
        body = validated(RotateSecret, await read_optional_object(request))
        endpoint, secret = await self._endpoints.rotate_secret(*ids, body.overlap_seconds, actor=caller.name)
        return json_answer(await endpoint_object(self._endpoints, endpoint) | {"secret": secret})

    async def delete_endpoint(self, request: web.Request, caller: Caller) -> web.Response:
        await self._endpoints.delete_endpoint(*ids_of_path(request, "endpoint"), actor=caller.name)
        return web.Response(status=204, headers=SECURITY_HEADERS)
