"""What a browser holds between an operator's token and their code, and for a month after a login.

It is signed, and stored nowhere: a row for each begun login would let anybody with a token fill the table.
"""

import hmac
from collections.abc import Sequence
from typing import Final

from proxy.kernel.clock import DAY, MINUTE, SECOND, Now
from proxy.kernel.ids import Ids

BEGUN_FOR: Final = 5 * MINUTE
BEGUN_SECONDS: Final = BEGUN_FOR // SECOND
KNOWN_FOR: Final = 30 * DAY
KNOWN_SECONDS: Final = KNOWN_FOR // SECOND
PURPOSE: Final = "login tickets"
_BROWSER_CHARS: Final = 16
_MAX_CHARS: Final = 200


class LoginTickets:
    """`keys` sign by the first and are all believed, so that a change of the key ring ends no login."""

    def __init__(self, keys: Sequence[bytes], ids: Ids, now: Now) -> None:
        self._keys = keys
        self._ids = ids
        self._now = now

    def begin(self, operator_id: str) -> str:
        """For who gave this operator's token, for 5 minutes. The id names one token: a new token has another."""
        return self._signed("token", operator_id, "", self._now() + BEGUN_FOR)

    def begun(self, text: str) -> str | None:
        """The id of the operator whose token was given; None for a ticket that is over or not ours."""
        return self._subject("token", "", text)

    def remember(self, factor_id: str, text: str) -> str:
        """For a browser that has logged in with this second factor, for 30 days: it keeps its name, if it has one."""
        browser = self.browser(factor_id, text) or self._ids.random(_BROWSER_CHARS)
        return self._signed("browser", browser, factor_id, self._now() + KNOWN_FOR)

    def browser(self, factor_id: str, text: str) -> str | None:
        """The name of a browser that has logged in with this second factor; None for any other."""
        return self._subject("browser", factor_id, text)

    def _signed(self, kind: str, subject: str, bound: str, until: int) -> str:
        return f"{subject}.{until}.{_mac(self._keys[0], kind, subject, bound, str(until))}"

    def _subject(self, kind: str, bound: str, text: str) -> str | None:
        subject, _, rest = text.partition(".")
        until, _, mac = rest.partition(".")
        if len(text) > _MAX_CHARS or not text.isascii() or not until.isdigit():
            return None
        macs = (_mac(key, kind, subject, bound, until) for key in self._keys)
        if not any(hmac.compare_digest(each, mac) for each in macs):
            return None
        return subject if self._now() < int(until) else None


def _mac(key: bytes, *parts: str) -> str:
    return hmac.digest(key, "\0".join(parts).encode(), "sha256").hex()
