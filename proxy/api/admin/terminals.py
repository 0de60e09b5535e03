"""`/admin/v1/merchants/…/terminals`, and the families of gateways that a terminal can be of."""

from collections.abc import Sequence
from typing import Any, Final, cast

from aiohttp import web

from proxy.api.admin.schemas import ChangedTerminal, NewTerminal
from proxy.api.middleware import MERCHANT_ID
from proxy.api.responses import json_answer, page_answer
from proxy.api.services import AdminServices
from proxy.gateways.family import Family, Traits
from proxy.gateways.registry import FAMILIES
from proxy.http.parsing import read_object, validated
from proxy.kernel.clock import SECOND, rfc3339
from proxy.kernel.errors import NotFound
from proxy.kernel.ids import merchant_of_id
from proxy.merchants.merchant import Terminal
from proxy.merchants.setup import TerminalChanges
from proxy.merchants.vault import credential_of
from proxy.operators.operators import Caller

CREATED: Final = 201


def terminal_object(terminal: Terminal, credentials: Sequence[str]) -> dict[str, Any]:
    """`credentials` are the names of those that are set."""
    return {
        "id": terminal.id,
        "merchant_id": terminal.merchant_id,
        "name": terminal.name,
        "mode": terminal.mode.value,
        "gateway": terminal.gateway,
        "gateway_url": terminal.gateway_url,
        "credentials": list(credentials),
        "options": dict(terminal.options),
        "return_base_url": terminal.return_base_url,
        "enabled": terminal.enabled,
        "created_at": rfc3339(terminal.created_at),
        "updated_at": rfc3339(terminal.updated_at),
    }


def family_object(family: Family) -> dict[str, Any]:
    """A family of gateways. Its addresses are null where each terminal has its own."""
    return {
        "name": family.name,
        **_titles(family.title),
        "gateway_url": family.gateway_url or None,
        "sandbox_url": family.sandbox_url,
        "credentials": [
            {
                "name": credential.name,
                **_titles(credential.title),
                "hint": credential.hint[0],
                "hint_fa": credential.hint[1],
            }
            for credential in family.credentials
        ],
        "options": [
            {
                "name": option.name,
                **_titles(option.title),
                "choices": list(option.choices),
                "default": option.default,
            }
            for option in family.options
        ],
        "traits": _traits_object(family.traits),
    }


def _titles(title: tuple[str, str]) -> dict[str, str]:
    return {"title": title[0], "title_fa": title[1]}


def _traits_object(traits: Traits) -> dict[str, Any]:
    return {
        "min_rials": traits.min_rials,
        "max_rials": traits.max_rials,
        "step_rials": traits.step_rials,
        "link_lasts_seconds": traits.link_lasts // SECOND,
        "checks": traits.checks,
        "confirms": traits.confirms,
        "settles": traits.settles,
        "reverses": traits.reverses,
        "needs_return": traits.needs_return,
        "gives_back_after_seconds": _seconds(traits.gives_back_after),
        "reverse_within_seconds": _seconds(traits.reverse_within),
        "tells_card": traits.tells_card,
        "locks_ip": traits.locks_ip,
        "locks_domain": traits.locks_domain,
        "wants_referrer": traits.wants_referrer,
        "sandbox": traits.sandbox,
    }


def _seconds(milliseconds: int | None) -> int | None:
    return None if milliseconds is None else milliseconds // SECOND


class AdminTerminals:
    """The handlers of terminals. Each gets the authenticated operator as its caller."""

    def __init__(self, services: AdminServices) -> None:
        self._store = services.store
        self._setup = services.setup

    async def create_terminal(self, request: web.Request, caller: Caller) -> web.Response:
        merchant_id = merchant_id_of_path(request)
        body = validated(NewTerminal, await read_object(request))
        terminal = await self._setup.add_terminal(
            merchant_id,
            body.name,
            body.gateway_url or None,
            body.api_key or None,
            body.mode,
            body.return_base_url,
            gateway=body.gateway,
            credentials=body.credentials,
            options=body.options,
            actor=caller.name,
        )
        return json_answer(await self._terminal_object(terminal), CREATED)

    async def list_terminals(self, request: web.Request, _caller: Caller) -> web.Response:
        merchant = await self._store.merchants.merchant(merchant_id_of_path(request))
        terminals = await self._store.merchants.list_terminals(merchant.id)
        names = await self._store.merchants.credential_names(merchant.id)
        rows = [terminal_object(terminal, names.get(terminal.id, ())) for terminal in terminals]
        return page_answer(request, rows, None)

    async def get_terminal(self, request: web.Request, _caller: Caller) -> web.Response:
        terminal = await self._store.merchants.terminal(*ids_of_path(request, "terminal"))
        return json_answer(await self._terminal_object(terminal))

    async def _terminal_object(self, terminal: Terminal) -> dict[str, Any]:
        secrets = await self._store.merchants.secrets(terminal.merchant_id, terminal.id)
        return terminal_object(terminal, [credential_of(secret.name) for secret in secrets])

    async def list_gateways(self, request: web.Request, _caller: Caller) -> web.Response:
        return page_answer(request, [family_object(family) for family in FAMILIES.values()], None)

    async def change_terminal(self, request: web.Request, caller: Caller) -> web.Response:
        ids = ids_of_path(request, "terminal")
        changes = cast("TerminalChanges", validated(ChangedTerminal, await read_object(request)).given())
        terminal = await self._setup.change_terminal(*ids, actor=caller.name, **changes)
        return json_answer(await self._terminal_object(terminal))


def merchant_id_of_path(request: web.Request) -> str:
    merchant_id = request.match_info["merchant_id"]
    request[MERCHANT_ID] = merchant_id
    return merchant_id


def ids_of_path(request: web.Request, kind: str) -> tuple[str, str]:
    """The merchant's id and the record's of the path. Raises NotFound when they do not belong together."""
    merchant_id, record_id = merchant_id_of_path(request), request.match_info[f"{kind}_id"]
    if merchant_of_id(record_id) != merchant_id:
        raise NotFound(kind)
    return merchant_id, record_id
