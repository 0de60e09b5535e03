"""Who opens a link without being the customer: messengers that show a preview, crawlers, and browsers that fetch ahead.

They get a page that says whose link it is, and nothing is asked, recorded or redirected for them. One that is not known
here is treated as a customer, and a customer who is taken for one finds a button on the page.
"""

import re
from typing import Final

from aiohttp import web

# What messengers and crawlers call themselves. A phone's maker is named Cubot.
_READERS: Final = re.compile(
    r"(?<!cu)bot\b|crawl|spider|preview|facebookexternalhit|whatsapp/|embedly|vkshare|skypeuri|slurp|iframely",
    re.IGNORECASE,
)
# Chrome and Safari, Firefox, and what they sent before (https://fetch.spec.whatwg.org/#sec-purpose-header).
_PURPOSES: Final = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
_MAX_CHARS: Final = 500


def is_preview(request: web.Request) -> bool:
    """Whether nobody is looking who wants to pay."""
    return is_ahead(request) or _READERS.search(request.headers.get("User-Agent", "")[:_MAX_CHARS]) is not None


def is_ahead(request: web.Request) -> bool:
    """Whether a browser fetches ahead of its user, who may never come."""
    purposes = (request.headers.get(name, "")[:_MAX_CHARS].lower() for name in _PURPOSES)
    return any("prefetch" in purpose or "prerender" in purpose or "preview" in purpose for purpose in purposes)
