"""A request for a customer's page, read once: its link, its reader, and the parameters of a return."""

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import hdrs, web

from proxy.api.customer.words import ENGLISH, PERSIAN, Speech
from proxy.api.rate_limiting import PAY_LINK
from proxy.gateways.family import MAX_EVIDENCE_CHARS
from proxy.http.parsing import plain_number, read_body
from proxy.http.problems import BodyTooLarge, BodyTooSlow, MalformedBody, UnsupportedMediaType
from proxy.kernel.errors import NotFound
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import time_of_link
from proxy.merchants.merchant import Language, Merchant

SPEECHES: Final[Mapping[Language, Speech]] = {Language.PERSIAN: PERSIAN, Language.ENGLISH: ENGLISH}
CHOICE: Final = "lang"
MAX_HEADER_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class Reader:
    """The reader of a page: the language that the page's own link chose, and the browser's Accept-Language."""

    choice: Language | None
    accept_language: str

    @classmethod
    def of(cls, request: web.Request) -> "Reader":
        return cls(_language_of(request.query.get(CHOICE, "")), request.headers.get("Accept-Language", ""))

    def language(self, merchant: Merchant | None) -> Language:
        """The language of the reader's page."""
        branded = None if merchant is None else merchant.branding.language
        return self.choice or branded or pick_language(self.accept_language) or Language.PERSIAN


def pick_language(header: str) -> Language | None:
    """The one of our languages that an Accept-Language header (RFC 9110, 12.5.4) likes best; the first of equals."""
    best: tuple[float, Language | None] = (0.0, None)
    for piece in header[:MAX_HEADER_CHARS].split(","):
        tag, _, weight = piece.partition(";")
        language = _language_of(tag.strip().lower().partition("-")[0])
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


def _language_of(text: str) -> Language | None:
    return next((language for language in Language if language == text), None)


MAX_PARAMETER_CHARS: Final = MAX_EVIDENCE_CHARS + 1  # so that one that is too long is still seen to be
MAX_FORM_FIELDS: Final = 100
_AS_SENT: Final = "backslashreplace"  # what is not UTF-8 is kept as it came, for whoever compares it
# What messengers and crawlers call themselves. A phone's maker is named Cubot.
_READERS: Final = re.compile(
    r"(?<!cu)bot\b|crawl|spider|preview|facebookexternalhit|whatsapp/|embedly|vkshare|skypeuri|slurp|iframely",
    re.IGNORECASE,
)
# Chrome and Safari, Firefox, and what they sent before (https://fetch.spec.whatwg.org/#sec-purpose-header).
_PURPOSES: Final = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
_MAX_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class Visit:
    """A request for the page of `link`.

    A `glance` is a preview's or a scanner's, and not a customer's: nothing is asked or recorded for it. `going` insists
    on the gateway, `polls` counts the page's earlier reloads (None for a first load), and `from_elsewhere` is whether a
    redirect would name another site as the referrer at the gateway.
    """

    link: str
    merchant_id: str
    reader: Reader
    head: bool
    ahead: bool
    preview: bool
    glance: bool
    going: bool
    polls: int | None
    from_elsewhere: bool
    method: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, request: web.Request, *, glance: bool, parameters: Mapping[str, str] | None = None) -> "Visit":
        """Raises NotFound where the path has no link."""
        link, headers, query = request[PAY_LINK], request.headers, request.query
        if link.merchant_id is None:
            raise NotFound("payment")
        ours = headers.get("Sec-Fetch-Site") == "same-origin" and hdrs.REFERER in headers
        return cls(
            link=link.text,
            merchant_id=link.merchant_id,
            reader=Reader.of(request),
            head=request.method == hdrs.METH_HEAD,
            ahead=is_ahead(request),
            preview=is_preview(request),
            glance=glance or request.method == hdrs.METH_HEAD,
            going="go" in query,
            polls=(plain_number(query["again"], 2) or 0) if "again" in query else None,
            from_elsewhere=not ours and headers.get("Sec-Fetch-Dest") == "document",
            method=request.method,
            parameters=parameters or {},
        )

    @property
    def made_at(self) -> int:
        """When the link was made, in milliseconds."""
        return time_of_link(self.link)


def read_opening(request: web.Request) -> Visit:
    """A visit of a pay link."""
    return Visit.of(
        request, glance=request.method == hdrs.METH_GET and "go" not in request.query and is_preview(request)
    )


async def read_return(request: web.Request) -> Visit:
    """A visit with the parameters of a return, from its path, query and form, cut short; none of a reload.

    Nothing in them is believed, and nothing is kept but what the payment's family allows.
    """
    glance = request.method == hdrs.METH_GET and is_ahead(request)
    return Visit.of(request, glance=glance, parameters={} if "again" in request.query else await _parameters(request))


async def _parameters(request: web.Request) -> dict[str, str]:
    form = await _form(request) if request.method == hdrs.METH_POST else ""
    # Gateways that add `?` or `&` to an address by rule put theirs behind the link, and some encode it.
    sources = (request[PAY_LINK].tail.lstrip("/&?;"), request.rel_url.raw_query_string, form)
    given = {name: value for source in sources for name, value in _pairs(source).items()}
    return {name: value[:MAX_PARAMETER_CHARS] for name, value in given.items()}


async def _form(request: web.Request) -> str:
    """A form's text; empty where the body is not a form, because the return counts with any body."""
    try:
        return (await read_body(request)).decode(errors=_AS_SENT)
    except (BodyTooLarge, BodyTooSlow, MalformedBody, UnsupportedMediaType):
        return ""


def _pairs(text: str) -> dict[str, str]:
    """The parameters of a query or a form; none of too many."""
    try:
        return dict(parse_qsl(text, keep_blank_values=True, errors=_AS_SENT, max_num_fields=MAX_FORM_FIELDS))
    except ValueError:
        return {}


def is_preview(request: web.Request) -> bool:
    """Whether the request is from a messenger, a crawler or a prefetching browser, and not from a customer.

    A preview gets a page with the merchant's name; nothing is asked, recorded or redirected for it. An unknown bot is
    treated as a customer, and a customer mistaken for a bot finds a button on the page.
    """
    return is_ahead(request) or _READERS.search(request.headers.get("User-Agent", "")[:_MAX_CHARS]) is not None


def is_ahead(request: web.Request) -> bool:
    """Whether a browser prefetches a page that its user may never open."""
    purposes = (request.headers.get(name, "")[:_MAX_CHARS].lower() for name in _PURPOSES)
    return any("prefetch" in purpose or "prerender" in purpose or "preview" in purpose for purpose in purposes)
