"""NovinPal's calls over HTTP, each with its deadline, each always with an outcome."""

import json
from functools import partial
from typing import Final
from urllib.parse import quote, urlencode

from proxy.gateways.http_calls import FORM, JSON, FamilyClient
from proxy.gateways.invoice_script.wire import API_KEY, speaks_json
from proxy.gateways.novinpal.answers import request_outcome, verify_outcome
from proxy.gateways.novinpal.forms import FORMS
from proxy.gateways.port import (
    NO_PURCHASE,
    Account,
    CheckResult,
    Inquiry,
    Purchase,
    RequestResult,
)

_HEADERS: Final = {"Accept": "application/json", "User-Agent": "dargah"}


class NovinPalClient(FamilyClient):
    """Implements port.Gateway for NovinPal.

    `verify` is the capture, may be repeated, and needs no return. There is no inquiry. novinpal.ir/docs names an
    `invoice/reverse` whose parameters and time limit were not found, so `reverse` is not offered.
    """

    headers = _HEADERS
    reads_errors = True
    forms = FORMS

    async def request(
        self, account: Account, amount_rials: int, return_url: str, purchase: Purchase = NO_PURCHASE
    ) -> RequestResult:
        fields: dict[str, str | int | None] = {
            "api_key": account.credentials[API_KEY],
            "amount": amount_rials,
            "return_url": return_url,
            "order_id": str(purchase.number),
            "description": purchase.description or None,
            "mobile": purchase.mobile,
        }
        body, content_type = _encoded(account, fields)
        secrets = (account.credentials[API_KEY],)
        return await self._calls.request(
            account.gateway_url, "/invoice/request", body, request_outcome, secrets, return_url, content_type
        )

    async def confirm(self, account: Account, inquiry: Inquiry) -> CheckResult:
        api_key = account.credentials[API_KEY]
        body, content_type = _encoded(account, {"api_key": api_key, "ref_id": inquiry.invoice_key})
        meaning = partial(verify_outcome, inquiry.invoice_key)
        return await self._calls.check(account.gateway_url, "/invoice/verify", body, meaning, (api_key,), content_type)


def start_url(gateway_url: str, ref_id: str) -> str:
    """The address at the gateway where the customer pays."""
    return f"{gateway_url.rstrip('/')}/invoice/start/{quote(ref_id, safe='')}"


def _encoded(account: Account, fields: dict[str, str | int | None]) -> tuple[str, bytes]:
    """The body of a call without the fields that are None, and its Content-Type."""
    told = {name: value for name, value in fields.items() if value is not None}
    return (json.dumps(told), JSON) if speaks_json(account) else (urlencode(told), FORM)
