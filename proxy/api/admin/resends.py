"""`/admin/v1/resends`: sending deliveries again over many endpoints, and how far that is."""

from hashlib import sha256
from typing import Annotated, Any, Final

import orjson
from aiohttp import web
from pydantic import Field

from proxy.api.admin.schemas import MerchantId
from proxy.api.fields import Input, ModeName, PageQuery, Printable, Time
from proxy.api.responses import first_page, json_answer, page_answer, read_cursor, write_cursor
from proxy.api.services import AdminServices
from proxy.api.v1.schemas import EventTypeName
from proxy.http.parsing import idempotency_key, query_of, read_body, read_object, validated
from proxy.kernel.clock import parse_rfc3339, rfc3339
from proxy.operators.operators import Caller
from proxy.webhooks.endpoint import Endpoint
from proxy.webhooks.resend import (
    UNDELIVERED,
    Resend,
    ResendActor,
    ResendChoice,
    ResendEndpoint,
    ResendFilter,
    ResendProgress,
    ResendRequest,
)
from proxy.webhooks.retry_policy import DeliveryStatus

MAX_IDS: Final = 100
Status = Annotated[DeliveryStatus, Field(strict=False)]


class NewResend(Input):
    """`POST /admin/v1/resends`: which deliveries; without statuses those that did not arrive."""

    since: Time
    until: Time | None = None
    merchant_ids: Annotated[list[MerchantId], Field(max_length=MAX_IDS)] = Field(default_factory=list)
    endpoint_ids: Annotated[list[Printable], Field(max_length=MAX_IDS)] = Field(default_factory=list)
    types: Annotated[list[EventTypeName], Field(max_length=20)] = Field(default_factory=list)
    statuses: Annotated[list[Status], Field(min_length=1, max_length=len(DeliveryStatus))] | None = None
    mode: ModeName | None = None
    dry_run: bool = False

    def filter(self, now: int) -> ResendFilter:
        return ResendFilter(
            parse_rfc3339(self.since),
            now + 1 if self.until is None else parse_rfc3339(self.until),
            UNDELIVERED if self.statuses is None else frozenset(self.statuses),
            frozenset(self.types),
            tuple(dict.fromkeys(self.merchant_ids)),
            tuple(dict.fromkeys(self.endpoint_ids)),
            self.mode,
        )


class AdminResends:
    """The handlers of resends. Each gets the authenticated operator as its caller."""

    def __init__(self, services: AdminServices) -> None:
        self._resends = services.resends
        self._store = services.store
        self._tasks = services.tasks

    async def create_resend(self, request: web.Request, caller: Caller) -> web.Response:
        """201 with the resend; 200 with the counts alone of a dry run."""
        key = idempotency_key(request)
        members = await read_object(request)
        body = validated(NewResend, members)
        choice = await self._resends.choose(body.filter(self._store.now()))
        if body.dry_run:
            return json_answer(choice_object(choice))
        digest = sha256(orjson.dumps(members, option=orjson.OPT_SORT_KEYS)).digest()
        asked = ResendRequest(choice, ResendActor(caller.name), key, digest)
        resend, _ = await self._tasks.run(self._resends.begin(asked))
        return json_answer(resend_object(resend), 201)

    async def list_resends(self, request: web.Request, _caller: Caller) -> web.Response:
        query = validated(PageQuery, query_of(request))
        scope = ("resends",)
        found = await self._store.resends.resends(read_cursor(query.cursor, scope), query.limit + 1)
        page, last = first_page(found, query.limit)
        return page_answer(request, [resend_object(each) for each in page], write_cursor(last, scope))

    async def get_resend(self, request: web.Request, _caller: Caller) -> web.Response:
        """The resend with each of its endpoints."""
        resend = await self._resends.known(request.match_info["resend_id"])
        parts = await self._store.resends.endpoints(resend.id)
        return json_answer(resend_object(resend) | {"endpoints": [part_object(each) for each in parts]})

    async def stop_resend(self, request: web.Request, caller: Caller) -> web.Response:
        await read_body(request)
        stopping = self._resends.stop(request.match_info["resend_id"], ResendActor(caller.name))
        return json_answer(resend_object(await self._tasks.run(stopping)))


def choice_object(choice: ResendChoice) -> dict[str, Any]:
    """What a dry run found. `held` are paused or disabled endpoints, which would get nothing."""
    return {
        "wanted": choice.total,
        "complete": choice.complete,
        "endpoints": [counted_object(*row) for row in choice.rows],
        "held": [counted_object(*row) for row in choice.off],
    }


def counted_object(endpoint: Endpoint, wanted: int) -> dict[str, Any]:
    return {
        "merchant_id": endpoint.merchant_id,
        "endpoint_id": endpoint.id,
        "mode": endpoint.mode.value,
        "url": endpoint.url,
        "state": endpoint.state.value,
        "wanted": wanted,
    }


def resend_object(resend: Resend) -> dict[str, Any]:
    wanted = resend.filter
    return {
        "id": resend.id,
        "state": resend.state.value,
        "created_at": rfc3339(resend.created_at),
        "created_by": resend.actor,
        "filter": {
            "since": rfc3339(wanted.since),
            "until": rfc3339(wanted.until),
            "statuses": sorted(wanted.statuses),
            "types": sorted(wanted.types),
            "merchant_ids": list(wanted.merchants),
            "endpoint_ids": list(wanted.endpoints),
            "mode": None if wanted.mode is None else wanted.mode.value,
        },
        "endpoint_count": resend.endpoints,
        **progress_object(resend.progress),
        "stopped_at": None if resend.stopped_at is None else rfc3339(resend.stopped_at),
        "ended_at": None if resend.ended_at is None else rfc3339(resend.ended_at),
    }


def progress_object(progress: ResendProgress) -> dict[str, int]:
    return {
        "wanted": progress.wanted,
        "requeued": progress.requeued,
        "delivered": progress.delivered,
        "failed_again": progress.failed,
    }


def part_object(part: ResendEndpoint) -> dict[str, Any]:
    return {
        "merchant_id": part.merchant_id,
        "endpoint_id": part.endpoint_id,
        **progress_object(part.progress),
        "ended_at": None if part.ended_at is None else rfc3339(part.ended_at),
    }
