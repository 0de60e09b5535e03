"""Who looks at a page: an operator, a merchant's token, or an operator who sees what a token would."""

from collections.abc import Sequence
from dataclasses import field
from enum import StrEnum

from proxy.kernel.frozen import dataclass
from proxy.merchants.merchant import DEFAULT_STOREFRONT, Merchant, Mode, Scope, Token
from proxy.operators.operators import Caller
from proxy.operators.records import Role, Session


class Side(StrEnum):
    """Where the pages hang: the operator's console, or the merchant's portal."""

    CONSOLE = "/console"
    PORTAL = "/portal"


@dataclass(frozen=True, slots=True)
class MerchantView:
    """A shop's portal in the console: its `base`, and `shops`, which are all storefronts and modes of the merchant."""

    merchant: Merchant
    storefront: str
    mode: Mode
    shops: Sequence[tuple[str, Mode]]

    @property
    def base(self) -> str:
        return f"{Side.CONSOLE}{view_path(self.merchant.id, self.storefront, self.mode)}"


def view_path(merchant_id: str, storefront: str, mode: Mode) -> str:
    """Where the console has the portal of a shop."""
    return f"/as/{merchant_id}/{storefront}/{mode}"


def shops_of(tokens: Sequence[Token]) -> list[tuple[str, Mode]]:
    """The storefronts and modes that a merchant's tokens were ever for, live ones first; one where there are none."""
    shops = {(token.storefront, token.mode) for token in tokens} or {(DEFAULT_STOREFRONT, Mode.LIVE)}
    return sorted(shops, key=lambda shop: (shop[1] is not Mode.LIVE, shop[0]))


@dataclass(frozen=True, slots=True)
class Viewer:
    """The viewer of a session: an operator with a role, or a merchant's API token. `secret` is the secret of the
    browser's cookie, `session` an operator's, and `caller` who their token is of, where one opened it. In a `view` an
    operator sees what a token would, and changes nothing.
    """

    name: str
    secret: str = field(repr=False)
    role: Role | None = None
    token: Token | None = None
    session: Session | None = None
    caller: Caller | None = None
    embed_origin: str | None = None
    view: MerchantView | None = None

    @property
    def lacks_second_factor(self) -> bool:
        """Whether they could have one here: neither the settings' tokens can, nor whom a provider knows."""
        return self.caller is not None and self.caller.operator_id is not None and self.caller.second_factor is None

    @property
    def person(self) -> str:
        """The operator over all sessions: the name of their tokens, or who they are at the provider."""
        session = self.session
        return f"oidc {session.subject}" if session is not None and session.role is not None else self.name

    def may(self, role: Role, scope: Scope | None) -> bool:
        """Whether a route that needs this role, or of the portal this scope, is theirs."""
        if self.view is not None and role is not Role.READ:
            return False
        if self.token is not None:
            return scope is not None and self.token.allows(scope)
        return self.role is not None and self.role.covers(role)
