"""The set-up of merchants, terminals and tokens by operators.

Every write carries its audit entry, which names the changed values and never a secret. A secret that Dargah makes is
returned once, by the call that makes it. Methods raise InvalidInput, NotFound, Conflict, and the errors of the store.
`actor` is the operator's name.
"""

from proxy.merchants.setup.fields import HttpPolicy
from proxy.merchants.setup.merchants import BrandingChanges, MerchantChanges, Merchants
from proxy.merchants.setup.terminals import TerminalChanges, Terminals
from proxy.merchants.setup.tokens import Rotation, RotationBatch, Tokens

__all__ = [
    "BrandingChanges",
    "HttpPolicy",
    "MerchantChanges",
    "MerchantSetup",
    "RotationBatch",
    "TerminalChanges",
]


class MerchantSetup(Merchants, Terminals, Tokens, Rotation):
    """Everything that can be set up, over one Base."""
