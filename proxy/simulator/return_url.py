"""The return_url as shops send it, and as the customer is sent back to it."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlencode

_MAX_ENCODINGS = 2
# urllib's parser costs ten times this, on a path that benchmarks run through.
_HOST = re.compile(r"https?://(?:[^@/?#]*@)?(\[[0-9a-f:.]+\]|[^:/?#@\[\]]+)(?::[0-9]*)?(?:[/?#]|$)", re.IGNORECASE)


def plain_url(value: Any) -> str | None:
    """The URL, decoded as often as it was encoded beyond its body form (0 to 2 times); None when it is none.

    An escape inside a URL that is already plain is its own and stays.
    """
    if not isinstance(value, str):
        return None
    url = value.strip()
    for _ in range(_MAX_ENCODINGS):
        if _has_scheme(url):
            break
        url = unquote(url)
    # A control character or a space would split the Location header.
    return url if host_of(url) and url.isprintable() and " " not in url else None


def host_of(url: str) -> str:
    """The host of an http or https URL, in lower case; empty when it is no such URL."""
    found = _HOST.match(url)
    return found[1].lower() if found else ""


def with_params(return_url: str, params: Mapping[str, str]) -> str:
    """The URL with `params` added to its query, which stays byte for byte; a fragment stays last."""
    base, mark, fragment = return_url.partition("#")
    glue = "&" if "?" in base else "?"
    if base.endswith(("?", "&")):
        glue = ""
    return f"{base}{glue}{urlencode(params)}{mark}{fragment}"


def _has_scheme(url: str) -> bool:
    return url[:8].lower().startswith(("http://", "https://"))
