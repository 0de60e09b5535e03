"""The report of a certification: one record for scripts, and a page to keep. No secret is in either."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from proxy import __version__
from proxy.kernel.clock import rfc3339
from proxy.kernel.frozen import dataclass
from proxy.operations.certification.player import CertifiedShop, Patience
from proxy.operations.certification.rules import Ruling, StoryOutcome
from proxy.operations.certification.stories import stories_digest

DOCUMENT: Final = "docs/webhooks.md"
_HIDDEN: Final = "(hidden)"


@dataclass(frozen=True, slots=True)
class Certification:
    """The rulings about a shop, made at `at` (milliseconds)."""

    shop: CertifiedShop
    patience: Patience
    at: int
    rulings: Sequence[Ruling]

    def count(self, outcome: StoryOutcome) -> int:
        return sum(ruling.outcome is outcome for ruling in self.rulings)

    @property
    def summary(self) -> str:
        passed, failed, unclear = (self.count(outcome) for outcome in StoryOutcome)
        return f"{len(self.rulings)} stories: {passed} passed, {failed} failed, {unclear} could not be told"

    def record(self) -> dict[str, Any]:
        """The certification as JSON; the URL without its query, which may be a password."""
        shown = {
            "url": self.shop.url.partition("?")[0].partition("#")[0],
            "at": rfc3339(self.at),
            "dargah_version": __version__,
            "stories_sha256": stories_digest(),
            "mode": self.shop.mode.value,
            "storefront": self.shop.storefront,
            "signatures": ["v1a" if key.startswith("whsk_") else "v1" for key in self.shop.keys.own],
            "silence_seconds": self.patience.silence,
            "counts": {outcome.value.replace(" ", "_"): self.count(outcome) for outcome in StoryOutcome},
            "stories": [_row(ruling) for ruling in self.rulings],
        }
        hidden: dict[str, Any] = _without(self.shop.keys.own, shown)
        return hidden

    def page(self) -> str:
        """The record as an HTML page that loads nothing."""
        pages = Environment(
            loader=PackageLoader("proxy.operations.certification"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        record = self.record()
        groups = [(name, list(rows)) for name, rows in groupby(record["stories"], lambda row: row["group"])]
        return pages.get_template("certification.html").render(
            record=record, groups=groups, summary=self.summary, document=DOCUMENT
        )


def _row(ruling: Ruling) -> dict[str, Any]:
    story, played = ruling.story, ruling.played
    failed = ruling.outcome is StoryOutcome.FAILED
    answers = [] if played is None or not story.messages else played.answers
    return {
        "name": story.name,
        "group": story.group.value,
        "title": story.title,
        "expected": story.expected.value,
        "outcome": ruling.outcome.value,
        "why": ruling.why,
        "order_id": None if played is None or played.order is None else played.order.id,
        "order_state": None if played is None or played.after is None else str(played.at_end or played.after),
        "answers": [
            {
                "status": answer.status,
                "error": answer.error,
                "duration_ms": answer.duration_ms,
                "excerpt": answer.excerpt,
            }
            for answer in answers
        ],
        "remedy": story.remedy if failed else None,
        "see": f"{DOCUMENT}#{story.section}" if failed else None,
    }


def _without(secrets: Sequence[str], value: Any) -> Any:
    """The same value, in whose texts the secrets do not stand, should the shop's answer have them."""
    if isinstance(value, dict):
        return {name: _without(secrets, each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without(secrets, each) for each in value]
    if isinstance(value, str):
        for secret in secrets:
            for text in (secret, secret.partition("_")[2]):
                value = value.replace(text, _HIDDEN)
    return value
