"""Sadad's protocol over HTTP: PaymentRequest and Advice/Verify, each signed with the terminal's 3DES key."""

import base64
import json
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.padding import PKCS7

from proxy.gateways.answers import parts_of
from proxy.gateways.http_calls import FamilyClient
from proxy.gateways.port import (
    NO_PURCHASE,
    Account,
    CheckResult,
    Inquiry,
    Purchase,
    RequestResult,
)
from proxy.gateways.sadad.answers import confirm_outcome, request_outcome
from proxy.gateways.sadad.forms import FORMS
from proxy.locale.persian import tehran

MERCHANT_ID: Final = "merchant_id"
TERMINAL_ID: Final = "terminal_id"
KEY: Final = "key"
_REQUEST_PATH: Final = "/api/v0/Request/PaymentRequest"
_VERIFY_PATH: Final = "/api/v0/Advice/Verify"
# multipay sends an empty User-Agent, and a client in Go says why: Sadad has refused others.
_HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": ""}
_NOON: Final = 12


class SadadClient(FamilyClient):
    """Implements port.Gateway for Sadad (Melli).

    `confirm` needs no return: the token is enough. The guide has no call that gives confirmed money back.
    """

    headers = _HEADERS
    forms = FORMS

    async def request(
        self, account: Account, amount_rials: int, return_url: str, purchase: Purchase = NO_PURCHASE
    ) -> RequestResult:
        terminal_id = account.credentials[TERMINAL_ID]
        body = {
            "MerchantId": account.credentials[MERCHANT_ID],
            "TerminalId": terminal_id,
            "Amount": amount_rials,
            "OrderId": purchase.number,
            "LocalDateTime": local_date_time(self._now()),
            "ReturnUrl": return_url,
            "SignData": sign_data(account.credentials[KEY], f"{terminal_id};{purchase.number};{amount_rials}"),
        }
        meaning = partial(request_outcome, purchase.number)
        return await self._calls.request(
            account.gateway_url, _REQUEST_PATH, _json(body), meaning, _secrets(account), return_url
        )

    async def confirm(self, account: Account, inquiry: Inquiry) -> CheckResult:
        token = parts_of(inquiry.invoice_key)[1]
        body = _json({"Token": token, "SignData": sign_data(account.credentials[KEY], token)})
        meaning = partial(confirm_outcome, inquiry)
        return await self._calls.check(account.gateway_url, _VERIFY_PATH, body, meaning, _secrets(account))


def sign_data(key: str, text: str) -> str:
    """SignData: `text` by 3DES (ECB, PKCS7) in base64. `key` is the terminal's, 24 bytes in base64."""
    padder = PKCS7(TripleDES.block_size).padder()
    padded = padder.update(text.encode()) + padder.finalize()
    # The cipher and its mode are the gateway's.
    cipher = Cipher(TripleDES(base64.b64decode(key)), modes.ECB())  # noqa: S305  # nosec B305
    encryptor = cipher.encryptor()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


def local_date_time(now: int) -> str:
    """LocalDateTime of `now`, milliseconds since the epoch: `11/30/2026 1:05:09 pm` in Tehran, as Sadad's own sample
    writes it (`m/d/Y g:i:s a` of PHP), without the process's locale.
    """
    moment = datetime.fromtimestamp(now // 1000, UTC).astimezone(tehran())
    half = "am" if moment.hour < _NOON else "pm"
    return f"{moment:%m/%d/%Y} {moment.hour % _NOON or _NOON}:{moment:%M:%S} {half}"


def _secrets(account: Account) -> tuple[str, ...]:
    return account.credentials[KEY], account.credentials[MERCHANT_ID], account.credentials[TERMINAL_ID]


def _json(body: dict[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":"))
