"""What a typed text may be of an order itself: its amount, or how its description or one of its own values begins.

No index has any of these, because every create would pay for it: they are looked for in the payments that were made
last. A regular expression reads the text as it is stored, because to parse so many takes several times as long.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

import orjson

from proxy.kernel.money import MAX_RIALS, RIALS_PER_TOMAN
from proxy.locale.persian import alike, folded, parse_number

FEWEST_CHARS: Final = 3
"""Of a beginning."""


class OrderTexts(NamedTuple):
    """Of a payment: its id, its amount, its description, and its own values as JSON."""

    id: str
    amount_rials: int
    description: str | None
    values: str


class OrderMatch:
    def __init__(self, text: str) -> None:
        self._amounts = _amounts(text)
        text = folded(text)
        self._beginning: re.Pattern[str] | None = None
        if len(text.strip()) >= FEWEST_CHARS:
            chars = "".join(map(_pattern, text))
            self._beginning = re.compile(chars, re.IGNORECASE)
            # A value stands behind the end of its key, whose quote is not escaped; `true` and `null` are no texts.
            self._value = re.compile(rf'":(?<!\\":)(?:"|(?=[-\d])){chars}', re.IGNORECASE)

    def __bool__(self) -> bool:
        """Whether it can match anything."""
        return bool(self._amounts) or self._beginning is not None

    def accepts(self, order: OrderTexts) -> bool:
        if order.amount_rials in self._amounts:
            return True
        if self._beginning is None:
            return False
        if order.description is not None and self._beginning.match(order.description):
            return True
        return self._value.search(order.values) is not None


def _amounts(text: str) -> frozenset[int]:
    """In rials: of a number of rials or toman."""
    try:
        amount = parse_number(text)
    except ValueError:
        return frozenset()
    if not 0 < amount <= MAX_RIALS:
        return frozenset()
    return frozenset({amount, min(amount * RIALS_PER_TOMAN, MAX_RIALS)})


def _pattern(char: str) -> str:
    """The character as it may be stored, in JSON too."""
    return "(?:" + "|".join(re.escape(form) for each in alike(char) for form in _in_json(each)) + ")"


def _in_json(char: str) -> Iterable[str]:
    return dict.fromkeys((char, orjson.dumps(char).decode()[1:-1]))
