"""`/admin/v1`: the operator's API, on its own listener. Every path takes an operator's token; nobody else is let in."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, cast

from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.errors import NotFound, Unauthenticated
from proxy.ids import merchant_of_id
from proxy.metrics import CONTENT_TYPE
from proxy.setup import EndpointChanges, MerchantChanges, TerminalChanges
from proxy.web.admin_objects import (
    audit_object,
    findings_object,
    merchant_object,
    rotated_object,
    terminal_object,
    token_object,
)
from proxy.web.admin_payments import AdminPayments
from proxy.web.admin_schemas import (
    AuditQuery,
    ChangedMerchant,
    ChangedTerminal,
    CheckUp,
    NewMerchant,
    NewTerminal,
    NewToken,
    RevokeQuery,
    Rotate,
)
from proxy.web.admin_services import AdminServices
from proxy.web.answers import json_answer, page_answer
from proxy.web.auth import bearer
from proxy.web.callers import Kind
from proxy.web.cursors import read_cursor, write_cursor
from proxy.web.delivery_schemas import RotateSecret
from proxy.web.endpoint_objects import endpoint_object, endpoint_objects
from proxy.web.headers import SECURITY_HEADERS
from proxy.web.middleware import MERCHANT_ID, observe
from proxy.web.parsing import MAX_BODY_BYTES, query_of, read_body, read_object, read_optional_object, validated
from proxy.web.problems import problem_response
from proxy.web.schemas import ChangeEndpoint, CreateEndpoint, PageQuery

BASE: Final = "/admin/v1"
METRICS: Final = "/metrics"
CREATED: Final = 201


class OperatorUnknown(Unauthenticated):
    def __init__(self) -> None:
        super().__init__()
        self.detail = "Send the operator's token (DARGAH_ADMIN_TOKEN): `Authorization: Bearer …`."
        self.detail_fa = "توکن گرداننده (DARGAH_ADMIN_TOKEN) را بفرستید: `Authorization: Bearer …`."


def create_admin_app(services: AdminServices) -> web.Application:
    """The application of the operator's listener: every path of `operations()`, behind an operator's token."""
    app = web.Application(
        middlewares=[observe(lambda _request, error: problem_response(error), services.random_bytes, services.callers)],
        client_max_size=MAX_BODY_BYTES,
    )
    admin = Admin(services)
    for method, path, handler in ROUTES:
        guarded = admin.guarded(handler)
        for verb in ("GET", "HEAD") if method == "GET" else (method,):
            services.callers.cover(app.router.add_route(verb, BASE + path, guarded), Kind.OPERATE)
    app.router.add_get(METRICS, _metrics(services))
    return app


def operations() -> Iterator[tuple[str, str]]:
    """The (method, path) pairs of the listener, as openapi.yaml must have them."""
    return iter([*((method, BASE + path) for method, path, _ in ROUTES), ("GET", METRICS)])


def _metrics(services: AdminServices) -> Handler:
    async def metrics(_request: web.Request) -> web.StreamResponse:
        """Without a token, as scrapers come: the listener is private, and nothing in it names anybody."""
        headers = {**SECURITY_HEADERS, "Content-Type": CONTENT_TYPE}
        return web.Response(body=services.metrics.text(), headers=headers)

    return metrics


class Admin(AdminPayments):
    """The handlers. Each gets the operator's name, and cannot be reached without one."""

    def __init__(self, services: AdminServices) -> None:
        super().__init__(services)
        self._setup = services.setup
        self._doctor = services.doctor
        # Digests have one length, so comparing them tells nothing of a token, not even how long it is.
        self._operators = [(_digest(token), name) for name, token in services.operators.items()]

    def guarded(self, handler: "AdminHandler") -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await handler(self, request, self._operator(request))

        return handle

    def _operator(self, request: web.Request) -> str:
        try:
            given = _digest(bearer(request))
        except Unauthenticated:
            raise OperatorUnknown from None
        matches = [name for digest, name in self._operators if hmac.compare_digest(digest, given)]
        if not matches:
            raise OperatorUnknown
        return matches[0]

    async def create_merchant(self, request: web.Request, actor: str) -> web.Response:
        body = validated(NewMerchant, await read_object(request))
        merchant, secret = await self._setup.create_merchant(body.name, body.return_origins, actor=actor)
        request[MERCHANT_ID] = merchant.id
        return json_answer(merchant_object(merchant) | {"return_secret": secret}, CREATED)

    async def list_merchants(self, request: web.Request, _actor: str) -> web.Response:
        query = validated(PageQuery, query_of(request))
        scope = ("merchants",)
        after = None if query.cursor is None else read_cursor(query.cursor, scope)
        found = await self._store.list_merchants(after, query.limit + 1)
        page = found[: query.limit]
        following = write_cursor(page[-1].id, scope) if len(found) > len(page) else None
        return page_answer(request, [merchant_object(merchant) for merchant in page], following)

    async def get_merchant(self, request: web.Request, _actor: str) -> web.Response:
        return json_answer(merchant_object(await self._store.merchant(_merchant_id(request))))

    async def change_merchant(self, request: web.Request, actor: str) -> web.Response:
        merchant_id = _merchant_id(request)
        changes = cast("MerchantChanges", validated(ChangedMerchant, await read_object(request)).given())
        return json_answer(merchant_object(await self._setup.change_merchant(merchant_id, actor=actor, **changes)))

    async def rotate_return_secret(self, request: web.Request, actor: str) -> web.Response:
        merchant_id = _merchant_id(request)
        await read_body(request)
        return json_answer({"return_secret": await self._setup.rotate_return_secret(merchant_id, actor=actor)})

    async def create_terminal(self, request: web.Request, actor: str) -> web.Response:
        merchant_id = _merchant_id(request)
        body = validated(NewTerminal, await read_object(request))
        terminal = await self._setup.add_terminal(
            merchant_id, body.name, body.gateway_url, body.api_key, body.mode, body.return_base_url, actor=actor
        )
        return json_answer(terminal_object(terminal), CREATED)

    async def list_terminals(self, request: web.Request, _actor: str) -> web.Response:
        merchant = await self._store.merchant(_merchant_id(request))
        rows = [terminal_object(terminal) for terminal in await self._store.list_terminals(merchant.id)]
        return page_answer(request, rows, None)

    async def get_terminal(self, request: web.Request, _actor: str) -> web.Response:
        return json_answer(terminal_object(await self._store.terminal(*_owned(request, "terminal"))))

    async def change_terminal(self, request: web.Request, actor: str) -> web.Response:
        ids = _owned(request, "terminal")
        changes = cast("TerminalChanges", validated(ChangedTerminal, await read_object(request)).given())
        return json_answer(terminal_object(await self._setup.change_terminal(*ids, actor=actor, **changes)))

    async def create_token(self, request: web.Request, actor: str) -> web.Response:
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
            actor=actor,
        )
        return json_answer(token_object(token) | {"token": text}, CREATED)

    async def list_tokens(self, request: web.Request, _actor: str) -> web.Response:
        merchant = await self._store.merchant(_merchant_id(request))
        return page_answer(request, [token_object(token) for token in await self._store.list_tokens(merchant.id)], None)

    async def get_token(self, request: web.Request, _actor: str) -> web.Response:
        return json_answer(token_object(await self._store.token(*_owned(request, "token"))))

    async def revoke_token(self, request: web.Request, actor: str) -> web.Response:
        ids = _owned(request, "token")
        query = validated(RevokeQuery, query_of(request))
        return json_answer(token_object(await self._setup.revoke_token(*ids, query.after_seconds, actor=actor)))

    async def create_endpoint(self, request: web.Request, actor: str) -> web.Response:
        merchant_id = _merchant_id(request)
        body = validated(CreateEndpoint, await read_object(request))
        endpoint, secret = await self._setup.add_endpoint(merchant_id, actor=actor, **body.model_dump())
        return json_answer(await endpoint_object(self._setup, endpoint) | {"secret": secret}, CREATED)

    async def list_endpoints(self, request: web.Request, _actor: str) -> web.Response:
        merchant = await self._store.merchant(_merchant_id(request))
        rows = await endpoint_objects(self._setup, await self._store.list_endpoints(merchant.id))
        return page_answer(request, rows, None)

    async def get_endpoint(self, request: web.Request, _actor: str) -> web.Response:
        endpoint = await self._store.endpoint(*_owned(request, "endpoint"))
        return json_answer(await endpoint_object(self._setup, endpoint))

    async def change_endpoint(self, request: web.Request, actor: str) -> web.Response:
        ids = _owned(request, "endpoint")
        body = validated(ChangeEndpoint, await read_object(request))
        changes = cast("EndpointChanges", {name: getattr(body, name) for name in body.model_fields_set})
        endpoint = await self._setup.change_endpoint(*ids, actor=actor, **changes)
        return json_answer(await endpoint_object(self._setup, endpoint))

    async def rotate_endpoint_secret(self, request: web.Request, actor: str) -> web.Response:
        ids = _owned(request, "endpoint")
        body = validated(RotateSecret, await read_optional_object(request))
        endpoint, secret = await self._setup.rotate_secret(*ids, body.overlap_seconds, actor=actor)
        return json_answer(await endpoint_object(self._setup, endpoint) | {"secret": secret})

    async def delete_endpoint(self, request: web.Request, actor: str) -> web.Response:
        await self._setup.delete_endpoint(*_owned(request, "endpoint"), actor=actor)
        return web.Response(status=204, headers=SECURITY_HEADERS)

    async def list_audit(self, request: web.Request, _actor: str) -> web.Response:
        query = validated(AuditQuery, query_of(request))
        scope = ("audit", query.merchant_id)
        after = None if query.cursor is None else read_cursor(query.cursor, scope)
        found = await self._store.list_audit(query.merchant_id, after, query.limit + 1)
        page = found[: query.limit]
        following = write_cursor(page[-1].id, scope) if len(found) > len(page) else None
        return page_answer(request, [audit_object(entry) for entry in page], following)

    async def check_up(self, request: web.Request, _actor: str) -> web.Response:
        body = validated(CheckUp, await read_object(request))
        doctor = self._doctor
        look = doctor.process() if body.merchant_id is None else doctor.merchant(body.merchant_id)
        return json_answer(findings_object(await self._tasks.run(look)))

    async def rotate_keys(self, request: web.Request, actor: str) -> web.Response:
        body = validated(Rotate, await read_object(request))
        return json_answer(rotated_object(await self._setup.rotate(body.limit, actor=actor)))


AdminHandler = Callable[[Admin, web.Request, str], Awaitable[web.Response]]

_ONE: Final = "/merchants/{merchant_id}"
# A GET also answers HEAD.
ROUTES: Final[tuple[tuple[str, str, AdminHandler], ...]] = (
    ("POST", "/merchants", Admin.create_merchant),
    ("GET", "/merchants", Admin.list_merchants),
    ("GET", _ONE, Admin.get_merchant),
    ("PATCH", _ONE, Admin.change_merchant),
    ("POST", f"{_ONE}/rotate-return-secret", Admin.rotate_return_secret),
    ("POST", f"{_ONE}/terminals", Admin.create_terminal),
    ("GET", f"{_ONE}/terminals", Admin.list_terminals),
    ("GET", f"{_ONE}/terminals/{{terminal_id}}", Admin.get_terminal),
    ("PATCH", f"{_ONE}/terminals/{{terminal_id}}", Admin.change_terminal),
    ("POST", f"{_ONE}/tokens", Admin.create_token),
    ("GET", f"{_ONE}/tokens", Admin.list_tokens),
    ("GET", f"{_ONE}/tokens/{{token_id}}", Admin.get_token),
    ("DELETE", f"{_ONE}/tokens/{{token_id}}", Admin.revoke_token),
    ("POST", f"{_ONE}/endpoints", Admin.create_endpoint),
    ("GET", f"{_ONE}/endpoints", Admin.list_endpoints),
    ("GET", f"{_ONE}/endpoints/{{endpoint_id}}", Admin.get_endpoint),
    ("PATCH", f"{_ONE}/endpoints/{{endpoint_id}}", Admin.change_endpoint),
    ("DELETE", f"{_ONE}/endpoints/{{endpoint_id}}", Admin.delete_endpoint),
    ("POST", f"{_ONE}/endpoints/{{endpoint_id}}/rotate-secret", Admin.rotate_endpoint_secret),
    ("GET", "/payments", Admin.list_payments),
    ("GET", "/payments/{payment_id}", Admin.get_payment),
    ("GET", "/payments/{payment_id}/timeline", Admin.get_payment_timeline),
    ("POST", "/payments/{payment_id}/resolve", Admin.resolve_payment),
    ("POST", "/recover", Admin.recover),
    ("GET", "/audit", Admin.list_audit),
    ("POST", "/keys/rotate", Admin.rotate_keys),
    ("POST", "/doctor", Admin.check_up),
)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


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
