"""Browsers' sessions: an operator's in the console, a merchant's in the portal, and the links that open the latter.

The browser's secret is random, and only its digest is stored, so every replica knows every session, and a reader of the
database can open none. A session ends by itself when it is idle or old, by logging out, by its operator or an owner,
and with the token that opened it: every request reads it and verifies that token again, at every replica. The word of a
provider is not asked for again, so that session keeps its role until it ends.
"""

import hmac
import re
from collections.abc import Sequence
from typing import Final

import structlog

from proxy.audit.log import INSTALLATION, AuditEntry
from proxy.kernel.clock import HOUR, MINUTE, Now
from proxy.kernel.errors import NotFound
from proxy.kernel.ids import AUDIT, MERCHANT, NO_MERCHANT, Ids, digest, merchant_key
from proxy.kernel.rate_limits import RecentKeys
from proxy.merchants.cache import BeforeLookUp, unlimited
from proxy.operators.records import Opener, Session, SessionKind
from proxy.operators.repository import OperatorRepository

log = structlog.get_logger()

IDLE: Final = 30 * MINUTE
LONGEST: Final = {SessionKind.OPERATOR: 12 * HOUR, SessionKind.PORTAL: 8 * HOUR, SessionKind.LINK: 5 * MINUTE}
NOTED_EVERY: Final = MINUTE
"""Between two notes of one session's use: a page then costs a read, and seldom a write."""
MAX_SESSIONS: Final = 5000
MAX_SESSIONS_OF_SUBJECT: Final = 1000
"""Of one merchant, and of one of its tokens, which then takes no room that others need."""
MAX_SESSIONS_OF_OPERATOR: Final = 20
"""Of one operator's token or person. A new one ends the oldest: to refuse it instead would be a way to lock its owner
out. 200 operators have room beside each other.
"""
NOBODY: Final = Opener()
_SECRET_CHARS: Final = 43  # 256 bits
_SECRET: Final = re.compile(r"([0-9A-Za-z]{8})[0-9A-Za-z]{43}")


class Sessions:
    def __init__(self, operators: OperatorRepository, ids: Ids, now: Now) -> None:
        self._operators = operators
        self._ids = ids
        self._now = now
        self._right = RecentKeys(MAX_SESSIONS * 2)

    async def open(
        self,
        kind: SessionKind,
        merchant_id: str,
        subject: str,
        embed_origin: str | None = None,
        opener: Opener = NOBODY,
    ) -> tuple[str, Session]:
        """The secret of a new session, which is shown once, and the session. Raises Conflict when they are too many."""
        key = merchant_key(NO_MERCHANT if merchant_id == INSTALLATION else merchant_id)
        secret, now = key + self._ids.random(_SECRET_CHARS), self._now()
        session = Session(
            *(merchant_id, digest(secret), kind, subject, embed_origin, now, now, now + LONGEST[kind]),
            *(opener.name, opener.role, opener.browser, opener.address, opener.second_factor),
        )
        if kind is SessionKind.OPERATOR:
            await self._operators.add_session(session, MAX_SESSIONS, MAX_SESSIONS_OF_OPERATOR, replaces=True)
        else:
            await self._operators.add_session(session, MAX_SESSIONS, MAX_SESSIONS_OF_SUBJECT)
        return secret, session

    async def operators(self, whose: Session | None = None) -> list[Session]:
        """The living sessions of operators, those last seen first; only of the person of the session `whose`."""
        now = self._now()
        found = await self._operators.list_sessions(INSTALLATION, now, now - IDLE)
        own = [each for each in found if whose is None or is_same_person(each, whose)]
        return sorted(own, key=lambda each: each.seen_at, reverse=True)

    async def end(self, session_id: str, within: Sequence[Session], actor: str) -> Session:
        """The one of this id among `within`, ended at once at every replica. Raises NotFound."""
        for session in within:
            if session.id == session_id:
                await self._end([session], actor)
                return session
        raise NotFound("session")

    async def end_others(self, kept: Session, actor: str) -> int:
        """Ends all other sessions of the same person; gives how many."""
        others = [each for each in await self.operators(kept) if each.id != kept.id]
        return await self._end(others, actor) if others else 0

    async def _end(self, sessions: Sequence[Session], actor: str) -> int:
        names = sorted({each.name or "" for each in sessions})
        now, data = self._now(), {"of": names, "count": len(sessions)}
        entry_id = self._ids.record(AUDIT, NO_MERCHANT, now)
        audit = AuditEntry(entry_id, INSTALLATION, now, actor, "session.end", INSTALLATION, data)
        return await self._operators.end_sessions([each.digest for each in sessions], audit)

    async def find(
        self, secret: str, kind: SessionKind, before_look_up: BeforeLookUp = unlimited, *, used: bool = True
    ) -> Session | None:
        """The living session of this kind that a browser holds the secret of.

        It is noted as seen where it is `used`: a page that loads itself again keeps nobody's session alive.
        """
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
            if used and now - session.seen_at >= NOTED_EVERY:
                await self._operators.touch_session(session.merchant_id, session.digest, now)
        return session

    async def close(self, secret: str) -> bool:
        """Ends it; gives whether there was one to end. Of two concurrent calls one gets True."""
        key = _key_of(secret)
        return key is not None and await self._operators.end_session(key, digest(secret))


def is_same_person(one: Session, other: Session) -> bool:
    """Whether two operators' sessions are of one person: by the provider's word, or by the name of the token."""
    if one.role is not None or other.role is not None:
        return one.role is not None and other.role is not None and one.subject == other.subject
    return one.subject == other.subject or (one.name is not None and one.name == other.name)


def form_token(secret: str, about: str = "form") -> str:
    """The token in the forms of a session: derived from its secret, which no other site can read.

    With `about` it is the token of this one act.
    """
    return hmac.new(secret.encode(errors="surrogateescape"), about.encode(errors="surrogatepass"), "sha256").hexdigest()


def is_form_token(secret: str, text: str) -> bool:
    """Whether a form came from a page of this session."""
    return hmac.compare_digest(form_token(secret).encode(), text.encode(errors="surrogatepass"))


def _key_of(secret: str) -> str | None:
    found = _SECRET.fullmatch(secret)
    if found is None:
        return None
    merchant_id = f"{MERCHANT}_{found[1]}"
    return INSTALLATION if merchant_id == NO_MERCHANT else merchant_id
