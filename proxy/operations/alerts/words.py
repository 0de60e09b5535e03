"""The texts of alerts, in Persian or English: short, bounded, and without secrets and customers' data.

Of a trouble's facts only those of `SHOWN_FACTS` are told: names and hosts of merchants and endpoints, and times. Names
are written by people: what could break a line, turn the text round or make a link of it is left out.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from proxy.kernel.clock import rfc3339
from proxy.kernel.frozen import dataclass
from proxy.kernel.text import one_line, without_direction
from proxy.locale.persian import english_time, persian_digits, persian_time
from proxy.operations.alerts.rules import Item, News
from proxy.operations.troubles import WORDS, Trouble

Text = tuple[str, str]
"""English and Persian."""

MAX_UNITS: Final = 4000
"""UTF-16 code units of a text: Telegram takes 4096."""
MAX_ITEMS: Final = 100
"""Of the document for programs."""
MAX_NAME_CHARS: Final = 60
SHOWN_FACTS: Final = ("host", "gateway", "name", "mode")
_TIMES: Final[Mapping[str, Text]] = {
    "ends_at": ("ends", "پایان:"),
    "goes_back_at": ("the first goes back", "نخستین برگشت:"),
}
_MARKUP: Final = re.compile(r"[*_`~|<>\[\]()\\]")
_ROOM_FOR_MORE: Final = 120


@dataclass(frozen=True, slots=True)
class Letter:
    """A message's words. `language` is fa or en, `site` is the host that customers know this Dargah by."""

    language: str
    site: str
    names: Mapping[str, str]
    """Merchants' names by their ids."""

    def _t(self, text: Text) -> str:
        return text[1] if self.language == "fa" else text[0]

    def _number(self, number: int) -> str:
        return persian_digits(f"{number:,}") if self.language == "fa" else f"{number:,}"

    def _time(self, at: int) -> str:
        return persian_time(at) if self.language == "fa" else english_time(at)

    def subject(self, items: Sequence[Item]) -> str:
        """One line: how many troubles began, go on, and are over."""
        parts = []
        for news, words in _COUNTED.items():
            count = sum(item.news is news for item in items)
            if count:
                parts.append(f"{self._number(count)} {self._t(words)}")
        return f"Dargah {self.site}: {self._t((', ', '، ')).join(parts)}"

    def text(self, items: Sequence[Item]) -> str:
        """The subject and a paragraph for each item, as many as there is room for; the rest is counted."""
        text, advised = self.subject(items), set()
        for place, item in enumerate(items):
            paragraph = self._paragraph(item, advise=item.trouble.kind not in advised)
            advised.add(item.trouble.kind)
            if _units(text) + _units(paragraph) > MAX_UNITS - _ROOM_FOR_MORE:
                left = self._number(len(items) - place)
                more = (f"and {left} more, which the console shows.", f"و {left} مورد دیگر که در کنسول پیداست.")
                return f"{text}\n\n{self._t(more)}"
            text += f"\n\n{paragraph}"
        return text

    def document(self, items: Sequence[Item], at: int) -> dict[str, Any]:
        """For a program, in the form of a webhook's body."""
        told = [self._object(item) for item in items[:MAX_ITEMS]]
        data = {"site": self.site, "text": self.text(items), "troubles": told, "more": len(items) - len(told)}
        return {"type": "operator.alert", "timestamp": rfc3339(at), "data": data}

    def test(self) -> tuple[str, str]:
        """The subject and the text of a test."""
        subject = f"Dargah {self.site}: {self._t(('a test', 'آزمایش'))}"
        text = ("This is a test of alerts. Nothing is wrong.", "این آزمایش هشدارهاست و مشکلی در کار نیست.")
        return subject, f"{subject}\n\n{self._t(text)}"

    def _paragraph(self, item: Item, *, advise: bool) -> str:
        trouble = item.trouble
        mark = "🟢" if item.news is News.OVER else "🔴" if trouble.urgent else "🟠"
        about = ": ".join(filter(None, [self._title(item), self._about(trouble)]))
        lines = [f"{mark} {about}", " · ".join(self._details(item))]
        if advise and item.news is not News.OVER:
            lines.append(self._t(WORDS[trouble.kind].advice))
        return "\n".join(lines)

    def _title(self, item: Item) -> str:
        title = self._t(WORDS[item.trouble.kind].title)
        if item.news is News.BEGUN:
            return title
        before = {News.OVER: ("Over", "پایان یافت"), News.STILL: ("Still", "همچنان")}[item.news]
        return f"{self._t(before)}: {title}"

    def _about(self, trouble: Trouble) -> str:
        """Whom it concerns: the host or name, the record's id, and the merchant."""
        named = [plain(str(trouble.facts[fact])) for fact in ("host", "name", "gateway") if fact in trouble.facts]
        merchant = self.names.get(trouble.merchant_id or "", "")
        found = [*named, plain(trouble.subject, ids=True), plain(merchant), trouble.merchant_id or ""]
        if trouble.facts.get("mode") == "test":
            found.append(self._t(("test mode", "حالت آزمایشی")))
        return self._t((", ", "، ")).join(isolated(each) for each in found if each)

    def _details(self, item: Item) -> Iterator[str]:
        trouble = item.trouble
        yield f"{self._t(('since', 'از'))} {self._time(trouble.since)}"
        counted = self._t(WORDS[trouble.kind].counted)
        if item.news is News.OVER:
            return
        if counted and trouble.count:
            yield f"{self._number(trouble.count)} {counted}"
        for fact, words in _TIMES.items():
            at = trouble.facts.get(fact)
            if isinstance(at, int) and at > 0:
                yield f"{self._t(words)} {self._time(at)}"

    def _object(self, item: Item) -> dict[str, Any]:
        trouble = item.trouble
        words = WORDS[trouble.kind]
        return {
            "news": item.news.value,
            "kind": trouble.kind.value,
            "subject": trouble.subject,
            "merchant_id": trouble.merchant_id,
            "merchant": self.names.get(trouble.merchant_id or ""),
            "since": rfc3339(trouble.since),
            "count": trouble.count,
            "urgent": trouble.urgent,
            "title": self._t(words.title),
            "advice": self._t(words.advice),
            "runbook": f"docs/operations.md#{words.runbook}",
            **{fact: trouble.facts[fact] for fact in SHOWN_FACTS if fact in trouble.facts},
            **{fact: rfc3339(at) for fact in _TIMES if isinstance(at := trouble.facts.get(fact), int) and at > 0},
        }


_COUNTED: Final[Mapping[News, Text]] = {
    News.BEGUN: ("new", "مشکل تازه"),
    News.STILL: ("still there", "پابرجا"),
    News.OVER: ("over", "پایان‌یافته"),
}


def plain(text: str, *, ids: bool = False) -> str:
    """A name as harmless words on one line, cut where it is long. Some messengers make markup of every text; `ids` keep
    their underscores.
    """
    kept = text if ids else _MARKUP.sub(" ", text)
    words = " ".join(without_direction(one_line(kept)).split())
    return words if len(words) <= MAX_NAME_CHARS else f"{words[: MAX_NAME_CHARS - 1]}…"


def isolated(text: str) -> str:
    """A name whose direction turns nothing around it."""
    return f"\u2068{text}\u2069"


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
