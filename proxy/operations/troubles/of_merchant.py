"""What is wrong for a merchant: its endpoints that get nothing, its open reviews, and the gateways of its terminals.

The list of the whole installation names some of each kind alone. This one is read for one token, and has no more than
the token sees.
"""

from proxy.gateways.circuit_breaker import CircuitBreaker
from proxy.kernel.clock import Now
from proxy.kernel.errors import NotFound
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import merchant_of_id
from proxy.merchants.cache import MerchantCache
from proxy.merchants.merchant import Scope, Token
from proxy.operations.troubles.process import gateway_trouble
from proxy.operations.troubles.stored import TroubleRepository
from proxy.operations.troubles.trouble import NAMED, UNCLEAR_FOR, Trouble
from proxy.operations.troubles.troubles import ordered
from proxy.payments.access import Access


@dataclass(frozen=True, slots=True)
class MerchantTroubles:
    stored: TroubleRepository
    breaker: CircuitBreaker
    merchant_cache: MerchantCache
    now: Now

    async def seen_by(self, token: Token, access: Access) -> list[Trouble]:
        """Those of the token's records, in the order of the installation's list; of endpoints where it may see some."""
        endpoints = await access.endpoints(token.merchant_id) if token.allows(Scope.WEBHOOKS) else []
        stored = await self.stored.of_token(token, endpoints, self.now())
        return ordered([*stored, *await self._gateways(token)])

    async def _gateways(self, token: Token) -> list[Trouble]:
        found: list[Trouble] = []
        for terminal_id, unclear in self.breaker.unclear(UNCLEAR_FOR).items():
            if merchant_of_id(terminal_id) != token.merchant_id or len(found) == NAMED:
                continue
            try:
                terminal = await self.merchant_cache.terminal(token.merchant_id, terminal_id)
            except NotFound:
                continue
            if token.sees(token.storefront, terminal.mode, terminal_id):
                found.append(gateway_trouble(terminal, unclear, self.now()))
        return found
