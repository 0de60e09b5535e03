"""`/admin/v1/operators`, `/admin/v1/me` and `/admin/v1/audit`: operators, and their entries in the audit log."""

from typing import Any, Final

from aiohttp import web

from proxy.api.admin.schemas import AuditQuery, NewOperator, RevokeQuery, RotateToken, VerifyQuery
from proxy.api.admin.setup import audit_object, optional_time
from proxy.api.middleware import MERCHANT_ID
from proxy.api.responses import first_page, json_answer, page_answer, read_cursor, write_cursor
from proxy.api.services import AdminServices
from proxy.audit.log import INSTALLATION, AuditLog, ChainVerification
from proxy.http.parsing import query_of, read_object, read_optional_object, validated
from proxy.kernel.clock import rfc3339
from proxy.operators.operators import Caller
from proxy.operators.records import Operator

CREATED: Final = 201


class AdminOperators:
    """The handlers of operators. Each gets the authenticated operator as its caller."""

    def __init__(self, services: AdminServices) -> None:
        self._store = services.store
        self._operators = services.operators
        self._second_factors = services.second_factors
        self._audit_log = AuditLog(services.store.audit)

    async def who_am_i(self, _request: web.Request, caller: Caller) -> web.Response:
        return json_answer({"name": caller.name, "role": caller.role.value, "operator_id": caller.operator_id})

    async def add_operator(self, request: web.Request, caller: Caller) -> web.Response:
        body = validated(NewOperator, await read_object(request))
        operator, text = await self._operators.add(body.name, body.role, body.expires_at_ms(), actor=caller.name)
        return json_answer(operator_object(operator) | {"token": text}, CREATED)

    async def list_operators(self, request: web.Request, _caller: Caller) -> web.Response:
        return page_answer(
            request, [operator_object(each) for each in await self._store.operators.list_operators()], None
        )

    async def get_operator(self, request: web.Request, _caller: Caller) -> web.Response:
        return json_answer(operator_object(await self._store.operators.operator(_operator_id(request))))

    async def rotate_operator(self, request: web.Request, caller: Caller) -> web.Response:
        body = validated(RotateToken, await read_optional_object(request))
        rotating = self._operators.rotate(_operator_id(request), body.overlap_seconds, actor=caller.name)
        operator, text = await rotating
        return json_answer(operator_object(operator) | {"token": text}, CREATED)

    async def revoke_operator(self, request: web.Request, caller: Caller) -> web.Response:
        query = validated(RevokeQuery, query_of(request))
        revoked = await self._operators.revoke(_operator_id(request), query.after_seconds, actor=caller.name)
        return json_answer(operator_object(revoked))

    async def remove_second_factor(self, request: web.Request, caller: Caller) -> web.Response:
        """Where there is none, nothing is done."""
        before = await self._store.operators.operator(_operator_id(request))
        await self._second_factors.remove(before, caller.name)
        return json_answer(operator_object(await self._store.operators.operator(before.id)))

    async def list_audit(self, request: web.Request, _caller: Caller) -> web.Response:
        query = validated(AuditQuery, query_of(request))
        scope = ("audit", query.merchant_id)
        after = read_cursor(query.cursor, scope)
        found = await self._store.audit.list_audit(query.merchant_id, after, query.limit + 1)
        page, last = first_page(found, query.limit)
        return page_answer(request, [audit_object(entry) for entry in page], write_cursor(last, scope))

    async def verify_audit(self, request: web.Request, _caller: Caller) -> web.Response:
        """One chain when it is named, else a page of them."""
        query = validated(VerifyQuery, query_of(request))
        if query.merchant_id is not None:
            request[MERCHANT_ID] = query.merchant_id
            return page_answer(
                request, [verified_object(await self._verify_chain(query.merchant_id, query.number))], None
            )
        scope = ("audit.verify",)
        after = read_cursor(query.cursor, scope) or ""
        found = await self._audit_log.chains(after, query.limit + 1)
        chains, last = first_page(found, query.limit, id_of=str)
        page = [await self._audit_log.verify(merchant_id) for merchant_id in chains]
        return page_answer(request, [verified_object(each) for each in page], write_cursor(last, scope))

    async def _verify_chain(self, merchant_id: str, number: int) -> ChainVerification:
        verified = await self._audit_log.verify(merchant_id, number)
        if verified.reached.number == 0 and merchant_id != INSTALLATION:
            # No chain at all: of a merchant that there is, that is told; of one that there is not, NotFound.
            await self._store.merchants.merchant(merchant_id)
        return verified


def operator_object(operator: Operator) -> dict[str, Any]:
    """`prefix` is the part of the token that may be shown; the digest stays inside."""
    return {
        "id": operator.id,
        "name": operator.name,
        "role": operator.role.value,
        "prefix": operator.prefix,
        "created_at": rfc3339(operator.created_at),
        "expires_at": optional_time(operator.expires_at),
        "revoked_at": optional_time(operator.revoked_at),
        "last_used_at": optional_time(operator.last_used_at),
        "second_factor_at": optional_time(operator.second_factor_at),
    }


def verified_object(verified: ChainVerification) -> dict[str, Any]:
    """`number` and `hash` are of the last entry up to which the chain is whole; `noted_hash` of the one asked about."""
    broken = verified.broken
    return {
        "chain": verified.merchant_id,
        "number": verified.reached.number,
        "hash": verified.reached.hash.hex(),
        "noted_hash": verified.noted and verified.noted.hex(),
        "broken": broken and {"number": broken.number, "fault": broken.fault.value, "entry_id": broken.entry_id},
    }


def _operator_id(request: web.Request) -> str:
    return request.match_info["operator_id"]
