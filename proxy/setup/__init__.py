"""What operators set up, and merchants for their endpoints: merchants, terminals, tokens and where webhooks go.

Every write carries its audit entry, which tells what was set and never a secret. A secret that Dargah makes is
returned once, by the call that makes it. Methods raise InvalidInput, NotFound, Conflict, and what the store raises.
`actor` is who asks: an operator's name, or `token:<id>` for a merchant.
"""

from proxy.setup.endpoints import EndpointChanges, Endpoints
from proxy.setup.fields import EVENT_TYPES, HttpPolicy
from proxy.setup.merchants import MerchantChanges, MerchantLooks, Merchants
from proxy.setup.rotation import Rotated, Rotation
from proxy.setup.terminals import TerminalChanges, Terminals
from proxy.setup.tokens import Tokens

__all__ = [
    "EVENT_TYPES",
    "EndpointChanges",
    "HttpPolicy",
    "MerchantChanges",
    "MerchantLooks",
    "Rotated",
    "Setup",
    "TerminalChanges",
]


class Setup(Merchants, Terminals, Tokens, Endpoints, Rotation):
    """Everything that can be set up, over one Base."""
