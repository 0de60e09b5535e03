"""Behpardakht Mellat's SOAP calls over HTTP, each with its deadline, each always with an outcome."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from proxy.gateways.answers import Answer, HttpAnswer, NoAnswer, parts_of
from proxy.gateways.http_calls import FamilyClient
from proxy.gateways.mellat.answers import (
    other_amount,
    pay_outcome,
    reversal_outcome,
    sale_of,
    settle_outcome,
    verify_outcome,
)
from proxy.gateways.mellat.forms import FORMS, RETURN
from proxy.gateways.mellat.soap import HEADERS, PATH, envelope, returned
from proxy.gateways.port import (
    NO_PURCHASE,
    Account,
    AmountDiffers,
    CheckOutcome,
    CheckResult,
    CheckUnknown,
    Inquiry,
    Purchase,
    RequestResult,
)
from proxy.locale.persian import tehran

TERMINAL_ID: Final = "terminal_id"
USERNAME: Final = "username"
PASSWORD: Final = "password"  # noqa: S105  the credential's name
MAX_ADDITIONAL_DATA: Final = 1000
_NO_PAYER: Final = "0"


class MellatClient(FamilyClient):
    """Implements port.Gateway for terminals of Behpardakht Mellat.

    `bpVerifyRequest`, `bpSettleRequest` and `bpReversalRequest` answer the same when they are repeated, and each needs
    the SaleReferenceId of the customer's return: without one nothing is sent. There is no `check`: the guide names no
    code that `bpInquiryRequest` would answer for a payment that waits for its verify, and what it is for, an answer to
    verify that was lost, another verify tells as well (43).
    """

    headers = HEADERS
    forms = FORMS

    async def request(
        self, account: Account, amount_rials: int, return_url: str, purchase: Purchase = NO_PURCHASE
    ) -> RequestResult:
        moment = datetime.fromtimestamp(self._now() / 1000, UTC).astimezone(tehran())
        fields = _login(account) | {
            "orderId": purchase.number,
            "amount": amount_rials,
            "localDate": f"{moment:%Y%m%d}",
            "localTime": f"{moment:%H%M%S}",
            "additionalData": purchase.description[:MAX_ADDITIONAL_DATA],
            "callBackUrl": return_url,
            "payerId": _NO_PAYER,
        }
        meaning = partial(pay_outcome, purchase.number)
        body = envelope("bpPayRequest", fields)
        return await self._calls.request(account.gateway_url, PATH, body, meaning, _secrets(account), return_url)

    async def confirm(self, account: Account, inquiry: Inquiry) -> CheckResult:
        """As the port has it. A return with another FinalAmount is AmountDiffers, and nothing is sent: money that
        nobody verifies goes back, and what the merchant would get of it the guide does not say.
        """
        other = other_amount(inquiry)
        if other is not None:
            return CheckResult(AmountDiffers(inquiry.invoice_key, other), 0)
        return await self._ask(account, inquiry, "bpVerifyRequest", partial(verify_outcome, inquiry.invoice_key))

    async def settle(self, account: Account, inquiry: Inquiry) -> CheckResult:
        return await self._ask(account, inquiry, "bpSettleRequest", partial(settle_outcome, inquiry))

    async def reverse(self, account: Account, inquiry: Inquiry) -> CheckResult:
        return await self._ask(account, inquiry, "bpReversalRequest", partial(reversal_outcome, inquiry.invoice_key))

    def _fields(self, answer: HttpAnswer) -> Mapping[str, Any] | NoAnswer:
        text = returned(answer, "bpVerifyRequest")
        return text if isinstance(text, NoAnswer) else {RETURN: text}

    async def _ask(
        self, account: Account, inquiry: Inquiry, operation: str, meaning: Callable[[Answer], CheckOutcome]
    ) -> CheckResult:
        sale = sale_of(inquiry.invoice_key, inquiry.evidence)
        if sale is None:
            return CheckResult(CheckUnknown(inquiry.invoice_key, "no_return"), 0)
        order_id, _ = parts_of(inquiry.invoice_key)
        # The number of such a call need not be unique: the guide has it equal to the order's.
        fields = _login(account) | {"orderId": order_id, "saleOrderId": order_id, "saleReferenceId": sale}
        return await self._calls.check(
            account.gateway_url, PATH, envelope(operation, fields), meaning, _secrets(account)
        )


def _login(account: Account) -> dict[str, str | int]:
    named = account.credentials
    return {"terminalId": named[TERMINAL_ID], "userName": named[USERNAME], "userPassword": named[PASSWORD]}


def _secrets(account: Account) -> tuple[str, str]:
    return account.credentials[USERNAME], account.credentials[PASSWORD]
