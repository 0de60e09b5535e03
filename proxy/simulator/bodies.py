"""The fields of a call, whatever shape the body has."""

import re
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson

_MAX_FIELDS = 100
# A return_url put unencoded into a hand-made form: its own `&` would cut it, so it ends where the protocol's
# next field begins.
_RAW_URL = re.compile(r"(?:^|&)return_url=(https?://.*?)(?=&api_key=|&amount=|$)", re.IGNORECASE | re.DOTALL)


def parse_fields(body: bytes) -> dict[str, Any]:
    """The fields of a form or JSON body, none when it is neither.

    The text decides, not its content type, which shops often get wrong.
    """
    text = body.decode("utf-8", errors="replace").strip()
    try:
        return _parse_json(text) if text.startswith("{") else _parse_form(text)
    except ValueError:
        return {}


def _parse_json(text: str) -> dict[str, Any]:
    fields: dict[str, Any] = orjson.loads(text)
    return fields


def _parse_form(text: str) -> dict[str, Any]:
    raw = _RAW_URL.search(text)
    if raw is None:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS))
    url = raw[1]
    if "?" not in url and "%3f" in url.lower():
        # Only the scheme's punctuation was left as it is; the rest was encoded.
        url = unquote(url)
    return _parse_form(text[: raw.start()] + text[raw.end() :]) | {"return_url": url}
