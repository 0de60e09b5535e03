"""SEP's protocol over HTTP: the token request, VerifyTransaction and ReverseTransaction."""

import json
from functools import partial
from typing import Any, Final

from proxy.gateways.http_calls import FamilyClient
from proxy.gateways.port import (
    NO_PURCHASE,
    Account,
    CheckResult,
    CheckUnknown,
    Inquiry,
    Purchase,
    RequestResult,
)
from proxy.gateways.sep.answers import SepReceipt, confirm_outcome, ref_num_of, request_outcome, reverse_outcome
from proxy.gateways.sep.forms import FORMS
from proxy.kernel.clock import MINUTE

TERMINAL_ID: Final = "terminal_id"
LINK_LASTS: Final = 20 * MINUTE  # TokenExpiryInMin: 20 is the least, and what SEP takes where nothing is said
_REQUEST_PATH: Final = "/onlinepg/onlinepg"
_VERIFY_PATH: Final = "/verifyTxnRandomSessionkey/ipg/VerifyTransaction"
_REVERSE_PATH: Final = "/verifyTxnRandomSessionkey/ipg/ReverseTransaction"
_HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "dargah"}


class SepClient(FamilyClient):
    """Implements port.Gateway for SEP (Saman).

    `confirm` and `reverse` need the return's RefNum: without it they end as unknown, and nothing is sent.
    """

    headers = _HEADERS
    forms = FORMS

    async def request(
        self, account: Account, amount_rials: int, return_url: str, purchase: Purchase = NO_PURCHASE
    ) -> RequestResult:
        terminal_id = account.credentials[TERMINAL_ID]
        body = {
            "action": "token",
            "TerminalId": terminal_id,
            "Amount": amount_rials,
            "ResNum": str(purchase.number),
            "RedirectUrl": return_url,
            "TokenExpiryInMin": LINK_LASTS // MINUTE,
        }
        if purchase.mobile is not None:
            body["CellNumber"] = purchase.mobile
        meaning = partial(request_outcome, purchase.number)
        return await self._calls.request(
            account.gateway_url, _REQUEST_PATH, _json(body), meaning, (terminal_id,), return_url
        )

    async def confirm(self, account: Account, inquiry: Inquiry) -> CheckResult:
        receipt = _receipt(account, inquiry)
        if receipt is None:
            return _no_return(inquiry)
        meaning = partial(confirm_outcome, inquiry, receipt, self._now())
        return await self._calls.check(
            account.gateway_url, _VERIFY_PATH, _names(receipt), meaning, (receipt.terminal_id,)
        )

    async def reverse(self, account: Account, inquiry: Inquiry) -> CheckResult:
        receipt = _receipt(account, inquiry)
        if receipt is None:
            return _no_return(inquiry)
        meaning = partial(reverse_outcome, inquiry, receipt)
        return await self._calls.check(
            account.gateway_url, _REVERSE_PATH, _names(receipt), meaning, (receipt.terminal_id,)
        )


def _receipt(account: Account, inquiry: Inquiry) -> SepReceipt | None:
    ref_num = ref_num_of(inquiry)
    return None if ref_num is None else SepReceipt(ref_num, account.credentials[TERMINAL_ID])


def _no_return(inquiry: Inquiry) -> CheckResult:
    return CheckResult(CheckUnknown(inquiry.invoice_key, "no_return"), 0)


def _names(receipt: SepReceipt) -> str:
    return _json({"RefNum": receipt.ref_num, "TerminalNumber": int(receipt.terminal_id)})


def _json(body: dict[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":"))
