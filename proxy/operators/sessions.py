"""Browsers' sessions: an operator's in the console, a merchant's in the portal, and the links that open the latter.

The browser's secret is random, and only its digest is stored, so every replica knows every session, and a reader of the
database can open none. A session ends by itself when it is idle or old, by logging out, and with the token that opened
it: every request verifies that token again.
"""

import hmac
import re
from typing import Final

import structlog

from proxy.audit.log import INSTALLATION
from proxy.kernel.clock import HOUR, MINUTE, Now
from proxy.kernel.ids import MERCHANT, NO_MERCHANT, Ids, digest, merchant_key
from proxy.kernel.rate_limits import RecentKeys
from proxy.merchants.cache import BeforeLookUp, unlimited
from proxy.operators.records import Session, SessionKind
from proxy.operators.repository import OperatorRepository

log = structlog.get_logger()

IDLE: Final = 30 * MINUTE
LONGEST: Final = {SessionKind.OPERATOR: 12 * HOUR, SessionKind.PORTAL: 8 * HOUR, SessionKind.LINK: 5 * MINUTE}
NOTED_EVERY: Final = MINUTE
"""Between two notes of one session's use: a page then costs a read, and seldom a write."""
MAX_SESSIONS: Final = 5000
MAX_SESSIONS_OF_SUBJECT: Final = 1000
"""Of one merchant, and of one of its tokens, which then takes no room that others need."""
_SECRET_CHARS: Final = 43  # 256 bits
_SECRET: Final = re.compile(r"([0-9A-Za-z]{8})[0-9A-Za-z]{43}")


class Sessions:
    def __init__(self, operators: OperatorRepository, ids: Ids, now: Now) -> None:
        self._operators = operators
        self._ids = ids
        self._now = now
        self._right = RecentKeys(MAX_SESSIONS * 2)

    async def open(
        self, kind: SessionKind, merchant_id: str, subject: str, embed_origin: str | None = None
    ) -> tuple[str, Session]:
        """The secret of a new session, which is shown once, and the session. Raises Conflict when they are too many."""
        key = merchant_key(NO_MERCHANT if merchant_id == INSTALLATION else merchant_id)
        secret, now = key + self._ids.random(_SECRET_CHARS), self._now()
        session = Session(merchant_id, digest(secret), kind, subject, embed_origin, now, now, now + LONGEST[kind])
        await self._operators.add_session(session, MAX_SESSIONS, MAX_SESSIONS_OF_SUBJECT)
        return secret, session

    async def find(self, secret: str, kind: SessionKind, before_look_up: BeforeLookUp = unlimited) -> Session | None:
        """The living session of this kind that a browser holds the secret of, noted as seen."""
        key = _key_of(secret)
        if key is None:
            return None
        hashed = digest(secret)
        if hashed not in self._right:
            before_look_up()
        session = await self._operators.session(key, hashed)
        now = self._now()
        if session is not None and max(session.created_at, session.seen_at) > now + NOTED_EVERY:
            # Only a clock that was ahead can say so, and by its times the session would live too long.
            log.warning("session_from_the_future", kind=session.kind, merchant_id=session.merchant_id)
            await self._operators.end_session(session.merchant_id, session.digest)
            session = None
        if session is None or session.kind is not kind or now >= session.expires_at:
            self._right.discard(hashed)
            return None
        self._right.add(hashed)
        if kind is not SessionKind.LINK:
            if now - session.seen_at >= IDLE:
                return None
            if now - session.seen_at >= NOTED_EVERY:
                await self._operators.touch_session(session.merchant_id, session.digest, now)
        return session

    async def close(self, secret: str) -> bool:
        """Ends it; gives whether there was one to end. Of two concurrent calls one gets True."""
        key = _key_of(secret)
        return key is not None and await self._operators.end_session(key, digest(secret))


def form_token(secret: str) -> str:
    """The token in the forms of a session: derived from its secret, which no other site can read."""
    return hmac.new(secret.encode(errors="surrogateescape"), b"form", "sha256").hexdigest()


def is_form_token(secret: str, text: str) -> bool:
    """Whether a form came from a page of this session."""
    return hmac.compare_digest(form_token(secret).encode(), text.encode(errors="surrogatepass"))


def _key_of(secret: str) -> str | None:
    found = _SECRET.fullmatch(secret)
    if found is None:
        return None
    merchant_id = f"{MERCHANT}_{found[1]}"
    return INSTALLATION if merchant_id == NO_MERCHANT else merchant_id
