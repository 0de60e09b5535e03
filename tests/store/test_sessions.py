"""Browsers' sessions, on every store: what ends one, and that what a browser holds is stored nowhere."""

from dataclasses import dataclass

import pytest

from proxy.audit.chain import INSTALLATION
from proxy.clock import HOUR, MINUTE
from proxy.errors import Conflict
from proxy.ids import NO_MERCHANT
from proxy.operators.session_records import SessionKind
from proxy.operators.sessions import IDLE, LONGEST, MAX_SESSIONS, Sessions, form_token, is_form_token
from proxy.ports import Store
from store.records import IDS, MERCHANT_ID, NOW

OPERATOR, PORTAL, LINK = SessionKind.OPERATOR, SessionKind.PORTAL, SessionKind.LINK


@dataclass
class Clock:
    now: int = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(store: Store, clock: Clock) -> Sessions:
    return Sessions(store, IDS, clock)


async def test_a_session_is_found_by_what_the_browser_holds_and_by_nothing_else(
    sessions: Sessions, store: Store
) -> None:
    secret, session = await sessions.open(PORTAL, MERCHANT_ID, "tok_1", "https://shop.example")
    assert await sessions.find(secret, PORTAL) == session
    assert secret.encode() not in session.digest
    others = ["", "x", secret[:-1], secret + "0", secret[::-1], "\ud800", f"{NO_MERCHANT[4:]}{secret[8:]}"]
    assert [await sessions.find(other, PORTAL) for other in others] == [None] * len(others)
    assert [await sessions.find(secret, kind) for kind in (OPERATOR, LINK)] == [None, None]


async def test_an_operators_session_is_the_installations(sessions: Sessions) -> None:
    secret, session = await sessions.open(OPERATOR, INSTALLATION, "digest")
    assert session.merchant_id == INSTALLATION
    assert await sessions.find(secret, OPERATOR) == session


async def test_an_idle_session_ends_and_one_in_use_does_not(sessions: Sessions, clock: Clock) -> None:
    secret, _ = await sessions.open(OPERATOR, INSTALLATION, "digest")
    for _ in range(4):
        clock.now += IDLE - MINUTE
        assert await sessions.find(secret, OPERATOR) is not None
    clock.now += IDLE
    assert await sessions.find(secret, OPERATOR) is None


@pytest.mark.parametrize("kind", SessionKind)
async def test_every_session_ends_when_it_is_old(sessions: Sessions, clock: Clock, kind: SessionKind) -> None:
    secret, session = await sessions.open(kind, MERCHANT_ID, "tok_1")
    while clock.now + 20 * MINUTE < session.expires_at:
        clock.now += 20 * MINUTE
        assert await sessions.find(secret, kind) is not None
    clock.now = session.expires_at - 1
    assert await sessions.find(secret, kind) is not None
    clock.now = session.expires_at
    assert await sessions.find(secret, kind) is None
    assert session.expires_at - NOW == LONGEST[kind] <= 12 * HOUR


async def test_who_logged_out_is_out(sessions: Sessions) -> None:
    secret, _ = await sessions.open(OPERATOR, INSTALLATION, "digest")
    other, _ = await sessions.open(OPERATOR, INSTALLATION, "digest")
    await sessions.close(secret)
    await sessions.close("nonsense")
    assert await sessions.find(secret, OPERATOR) is None
    assert await sessions.find(other, OPERATOR) is not None


async def test_there_is_a_limit_to_sessions_that_lets_new_ones_in_as_old_ones_end(
    sessions: Sessions, clock: Clock
) -> None:
    for _ in range(MAX_SESSIONS):
        await sessions.open(LINK, MERCHANT_ID, "tok_1")
    with pytest.raises(Conflict):
        await sessions.open(LINK, MERCHANT_ID, "tok_1")
    await sessions.open(LINK, IDS.merchant(), "tok_1")
    clock.now += LONGEST[LINK]
    await sessions.open(LINK, MERCHANT_ID, "tok_1")


def test_a_forms_token_is_its_sessions_and_tells_nothing_of_the_secret() -> None:
    token = form_token("secret-a")
    assert is_form_token("secret-a", token)
    assert not is_form_token("secret-b", token)
    assert not is_form_token("secret-a", "")
    assert not is_form_token("secret-a", "\ud800")
    assert "secret" not in token
