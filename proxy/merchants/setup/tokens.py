"""API tokens: issued once in plain text, kept as a digest, rotated with an overlap, revoked now or after a while."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from proxy.audit.log import AuditEntry
from proxy.gateways.port import INVOICE_SCRIPT
from proxy.gateways.registry import FAMILIES
from proxy.kernel.clock import DAY, MINUTE, SECOND, rfc3339
from proxy.kernel.errors import Conflict, NotFound, VaultError
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import TOKEN, digest
from proxy.merchants.merchant import DEFAULT_SCOPES, DEFAULT_STOREFRONT, AmountUnit, Mode, ReturnMethod, Scope, Token
from proxy.merchants.setup.fields import Inspection, SetupBase, require_room
from proxy.merchants.vault import SealedSecret

MAX_TOKENS: Final = 1000
PROTOCOLS: Final = tuple(name for name, family in FAMILIES.items() if family.shop_side is not None)
"""Those in which shops may speak."""
DEFAULT_OVERLAP_SECONDS: Final = DAY // SECOND
LONGEST_OVERLAP_SECONDS: Final = 7 * DAY // SECOND
RESTORABLE_FOR: Final = 10 * MINUTE
"""How long a revocation may be taken back: long enough for a mistake to be seen, too short to be forgotten."""
SHOWN_PREFIX_CHARS: Final = 20
"""`dg_live_`, the merchant's key, and 4 of the 22 secret characters; of a UUID the merchant and 14 of 74 bits."""


class Tokens(SetupBase):
    async def issue_token(
        self,
        merchant_id: str,
        storefront: str = DEFAULT_STOREFRONT,
        mode: Mode = Mode.LIVE,
        scopes: Iterable[Scope] | None = None,
        terminal_id: str | None = None,
        expires_at: int | None = None,
        amount_unit: AmountUnit = AmountUnit.RIAL,
        return_method: ReturnMethod = ReturnMethod.GET,
        *,
        any_https_return: bool = False,
        protocol: str = INVOICE_SCRIPT,
        actor: str,
    ) -> tuple[Token, str]:
        """The token's row and its text, which is shown once. `expires_at` is milliseconds since the epoch.

        `scopes` None is all but the drop-in's, and without webhooks for a token of one terminal; for another `protocol`
        than the script's it is the drop-in's alone.
        """
        look, now = self._inspect(), self._now()
        _check_protocol(look, protocol)
        look.raise_for_errors()
        text = self._new_text(merchant_id, mode, protocol)
        token = Token(
            id=self._ids.record(TOKEN, merchant_id, now),
            merchant_id=merchant_id,
            storefront=look.storefront("storefront", storefront),
            mode=mode,
            prefix=text[:SHOWN_PREFIX_CHARS],
            digest=digest(text),
            scopes=_default_scopes(terminal_id, protocol) if scopes is None else frozenset(scopes),
            terminal_id=terminal_id,
            created_at=now,
            expires_at=expires_at,
            revoked_at=None,
            amount_unit=amount_unit,
            return_method=return_method,
            any_https_return=any_https_return,
            protocol=protocol,
        )
        _check_rights(look, token, now)
        if terminal_id is not None:
            await self._check_terminal(look, token, terminal_id)
        look.raise_for_errors()
        require_room(len(await self._merchants.list_tokens(merchant_id)), MAX_TOKENS, "tokens", "توکن")
        await self._merchants.add_token(
            token, self._audit(merchant_id, actor, "token.issue", token.id, _audit_values(token))
        )
        return token, text

    async def revoke_token(self, merchant_id: str, token_id: str, after_seconds: int = 0, *, actor: str) -> Token:
        """The token, which ends after `after_seconds` (for a rotation with overlap). An earlier revocation stands."""
        look, now = self._inspect(), self._now()
        _check_overlap(look, "after_seconds", after_seconds)
        look.raise_for_errors()
        token = await self._merchants.token(merchant_id, token_id)
        revoked_at = now + after_seconds * SECOND
        if token.revoked_at is not None and token.revoked_at <= revoked_at:
            return token
        token = replace(token, revoked_at=revoked_at)
        data = {"revoked_at": rfc3339(revoked_at)}
        await self._merchants.save_token(token, self._audit(merchant_id, actor, "token.revoke", token_id, data))
        self._changed()
        return token

    async def restore_token(self, merchant_id: str, token_id: str, *, actor: str) -> Token:
        """The token, which works again. Raises Conflict when it was not revoked within RESTORABLE_FOR, or is over in
        any case.
        """
        token, now = await self._merchants.token(merchant_id, token_id), self._now()
        restored = replace(token, revoked_at=None)
        if token.revoked_at is None or not 0 <= now - token.revoked_at <= RESTORABLE_FOR or not restored.alive(now):
            raise Conflict("this revocation can no longer be taken back", "این باطل شدن دیگر پس گرفتنی نیست")
        data = {"revoked_at": rfc3339(token.revoked_at)}
        await self._merchants.restore_token(token, self._audit(merchant_id, actor, "token.restore", token_id, data))
        self._changed()
        return restored

    async def rotate_token(
        self, merchant_id: str, token_id: str, overlap_seconds: int = DEFAULT_OVERLAP_SECONDS, *, actor: str
    ) -> tuple[Token, str]:
        """A token that may do the same, with its text, shown once; the one before ends after the overlap.

        Raises Conflict for a token that is over already: nobody uses it, so there is nothing to change over.
        """
        look, now = self._inspect(), self._now()
        _check_overlap(look, "overlap_seconds", overlap_seconds)
        look.raise_for_errors()
        before = await self._merchants.token(merchant_id, token_id)
        if not before.alive(now):
            raise Conflict("this token is over; issue a new one", "این توکن پایان یافته است؛ توکن تازه بسازید")
        require_room(len(await self._merchants.list_tokens(merchant_id)), MAX_TOKENS, "tokens", "توکن")
        text = self._new_text(merchant_id, before.mode, before.protocol)
        after = replace(
            before,
            id=self._ids.record(TOKEN, merchant_id, now),
            prefix=text[:SHOWN_PREFIX_CHARS],
            digest=digest(text),
            created_at=now,
            revoked_at=None,
            last_used_at=None,
        )
        before = replace(before, revoked_at=now + overlap_seconds * SECOND)
        data = _audit_values(after) | {"replaces": token_id, "overlap_seconds": overlap_seconds}
        await self._merchants.replace_token(
            before, after, self._audit(merchant_id, actor, "token.rotate", after.id, data)
        )
        self._changed()
        return after, text

    def _new_text(self, merchant_id: str, mode: Mode, protocol: str) -> str:
        side = FAMILIES[protocol].shop_side
        uuid = side is not None and side.uuid_tokens
        return self._ids.uuid_token(merchant_id) if uuid else self._ids.api_token(merchant_id, mode)

    async def _check_terminal(self, look: Inspection, token: Token, terminal_id: str) -> None:
        try:
            terminal = await self._merchants.terminal(token.merchant_id, terminal_id)
        except NotFound:
            look.refuse("terminal_id", "terminal_unknown", "there is no such terminal", "چنین ترمینالی نیست")
            return
        if terminal.mode is not token.mode:
            look.refuse(
                "terminal_id",
                "mode_differs",
                f"is a {terminal.mode} terminal; a {token.mode} token needs a {token.mode} one",
                "نوع توکن و ترمینال یکی نیست",
            )


def _default_scopes(terminal_id: str | None, protocol: str) -> frozenset[Scope]:
    if protocol != INVOICE_SCRIPT:
        return frozenset({Scope.FACADE})
    return DEFAULT_SCOPES if terminal_id is None else DEFAULT_SCOPES - {Scope.WEBHOOKS}


def _check_protocol(look: Inspection, protocol: str) -> None:
    if protocol not in PROTOCOLS:
        named = ", ".join(PROTOCOLS)
        look.refuse("protocol", "unknown", f"must be one of {named}", f"باید یکی از اینها باشد: {named}")


def _check_overlap(look: Inspection, field: str, seconds: int) -> None:
    if not 0 <= seconds <= LONGEST_OVERLAP_SECONDS:
        look.refuse(field, "out_of_range", f"must be 0 to {LONGEST_OVERLAP_SECONDS}", "باید حداکثر هفت روز باشد")


def _check_rights(look: Inspection, token: Token, now: int) -> None:
    if not token.scopes:
        look.refuse("scopes", "too_few", "name at least one scope", "دست‌کم یک دسترسی نام ببرید")
    if token.protocol != INVOICE_SCRIPT and token.scopes != {Scope.FACADE}:
        look.refuse(
            "scopes",
            "only_facade",
            f"must be `facade` alone: a shop that speaks {token.protocol}'s protocol has no other calls",
            "باید تنها `facade` باشد: فروشگاهی که این پروتکل را می‌داند فراخوان دیگری ندارد",
        )
    if token.terminal_id is not None and Scope.WEBHOOKS in token.scopes:
        look.refuse(
            "scopes",
            "webhooks_of_one_terminal",
            "leave out `webhooks`: a token of one terminal has no endpoints, as they tell of every terminal's payments",
            "`webhooks` را بردارید: توکن یک ترمینال وب‌هوک ندارد، چون وب‌هوک از پرداخت‌های همهٔ ترمینال‌ها خبر می‌دهد",
        )
    if token.expires_at is not None and token.expires_at <= now:
        look.refuse("expires_at", "in_the_past", "must be later than now", "باید پس از اکنون باشد")


def _audit_values(token: Token) -> dict[str, object]:
    return {
        "storefront": token.storefront,
        "mode": token.mode,
        "prefix": token.prefix,
        "scopes": token.scope_names(),
        "terminal_id": token.terminal_id,
        "expires_at": None if token.expires_at is None else rfc3339(token.expires_at),
        "amount_unit": token.amount_unit,
        "return_method": token.return_method,
        "any_https_return": token.any_https_return,
        "protocol": token.protocol,
    }


MAX_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class RotationBatch:
    """A batch's result. `failed` names secrets that could not be opened; `done` when no other batch is worth asking."""

    kek_id: str
    rewrapped: int
    failed: tuple[str, ...]
    done: bool


class Rotation(SetupBase):
    async def rotate(self, limit: int = MAX_BATCH, *, actor: str) -> RotationBatch:
        """Rewraps up to `limit` secrets that are under another key, with an audit entry for each merchant touched."""
        kek_id, limit = self._vault.kek_id, min(limit, MAX_BATCH)
        batch = await self._merchants.sealed_otherwise(kek_id, limit)
        failed: list[str] = []
        pairs: list[tuple[SealedSecret, SealedSecret]] = []
        for sealed in batch:
            try:
                pairs.append((sealed, self._vault.rewrap(sealed)))
            except VaultError:
                failed.append(f"{sealed.owner_id} {sealed.name}")
        # Side by side, so that the store commits them together.
        audits = self._rotation_audits(pairs, actor)
        await asyncio.gather(*(self._merchants.rewrap(*pair, audit) for pair, audit in zip(pairs, audits, strict=True)))
        self._changed()
        done = len(batch) < limit or not pairs
        return RotationBatch(kek_id, len(pairs), tuple(failed), done)

    def _rotation_audits(self, pairs: list[tuple[SealedSecret, SealedSecret]], actor: str) -> list[AuditEntry | None]:
        counts = Counter(before.merchant_id for before, _ in pairs)
        audits: list[AuditEntry | None] = []
        for before, after in pairs:
            count = counts.pop(before.merchant_id, None)
            data = {"kek_id": after.kek_id, "secrets": count}
            first = count is not None
            audits.append(
                self._audit(before.merchant_id, actor, "keys.rotate", before.merchant_id, data) if first else None
            )
        return audits
