"""Zibal v1 over HTTP: request, inquiry and verify, each with its deadline, each always with an outcome."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

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
from proxy.gateways.zibal.answers import (
    check_outcome,
    confirm_outcome,
    lacks_numbers,
    request_outcome,
    verified_outcome,
)
from proxy.gateways.zibal.forms import FORMS

MERCHANT: Final = "merchant"
FEE_FROM_TRANSACTION: Final = 0
"""feeMode: the customer pays exactly the amount. With 2, which public clients know, the fee is added to it."""
_HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "dargah"}


class ZibalClient(FamilyClient):
    """Implements port.Gateway for Zibal v1.

    `verify` neither takes nor compares an amount: its answer names one, which the core compares. The trackId is a
    number on the wire and its digits here. No call needs a return, and the API has none that gives money back.
    """

    headers = _HEADERS
    forms = FORMS

    async def request(
        self, account: Account, amount_rials: int, return_url: str, purchase: Purchase = NO_PURCHASE
    ) -> RequestResult:
        merchant = account.credentials[MERCHANT]
        fields = {
            "merchant": merchant,
            "amount": amount_rials,
            "callbackUrl": return_url,
            "feeMode": FEE_FROM_TRANSACTION,
            "orderId": str(purchase.number) if purchase.number else None,
            "description": purchase.description or None,
            "mobile": purchase.mobile,
        }
        body = json.dumps({name: value for name, value in fields.items() if value is not None})
        return await self._calls.request(
            account.gateway_url, "/v1/request", body, request_outcome, (merchant,), return_url
        )

    async def check(self, account: Account, invoice_key: str, _evidence: Evidence = NO_EVIDENCE) -> CheckResult:
        return await self._ask(account, "inquiry", invoice_key, partial(check_outcome, invoice_key))

    async def confirm(self, account: Account, inquiry: Inquiry) -> CheckResult:
        """A second one is answered with 201, and with the payment's numbers where the host knows dataOnDoubleVerify;
        else the inquiry tells them.
        """
        key = inquiry.invoice_key
        result = await self._ask(account, "verify", key, partial(confirm_outcome, key), dataOnDoubleVerify=True)
        if not lacks_numbers(result.outcome):
            return result
        looked = await self._ask(account, "inquiry", key, partial(verified_outcome, key))
        return replace(looked, duration_ms=result.duration_ms + looked.duration_ms, fields=result.fields)

    async def _ask(
        self,
        account: Account,
        call: str,
        track_id: str,
        meaning: Callable[[Answer], CheckOutcome],
        **more: bool,
    ) -> CheckResult:
        merchant = account.credentials[MERCHANT]
        number = int(track_id) if track_id.isdecimal() else track_id
        body = json.dumps({"merchant": merchant, "trackId": number, **more})
        return await self._calls.check(account.gateway_url, f"/v1/{call}", body, meaning, (merchant,))
