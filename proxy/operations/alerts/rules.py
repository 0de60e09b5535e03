"""What is told of the troubles, and when: `decide`, a pure function of what was told, what is wrong now, and the time.

    (absent) ──seen──> noticed ──lasts `hold`──> told ──absent──> ending ──absent for `hold`──> (absent), told as over
                          │                      │  ^                │
                          └──absent──> (absent)  └──┴─ reminder      └──seen again──> told

A trouble that comes and goes within `hold` is never told, and one that went and came back within it is not told again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from proxy.kernel.clock import MINUTE
from proxy.kernel.frozen import dataclass
from proxy.operations.troubles import Trouble, TroubleKind

MESSAGE_EVERY: Final = 1 * MINUTE
"""What happens sooner after a message is told together in the next one, so that an outage is no storm."""

Key = tuple[TroubleKind, str]


class News(StrEnum):
    BEGUN = "begun"
    STILL = "still"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Rules:
    """`hold` and `remind_after` are milliseconds; None reminds nobody."""

    hold: int
    remind_after: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """Since when a trouble is seen, and since when absent, and when it was last told, by the settled time."""

    trouble: Trouble
    seen_at: int
    gone_at: int | None = None
    told_at: int | None = None

    def not_after(self, now: int) -> "Standing":
        """With times that another process, or a clock that was ahead, left in the future pulled in."""
        gone, told = self.gone_at, self.told_at
        return replace(
            self,
            seen_at=min(self.seen_at, now),
            gone_at=None if gone is None else min(gone, now),
            told_at=None if told is None else min(told, now),
        )


@dataclass(frozen=True, slots=True)
class Told:
    """All standings by their keys, and when the last message was made."""

    standings: Mapping[Key, Standing] = field(default_factory=lambda: MappingProxyType({}))
    message_at: int | None = None


@dataclass(frozen=True, slots=True)
class Item:
    news: News
    trouble: Trouble


@dataclass(frozen=True, slots=True)
class AlertDecision:
    """One message with these items, the urgent first; none where there are none. `after` is what is told then."""

    items: tuple[Item, ...]
    after: Told


def decide(told: Told, troubles: Sequence[Trouble], now: int, rules: Rules, *, quiet: bool) -> AlertDecision:
    """What to tell at `now` (settled time, ms). In `quiet` hours what is not urgent waits until they end."""
    silent = told.message_at is not None and 0 <= now - told.message_at < MESSAGE_EVERY
    items: list[Item] = []
    after: dict[Key, Standing] = {}
    for standing in _looked_at(told.standings, troubles, now):
        news = _news_of(standing, now, rules)
        if news is not None and not silent and (standing.trouble.urgent or not quiet):
            items.append(Item(news, standing.trouble))
            standing = replace(standing, told_at=now)
            if news is News.OVER:
                continue
        after[standing.trouble.key] = standing
    items.sort(key=lambda item: (item.news is News.OVER, not item.trouble.urgent))
    return AlertDecision(tuple(items), Told(after, now if items else told.message_at))


def _looked_at(before: Mapping[Key, Standing], troubles: Sequence[Trouble], now: int) -> Iterator[Standing]:
    """The standings after a look. A trouble that ended before it was told is forgotten."""
    present = {trouble.key: trouble for trouble in troubles}
    for key, trouble in present.items():
        known = before.get(key)
        yield Standing(trouble, now) if known is None else replace(known.not_after(now), trouble=trouble, gone_at=None)
    for key, standing in before.items():
        if key in present or (standing.told_at is None and not _counted_with_others(key, present)):
            continue
        known = standing.not_after(now)
        if _counted_with_others(key, present):
            yield replace(known, gone_at=None)
        else:
            yield known if known.gone_at is not None else replace(known, gone_at=now)


def _counted_with_others(key: Key, present: Iterable[Key]) -> bool:
    """Whether there are more of its kind than are named: it may be among them."""
    kind, subject = key
    return bool(subject) and (kind, "") in present


def _news_of(standing: Standing, now: int, rules: Rules) -> News | None:
    if standing.told_at is None:
        return News.BEGUN if now - standing.seen_at >= rules.hold else None
    if standing.gone_at is not None:
        return News.OVER if now - standing.gone_at >= rules.hold else None
    if rules.remind_after is not None and now - standing.told_at >= rules.remind_after:
        return News.STILL
    return None
