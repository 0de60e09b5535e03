"""Merchants, terminals and tokens as every call reads them, with the secrets of merchants and terminals opened."""

import hmac
from collections.abc import Callable

import structlog

from proxy.gateways.circuit_breaker import CircuitBreaker
from proxy.gateways.concurrency_limiter import ConcurrencyLimiter
from proxy.gateways.family import Family
from proxy.gateways.port import Account, Gateway
from proxy.gateways.registry import FAMILIES
from proxy.kernel.clock import Now
from proxy.kernel.errors import CredentialUnusable, InvalidInput, NotFound, Unauthenticated, VaultError, invalid
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import digest, merchant_of_api_token
from proxy.kernel.rate_limits import RecentKeys
from proxy.kernel.read_through_cache import ReadThroughCache
from proxy.merchants.merchant import RETURN_SECRETS, Merchant, Mode, Terminal, Token
from proxy.merchants.storage.repository import MerchantRepository
from proxy.merchants.vault import Vault, credential_secret

log = structlog.get_logger()

BeforeLookUp = Callable[[], None]
"""Called before the store is asked about a secret that was not right lately. Where it raises, nothing is asked."""


def unlimited() -> None:
    """Lets every look-up pass."""


class MerchantCache:
    """Every method raises the errors of the store.

    `on_use` is called with a used token when its row is read, every two seconds at most.
    """

    def __init__(
        self,
        merchants: MerchantRepository,
        vault: Vault,
        now: Now,
        on_use: Callable[[Token], None] = lambda _token: None,
    ) -> None:
        self._merchants = merchants
        self._vault = vault
        self._now = now
        self._cache = ReadThroughCache(now)
        # Tokens that were right when they were last looked at: no limit stops the next look at them.
        self._right = RecentKeys()
        self._on_use = on_use

    def forget(self) -> None:
        """Drops all that is kept: call it after a change."""
        self._cache.forget()

    async def authenticate(self, text: str, before_look_up: BeforeLookUp = unlimited) -> Token:
        """The token of this text. Raises Unauthenticated when it is unknown, malformed, revoked or expired."""
        hashed = digest(text)
        kept: Token | None = self._cache.fresh(hashed)
        token = kept or await self._read_token(text, hashed, before_look_up)
        if token is None or not token.alive(self._now()):
            self._right.discard(hashed)
            raise Unauthenticated
        if kept is None:
            self._right.add(hashed)
            self._on_use(token)
        return token

    async def _read_token(self, text: str, hashed: bytes, before_look_up: BeforeLookUp) -> Token | None:
        merchant_id = merchant_of_api_token(text)
        if merchant_id is None:
            raise Unauthenticated
        if hashed not in self._right:
            before_look_up()
        token = await self._merchants.token_by_digest(merchant_id, hashed)
        return token and self._cache.remember(hashed, token)

    async def merchant(self, merchant_id: str) -> Merchant:
        return await self._cache.get(("merchant", merchant_id), lambda: self._merchants.merchant(merchant_id))

    async def terminal(self, merchant_id: str, terminal_id: str) -> Terminal:
        return await self._cache.get(
            ("terminal", merchant_id, terminal_id), lambda: self._merchants.terminal(merchant_id, terminal_id)
        )

    async def account(self, terminal: Terminal) -> Account:
        """The terminal with its credentials, for a call to its gateway. They are kept opened as long as the row is.

        Raises CredentialUnusable unless each was sealed for the gateway_url, and for a family that is not known here:
        a newer Dargah at the same database may have more.
        """
        key = ("account", terminal.id)
        account: Account | None = self._cache.fresh(key)
        if account is None:
            account = self._cache.remember(key, await self._open_account(terminal))
        return account

    async def _open_account(self, terminal: Terminal) -> Account:
        owner = (terminal.merchant_id, terminal.id)
        family = _family_of(terminal)
        names = {credential.name: credential_secret(credential.name) for credential in family.credentials}
        try:
            opened = {key: await self._secret(*owner, name, terminal.gateway_url) for key, name in names.items()}
        except (VaultError, NotFound):
            # Another process may have changed them and the URL, and what is kept be a moment old.
            self._cache.drop(("secrets", terminal.id))
            terminal = await self._merchants.terminal(*owner)
            sealed, url = await self._merchants.secrets(*owner), terminal.gateway_url
            opened = {key: self._vault.open_destined(owner, sealed, name, url) for key, name in names.items()}
        options = {option.name: option.default for option in family.options} | dict(terminal.options)
        return Account(terminal.id, terminal.gateway_url, opened, family.name, options)

    async def return_secret(self, merchant_id: str, mode: Mode) -> str:
        """The secret that signs the return URLs of a mode to this merchant. Cached opened, like its row.

        Until its first use the test one is derived from the live one, and nothing signed by it verifies as live.
        """
        key = ("return_secret", merchant_id, mode)
        secret: str | None = self._cache.fresh(key)
        if secret is None:
            secret = self._cache.remember(key, await self._return_secret(merchant_id, mode))
        return secret

    async def _return_secret(self, merchant_id: str, mode: Mode) -> str:
        try:
            return await self._secret(merchant_id, merchant_id, RETURN_SECRETS[mode])
        except NotFound:
            if mode is Mode.LIVE:
                raise
        live = await self._secret(merchant_id, merchant_id, RETURN_SECRETS[Mode.LIVE])
        return hmac.digest(live.encode(), RETURN_SECRETS[mode].encode(), "sha256").hex()

    async def pick_terminal(self, token: Token, terminal_id: str | None) -> Terminal:
        """The terminal of a create with this token: the requested one, else the token's, else the only one.

        Raises InvalidInput about `terminal_id` when there is none, several, or one that this token may not use, and
        CredentialUnusable for a family that is not known here.
        """
        wanted = terminal_id or token.terminal_id
        terminal = await self._only(token) if wanted is None else await self._named_terminal(token.merchant_id, wanted)
        if token.terminal_id not in {None, terminal.id}:
            raise _bad_terminal(f"this token is bound to {token.terminal_id}", "این توکن به ترمینال دیگری بسته است")
        if terminal.mode is not token.mode:
            raise _bad_terminal(f"a {token.mode} token needs a {token.mode} terminal", "نوع توکن و ترمینال یکی نیست")
        if not terminal.enabled:
            raise _bad_terminal("this terminal is switched off", "این ترمینال خاموش است")
        _family_of(terminal)
        return terminal

    async def _named_terminal(self, merchant_id: str, terminal_id: str) -> Terminal:
        try:
            return await self.terminal(merchant_id, terminal_id)
        except NotFound:
            raise _bad_terminal("there is no such terminal", "چنین ترمینالی نیست") from None

    async def _only(self, token: Token) -> Terminal:
        terminals = await self._cache.get(
            ("terminals", token.merchant_id), lambda: self._merchants.list_terminals(token.merchant_id)
        )
        usable = [terminal for terminal in terminals if terminal.enabled and terminal.mode is token.mode]
        if len(usable) != 1:
            raise _bad_terminal(
                f"name one: this merchant has {len(usable)} {token.mode} terminals in use",
                f"یکی را نام ببرید: این پذیرنده {len(usable)} ترمینال فعال دارد",
            )
        return usable[0]

    async def _secret(self, merchant_id: str, owner_id: str, name: str, url: str | None = None) -> str:
        """The secret, for this URL where it leaves for one. Raises VaultError and NotFound."""
        secrets = await self._cache.get(("secrets", owner_id), lambda: self._merchants.secrets(merchant_id, owner_id))
        return self._vault.open_named(secrets, name, url)


@dataclass(frozen=True, slots=True)
class GuardedGateway:
    """The gateway, with the accounts of its terminals, and the concurrency limits and circuit breaker of its calls."""

    port: Gateway
    accounts: MerchantCache
    limiter: ConcurrencyLimiter
    breaker: CircuitBreaker


def _family_of(terminal: Terminal) -> Family:
    family = FAMILIES.get(terminal.gateway)
    if family is None:
        error = f"no family {terminal.gateway} is known here"
        log.error("credential_unusable", terminal_id=terminal.id, kind="gateway", error=error)
        raise CredentialUnusable(terminal.id, "gateway")
    return family


def _bad_terminal(detail: str, detail_fa: str) -> InvalidInput:
    return invalid("terminal_id", "terminal_unusable", detail, detail_fa)
