"""The script's protocol over HTTP: `request` and `check`, each with its deadline, each always with an outcome.

The script is resold, and hosts changed it. poolam.ir takes a form; polam.io, of the same firm, JSON (larapay's
driver); moneypal.ir calls the return address `callback_url` (public clients). Both are options of a terminal.
"""

import json
from functools import lru_cache, partial
from typing import Final
from urllib.parse import quote, quote_plus

from proxy.gateways.http_calls import FORM, JSON, FamilyClient
from proxy.gateways.invoice_script.answers import check_outcome, request_outcome
from proxy.gateways.invoice_script.wire import API_KEY, RETURN_FIELD, speaks_json
from proxy.gateways.port import (
    NO_EVIDENCE,
    NO_PURCHASE,
    Account,
    CheckResult,
    Evidence,
    Purchase,
    RequestResult,
)

_HEADERS: Final = {"Accept": "application/json", "User-Agent": "dargah"}


class InvoiceScript(FamilyClient):
    """Implements port.Gateway for hosts of the script.

    `request` is never resent: a call that died may have made an invoice, so its outcome is unknown. `check` changes
    nothing at the gateway, so a stale idle socket is worth a second one at once. It reports money that is captured
    already: there is nothing to confirm, to settle or to reverse.
    """

    headers = _HEADERS

    async def request(
        self, account: Account, amount_rials: int, return_url: str, _purchase: Purchase = NO_PURCHASE
    ) -> RequestResult:
        api_key = account.credentials[API_KEY]
        field = account.options.get(RETURN_FIELD.name, RETURN_FIELD.default)
        if speaks_json(account):
            content_type = JSON
            body = json.dumps({"api_key": api_key, "amount": amount_rials, field: return_url})
        else:
            content_type = FORM
            body = f"api_key={_quoted(api_key)}&amount={amount_rials}&{field}={_quoted_url(return_url)}"
        return await self._calls.request(
            account.gateway_url, "/invoice/request", body, request_outcome, (api_key,), return_url, content_type
        )

    async def check(self, account: Account, invoice_key: str, _evidence: Evidence = NO_EVIDENCE) -> CheckResult:
        api_key = account.credentials[API_KEY]
        path = f"/invoice/check/{quote(invoice_key, safe='')}"
        as_json = speaks_json(account)
        body = json.dumps({"api_key": api_key}) if as_json else f"api_key={_quoted(api_key)}"
        meaning = partial(check_outcome, invoice_key)
        return await self._calls.check(account.gateway_url, path, body, meaning, (api_key,), JSON if as_json else FORM)


def _quoted_url(return_url: str) -> str:
    """Our own return links differ in the token at their end only, and quoting one takes longer than the rest of it."""
    base, slash, token = return_url.rpartition("/")
    return _quoted_base(base + slash) + _quoted(token)


def _quoted(text: str) -> str:
    return text if text.isascii() and text.isalnum() else quote_plus(text)


_quoted_base: Final = lru_cache(maxsize=1024)(quote_plus)
