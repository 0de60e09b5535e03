"""Browsers' sessions: an operator's in the console, a merchant's in the portal, and the links that open the latter.

What the browser holds is random, and only its digest is stored, so every replica knows every session, and whoever reads
the database opens none. A session ends by itself when it is idle or old, by logging out, and with the token that it was
opened with: that is looked at again on every request, by those who know such tokens.
"""

import hmac
import re
from typing import Final

from proxy.audit.chain import INSTALLATION
from proxy.clock import HOUR, MINUTE
from proxy.ids import MERCHANT, NO_MERCHANT, Ids, digest, merchant_key
from proxy.operators.session_records import Session, SessionKind, SessionRows
from proxy.ports import Now

IDLE: Final = 30 * MINUTE
LONGEST: Final = {SessionKind.OPERATOR: 12 * HOUR, SessionKind.PORTAL: 8 * HOUR, SessionKind.LINK: 5 * MINUTE}
SEEN_EVERY: Final = MINUTE
"""Between two notes of one session's use: a page then costs a read, and seldom a write."""
MAX_SESSIONS: Final = 1000
_SECRET_CHARS: Final = 43  # 256 bits
_SECRET: Final = re.compile(r"([0-9A-Za-z]{8})[0-9A-Za-z]{43}")


class Sessions:
    def __init__(self, store: SessionRows, ids: Ids, now: Now) -> None:
        self._store = store
        self._ids = ids
        self._now = now

    async def open(
        self, kind: SessionKind, merchant_id: str, subject: str, embed_origin: str | None = None
    ) -> tuple[str, Session]:
        """The secret of a new session, which is shown once, and the session. Raises Conflict when they are too many."""
        key = merchant_key(NO_MERCHANT if merchant_id == INSTALLATION else merchant_id)
        secret, now = key + self._ids.random(_SECRET_CHARS), self._now()
        session = Session(merchant_id, digest(secret), kind, subject, embed_origin, now, now, now + LONGEST[kind])
        await self._store.add_session(session, MAX_SESSIONS)
        return secret, session

    async def find(self, secret: str, kind: SessionKind) -> Session | None:
        """The living session of this kind that a browser holds the secret of, noted as seen."""
        key = _key_of(secret)
        if key is None:
            return None
        session = await self._store.session(key, digest(secret))
        now = self._now()
        if session is None or session.kind is not kind or now >= session.expires_at:
            return None
        if kind is not SessionKind.LINK:
            if now - session.seen_at >= IDLE:
                return None
            if now - session.seen_at >= SEEN_EVERY:
                await self._store.touch_session(session.merchant_id, session.digest, now)
        return session

    async def close(self, secret: str) -> None:
        """Ends it, if there is one."""
        key = _key_of(secret)
        if key is not None:
            await self._store.end_session(key, digest(secret))


def form_token(secret: str) -> str:
    """What the forms of a session carry: made of its secret, which no other site can read."""
    return hmac.new(secret.encode(errors="surrogateescape"), b"form", "sha256").hexdigest()


def is_form_token(secret: str, text: str) -> bool:
    """Whether a form came from a page of this session."""
    return hmac.compare_digest(form_token(secret).encode(), text.encode(errors="replace"))


def _key_of(secret: str) -> str | None:
    found = _SECRET.fullmatch(secret)
    if found is None:
        return None
    merchant_id = f"{MERCHANT}_{found[1]}"
    return INSTALLATION if merchant_id == NO_MERCHANT else merchant_id
