"""The list of families, and the gateway that passes each call on to its terminal's family.

A new family is its folder, and a line here.
"""

from collections.abc import Callable, Mapping
from typing import Final

from proxy.gateways import invoice_script, mellat, novinpal, sadad, sep, zarinpal, zibal
from proxy.gateways.family import Family
from proxy.gateways.port import (
    NO_EVIDENCE,
    NO_PURCHASE,
    Account,
    CheckResult,
    Evidence,
    GatewayClient,
    Inquiry,
    Purchase,
    RequestResult,
)

FAMILIES: Final[Mapping[str, Family]] = {
    family.name: family
    for family in (
        invoice_script.FAMILY,
        zarinpal.FAMILY,
        zibal.FAMILY,
        sep.FAMILY,
        sadad.FAMILY,
        mellat.FAMILY,
        novinpal.FAMILY,
    )
}
"""Every family by its name, in the order in which people are shown them."""


class Families:
    """Implements port.Gateway: each call goes to the client of its account's family.

    `make` makes a family's client inside the running loop, at its first call. `close` when nothing is under way any
    more.
    """

    def __init__(self, make: Callable[[Family], GatewayClient]) -> None:
        self._make = make
        self._clients: dict[str, GatewayClient] = {}

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    async def request(
        self, account: Account, amount_rials: int, return_url: str, purchase: Purchase = NO_PURCHASE
    ) -> RequestResult:
        return await self._client(account).request(account, amount_rials, return_url, purchase)

    async def check(self, account: Account, invoice_key: str, evidence: Evidence = NO_EVIDENCE) -> CheckResult:
        return await self._client(account).check(account, invoice_key, evidence)

    async def confirm(self, account: Account, inquiry: Inquiry) -> CheckResult:
        return await self._client(account).confirm(account, inquiry)

    async def settle(self, account: Account, inquiry: Inquiry) -> CheckResult:
        return await self._client(account).settle(account, inquiry)

    async def reverse(self, account: Account, inquiry: Inquiry) -> CheckResult:
        return await self._client(account).reverse(account, inquiry)

    def _client(self, account: Account) -> GatewayClient:
        client = self._clients.get(account.gateway)
        if client is None:
            client = self._clients[account.gateway] = self._make(FAMILIES[account.gateway])
        return client
