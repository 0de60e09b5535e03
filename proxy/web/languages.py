"""Which language a customer reads: the one chosen on the page, else the merchant's, the browser's, or Persian."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from proxy.merchant import Language, Merchant
from proxy.web.english_words import ENGLISH
from proxy.web.page_words import Speech
from proxy.web.persian_words import PERSIAN

SPEECHES: Final[Mapping[Language, Speech]] = {Language.PERSIAN: PERSIAN, Language.ENGLISH: ENGLISH}
CHOICE: Final = "lang"
MAX_HEADER_CHARS: Final = 500


def language_of(request: web.Request, merchant: Merchant | None = None) -> Language:
    """The language of the page that answers this request."""
    wanted = chosen(request)
    if wanted is None and merchant is not None:
        wanted = merchant.looks.language
    return wanted or accepted(request.headers.get("Accept-Language", "")) or Language.PERSIAN


def chosen(request: web.Request) -> Language | None:
    """What the page's own link chose."""
    return _known(request.query.get(CHOICE, ""))


def accepted(header: str) -> Language | None:
    """The one of our languages that an Accept-Language header (RFC 9110, 12.5.4) likes best; the first of equals."""
    best: tuple[float, Language | None] = (0.0, None)
    for piece in header[:MAX_HEADER_CHARS].split(","):
        tag, _, weight = piece.partition(";")
        language = _known(tag.strip().lower().partition("-")[0])
        if language is not None and (quality := _quality(weight)) > best[0]:
            best = (quality, language)
    return best[1]


def _quality(weight: str) -> float:
    name, _, value = weight.strip().partition("=")
    if not name:
        return 1.0
    try:
        return min(float(value), 1.0) if name.strip() == "q" else 0.0
    except ValueError:
        return 0.0


def _known(text: str) -> Language | None:
    return next((language for language in Language if language == text), None)
