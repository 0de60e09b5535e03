"""What the customer's pages can say, in a shape that every language fills: mypy sees what one of them lacks.

No page says "failed" of something that may be paid: what is not known yet is being confirmed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from proxy.merchant import Language
from proxy.payment import Status


@dataclass(frozen=True, slots=True)
class Words:
    """What a page says, and its tone: ok, wait or off."""

    tone: str
    title: str
    text: str
    more: str = ""


@dataclass(frozen=True, slots=True)
class Labels:
    """The names of the things on a page."""

    anybody: str
    toman: str
    rial: str
    order: str
    bank_code: str
    copy: str
    copied: str
    created: str
    paid: str
    expires: str
    tehran: str
    test: str
    pay: str
    pay_anyway: str
    back: str
    look_again: str
    offline: str
    other_language: str
    to_pay: str
    preview: str


@dataclass(frozen=True, slots=True)
class Speech:
    """One language: its words, and how it writes amounts (from rials) and times (from ms since the epoch)."""

    language: Language
    direction: str
    outcomes: Mapping[Status, Words]
    invitation: Words
    gateway_down: Words
    time_is_up: Words
    no_link: Words
    busy: Words
    homeward: Words
    odd: Words
    labels: Labels
    rials: Callable[[int], str]
    toman: Callable[[int], str]
    time: Callable[[int], str]
