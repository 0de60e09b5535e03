"""ZarinPal v4 over HTTP: request, inquiry, verify and reverse, each with its deadline, each always with an outcome."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from proxy.gateways.answers import Answer
from proxy.gateways.http_calls import CHECK_SECONDS, DEFAULT_OPTIONS, REQUEST_SECONDS, HttpCalls
from proxy.gateways.port import (
    NO_EVIDENCE,
    NO_PURCHASE,
    Account,
    CheckOutcome,
    CheckResult,
    Evidence,
    Inquiry,
    Purchase,
    RequestResult,
    Reversed,
    not_offered,
)
from proxy.gateways.zarinpal.answers import (
    check_outcome,
    confirm_outcome,
    may_be_reversed_before,
    request_outcome,
    reverse_outcome,
)
from proxy.http.outbound.connector import ClientOptions

MERCHANT_ID: Final = "merchant_id"
CURRENCY: Final = "IRR"
"""Always said: some of ZarinPal's clients take the amount for toman where it is left out."""
_CALLS: Final = "/pg/v4/payment"
_NO_DESCRIPTION: Final = "پرداخت"  # the field is required
_MAX_DESCRIPTION_CHARS: Final = 500
_HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "dargah"}


class ZarinPalClient:
    """Implements port.Gateway for ZarinPal v4. Made inside the running loop; `close` it when nothing is under way any
    more.

    `check` is inquiry.json, which may be polled. `confirm` is verify.json, which must not be: it answers -12 to too
    many attempts. Both say who they are by merchant_id and authority alone, so no return is needed.
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
        merchant_id = account.credentials[MERCHANT_ID]
        body = {
            "merchant_id": merchant_id,
            "amount": amount_rials,
            "currency": CURRENCY,
            "description": purchase.description[:_MAX_DESCRIPTION_CHARS].strip() or _NO_DESCRIPTION,
            "callback_url": return_url,
            **_for_reports(purchase),
        }
        secrets = (merchant_id, return_url, return_url.rpartition("/")[2])
        path = f"{_CALLS}/request.json"
        return await self._calls.request(account.gateway_url, path, json.dumps(body), request_outcome, secrets)

    async def check(self, account: Account, invoice_key: str, _evidence: Evidence = NO_EVIDENCE) -> CheckResult:
        meaning = partial(check_outcome, invoice_key)
        return await self._ask(account, "inquiry.json", {"authority": invoice_key}, meaning)

    async def confirm(self, account: Account, inquiry: Inquiry) -> CheckResult:
        """A second one for the same payment is answered with 101 and the same numbers: Captured, too."""
        fields = {"authority": inquiry.invoice_key, "amount": inquiry.amount_rials}
        return await self._ask(account, "verify.json", fields, partial(confirm_outcome, inquiry))

    async def settle(self, _account: Account, inquiry: Inquiry) -> CheckResult:
        return not_offered(inquiry)

    async def reverse(self, account: Account, inquiry: Inquiry) -> CheckResult:
        """-61 says both that there is nothing to reverse and that it was reversed before: then the inquiry decides."""
        authority = inquiry.invoice_key
        fields = {"authority": authority}
        result = await self._ask(account, "reverse.json", fields, partial(reverse_outcome, authority))
        if not may_be_reversed_before(result.outcome):
            return result
        checked = await self.check(account, authority)
        outcome = checked.outcome if isinstance(checked.outcome, Reversed) else result.outcome
        return replace(result, outcome=outcome, duration_ms=result.duration_ms + checked.duration_ms)

    async def _ask(
        self, account: Account, call: str, fields: Mapping[str, Any], meaning: Callable[[Answer], CheckOutcome]
    ) -> CheckResult:
        merchant_id = account.credentials[MERCHANT_ID]
        body = json.dumps({"merchant_id": merchant_id, **fields})
        return await self._calls.check(account.gateway_url, f"{_CALLS}/{call}", body, meaning, (merchant_id,))


def _for_reports(purchase: Purchase) -> dict[str, dict[str, str]]:
    """What the gateway's reports show: our number as order_id, and the mobile number, which its pay page uses too."""
    known = {"mobile": purchase.mobile, "order_id": str(purchase.number) if purchase.number else None}
    told = {name: value for name, value in known.items() if value}
    return {"metadata": told} if told else {}
