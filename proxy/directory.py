"""Who is asking, and which terminal serves them: rows that change seldom and are read by every call.

They are kept for a moment, so a revoked token or a changed key is honoured by every replica within
`MAX_AGE_SECONDS`, and at once by the process that made the change (`forget`).
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final, TypeVar

from proxy.clock import SECOND
from proxy.errors import InvalidInput, NotFound, Unauthenticated, invalid
from proxy.ids import digest, merchant_of_api_token
from proxy.merchant import Endpoint, Merchant, Terminal, Token
from proxy.ports import Now, Registry, Vault
from proxy.records import Account

MAX_AGE_SECONDS: Final = 2
MAX_ENTRIES: Final = 10_000

Row = TypeVar("Row")


class Directory:
    """Reads through a short memory; every method raises what the store raises.

    `on_use` hears of a token that is used, whenever its row is read for that: every two seconds at most.
    """

    def __init__(self, store: Registry, vault: Vault, now: Now) -> None:
        self._store = store
        self._vault = vault
        self._now = now
        self._kept: dict[Hashable, tuple[int, Any]] = {}
        self.on_use: Callable[[Token], None] = lambda _token: None

    def forget(self) -> None:
        """Drops all that is kept: call it after a change."""
        self._kept.clear()

    async def authenticate(self, text: str) -> Token:
        """The token of this text. Raises Unauthenticated when it is unknown, malformed, revoked or expired."""
        hashed = digest(text)
        kept: Token | None = self._fresh(hashed)
        token = kept or await self._read_token(text, hashed)
        if token is None or not token.alive(self._now()):
            raise Unauthenticated
        if kept is None:
            self.on_use(token)
        return token

    async def _read_token(self, text: str, hashed: bytes) -> Token | None:
        merchant_id = merchant_of_api_token(text)
        if merchant_id is None:
            raise Unauthenticated
        token = await self._store.token_by_digest(merchant_id, hashed)
        return token and self._remember(hashed, token)

    async def merchant(self, merchant_id: str) -> Merchant:
        return await self._keep(("merchant", merchant_id), lambda: self._store.merchant(merchant_id))

    async def terminal(self, merchant_id: str, terminal_id: str) -> Terminal:
        return await self._keep(
            ("terminal", merchant_id, terminal_id), lambda: self._store.terminal(merchant_id, terminal_id)
        )

    async def account(self, terminal: Terminal) -> Account:
        """The terminal with its api_key, for a call to its gateway. The opened key is kept as long as the row is."""
        key = ("account", terminal.id)
        account: Account | None = self._fresh(key)
        if account is None:
            api_key = await self._secret(terminal.merchant_id, terminal.id, "api_key")
            account = self._remember(key, Account(terminal.id, terminal.gateway_url, api_key))
        return account

    async def return_secret(self, merchant_id: str) -> str:
        """The secret that signs the customer's way back to this merchant's shop. Kept opened, as long as its row is."""
        key = ("return_secret", merchant_id)
        secret: str | None = self._fresh(key)
        if secret is None:
            secret = self._remember(key, await self._secret(merchant_id, merchant_id, "return_secret"))
        return secret

    async def signing_keys(self, endpoint: Endpoint) -> list[str]:
        """The keys that sign for this endpoint now, the current one first.

        Raises NotFound when it was deleted: nothing leaves unsigned.
        """
        key = ("signing", endpoint.id, endpoint.key_number, endpoint.signatures)
        keys: dict[str, str] | None = self._fresh(key)
        if keys is None:
            sealed = await self._store.secrets(endpoint.merchant_id, endpoint.id)
            if not sealed:
                raise NotFound("webhook endpoint")
            keys = self._remember(key, {secret.name: self._vault.open(secret) for secret in sealed})
        return [keys[name] for name in endpoint.key_names(self._now()) if name in keys]

    async def pick_terminal(self, token: Token, terminal_id: str | None) -> Terminal:
        """The terminal that a create with this token goes to: the one asked for, else the token's, else the only one.

        Raises InvalidInput about `terminal_id` when there is none, several, or one that this token may not use.
        """
        wanted = terminal_id or token.terminal_id
        terminal = await self._only(token) if wanted is None else await self._named(token.merchant_id, wanted)
        if token.terminal_id not in {None, terminal.id}:
            raise _bad_terminal(f"this token is bound to {token.terminal_id}", "این توکن به ترمینال دیگری بسته است")
        if terminal.mode is not token.mode:
            raise _bad_terminal(f"a {token.mode} token needs a {token.mode} terminal", "نوع توکن و ترمینال یکی نیست")
        if not terminal.enabled:
            raise _bad_terminal("this terminal is switched off", "این ترمینال خاموش است")
        return terminal

    async def _named(self, merchant_id: str, terminal_id: str) -> Terminal:
        try:
            return await self.terminal(merchant_id, terminal_id)
        except NotFound:
            raise _bad_terminal("there is no such terminal", "چنین ترمینالی نیست") from None

    async def _only(self, token: Token) -> Terminal:
        terminals = await self._keep(
            ("terminals", token.merchant_id), lambda: self._store.list_terminals(token.merchant_id)
        )
        usable = [terminal for terminal in terminals if terminal.enabled and terminal.mode is token.mode]
        if len(usable) != 1:
            raise _bad_terminal(
                f"name one: this merchant has {len(usable)} {token.mode} terminals in use",
                f"یکی را نام ببرید: این پذیرنده {len(usable)} ترمینال فعال دارد",
            )
        return usable[0]

    async def _secret(self, merchant_id: str, owner_id: str, name: str) -> str:
        sealed = await self._keep(("secrets", owner_id), lambda: self._store.secrets(merchant_id, owner_id))
        for secret in sealed:
            if secret.name == name:
                return self._vault.open(secret)
        raise NotFound("secret")

    async def _keep(self, key: Hashable, read: Callable[[], Awaitable[Row]]) -> Row:
        row: Row | None = self._fresh(key)
        return self._remember(key, await read()) if row is None else row

    def _fresh(self, key: Hashable) -> Any:
        kept = self._kept.get(key)
        return kept[1] if kept is not None and 0 <= self._now() - kept[0] < MAX_AGE_SECONDS * SECOND else None

    def _remember(self, key: Hashable, row: Row) -> Row:
        if len(self._kept) >= MAX_ENTRIES:
            self._kept.clear()
        self._kept[key] = (self._now(), row)
        return row


def _bad_terminal(detail: str, detail_fa: str) -> InvalidInput:
    return invalid("terminal_id", "terminal_unusable", detail, detail_fa)
