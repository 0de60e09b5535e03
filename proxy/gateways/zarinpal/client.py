"""ZarinPal v4 over HTTP: request, inquiry, verify and reverse, each with its deadline, each always with an outcome."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from proxy.gateways.answers import Answer
from proxy.gateways.http_calls import FamilyClient
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
)
from proxy.gateways.zarinpal.answers import (
    check_outcome,
    confirm_outcome,
    is_refusal,
    refused_reversal,
    request_outcome,
    reverse_outcome,
)
from proxy.gateways.zarinpal.forms import FORMS

MERCHANT_ID: Final = "merchant_id"
CURRENCY: Final = "IRR"
"""Always said: some of ZarinPal's clients take the amount for toman where it is left out."""
_CALLS: Final = "/pg/v4/payment"
_NO_DESCRIPTION: Final = "پرداخت"  # the field is required
_MAX_DESCRIPTION_CHARS: Final = 500
_HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "dargah"}


class ZarinPalClient(FamilyClient):
    """Implements port.Gateway for ZarinPal v4.

    `check` is inquiry.json, which may be polled. `confirm` is verify.json, which must not be: it answers -12 to too
    many attempts. Both say who they are by merchant_id and authority alone, so no return is needed.
    """

    headers = _HEADERS
    reads_errors = True
    forms = FORMS

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
        path = f"{_CALLS}/request.json"
        return await self._calls.request(
            account.gateway_url, path, json.dumps(body), request_outcome, (merchant_id,), return_url
        )

    async def check(self, account: Account, invoice_key: str, _evidence: Evidence = NO_EVIDENCE) -> CheckResult:
        meaning = partial(check_outcome, invoice_key)
        return await self._ask(account, "inquiry.json", {"authority": invoice_key}, meaning)

    async def confirm(self, account: Account, inquiry: Inquiry) -> CheckResult:
        """A second one for the same payment is answered with 101 and the same numbers: Captured, too."""
        fields = {"authority": inquiry.invoice_key, "amount": inquiry.amount_rials}
        return await self._ask(account, "verify.json", fields, partial(confirm_outcome, inquiry))

    async def reverse(self, account: Account, inquiry: Inquiry) -> CheckResult:
        """A refusal may be of what was reversed before, by a call whose answer was lost: then the inquiry decides."""
        authority = inquiry.invoice_key
        fields = {"authority": authority}
        result = await self._ask(account, "reverse.json", fields, partial(reverse_outcome, authority))
        if not is_refusal(result.outcome):
            return result
        checked = await self.check(account, authority)
        outcome = refused_reversal(result.outcome, checked.outcome)
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
