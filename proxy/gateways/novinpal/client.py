"""NovinPal's calls over HTTP, each with its deadline, each always with an outcome."""

import json
from functools import partial
from typing import Final
from urllib.parse import quote, urlencode

from proxy.gateways.http_calls import CHECK_SECONDS, DEFAULT_OPTIONS, FORM, JSON, REQUEST_SECONDS, HttpCalls
from proxy.gateways.invoice_script.wire import API_KEY, speaks_json
from proxy.gateways.novinpal.answers import request_outcome, verify_outcome
from proxy.gateways.port import (
    NO_EVIDENCE,
    NO_PURCHASE,
    Account,
    CheckResult,
    Evidence,
    Inquiry,
    Purchase,
    RequestResult,
    not_offered,
)
from proxy.http.outbound.connector import ClientOptions

_HEADERS: Final = {"Accept": "application/json", "User-Agent": "dargah"}


class NovinPalClient:
    """Implements port.Gateway for NovinPal. Made inside the running loop; `close` it when nothing is under way any
    more.

    `verify` is the capture, may be repeated, and needs no return. There is no inquiry. novinpal.ir/docs names an
    `invoice/reverse` whose parameters and time limit were not found, so `reverse` is not offered.
    """

    def __init__(
        self,
        options: ClientOptions = DEFAULT_OPTIONS,
        *,
        request_seconds: float = REQUEST_SECONDS,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        self._calls = HttpCalls(options, _HEADERS, request_seconds, check_seconds, reads_errors=True)

    async def close(self) -> None:
        await self._calls.close()

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
        secrets = (account.credentials[API_KEY], return_url, return_url.rpartition("/")[2])
        return await self._calls.request(
            account.gateway_url, "/invoice/request", body, request_outcome, secrets, content_type
        )

    async def check(self, _account: Account, invoice_key: str, _evidence: Evidence = NO_EVIDENCE) -> CheckResult:
        return not_offered(Inquiry(invoice_key, 0))

    async def confirm(self, account: Account, inquiry: Inquiry) -> CheckResult:
        api_key = account.credentials[API_KEY]
        body, content_type = _encoded(account, {"api_key": api_key, "ref_id": inquiry.invoice_key})
        meaning = partial(verify_outcome, inquiry.invoice_key)
        return await self._calls.check(account.gateway_url, "/invoice/verify", body, meaning, (api_key,), content_type)

    async def settle(self, _account: Account, inquiry: Inquiry) -> CheckResult:
        return not_offered(inquiry)

    async def reverse(self, _account: Account, inquiry: Inquiry) -> CheckResult:
        return not_offered(inquiry)


def start_url(gateway_url: str, ref_id: str) -> str:
    """The address at the gateway where the customer pays."""
    return f"{gateway_url.rstrip('/')}/invoice/start/{quote(ref_id, safe='')}"


def _encoded(account: Account, fields: dict[str, str | int | None]) -> tuple[str, bytes]:
    """The body of a call without the fields that are None, and its Content-Type."""
    told = {name: value for name, value in fields.items() if value is not None}
    return (json.dumps(told), JSON) if speaks_json(account) else (urlencode(told), FORM)
