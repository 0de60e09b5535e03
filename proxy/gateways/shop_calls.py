"""How shops of every protocol write a call: a form, multipart or JSON, in the charset that they happen to have. Pure.

The text of a call is in the charset that the shop states, else in UTF-8, else in windows-1256. Nothing is ever
replaced, because two orders would then read alike. A byte that the charset has no character for stays as a lone
surrogate (`surrogateescape`), which each field that names something refuses.
"""

import codecs
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus

import orjson

from proxy.http.forms import MULTIPART, charset_of, media_type, read_parts

MAX_FIELDS: Final = 100
# The second is ZarinPal's, and what several public clients of the invoice script send.
RETURN_URLS: Final = ("return_url", "callback_url")
SPACE: Final = " \t\r\n"  # another space at the end of a URL may be its own
_RAW_URL: Final = re.compile(rf"(?:^|&)({'|'.join(RETURN_URLS)})=(?=https?://)", re.IGNORECASE)
_OTHER_FIELDS: Final = ("api_key", "amount")


def json_body(answer: Mapping[str, Any]) -> bytes:
    """An answer as it goes out: ASCII, since clients guess at charsets, and many guess Latin-1."""
    return json.dumps(answer, separators=(",", ":")).encode()


def parse_fields(body: bytes, content_type: str = "") -> dict[str, Any]:
    """The fields of a form, multipart or JSON body, none when it is none of them.

    The text decides, not its content type, which shops often get wrong; only multipart needs its header. Text in no
    known charset keeps lone surrogates. Raises UnreadableForm for a multipart body that is none.
    """
    stated = charset_of(content_type)
    if media_type(content_type) == MULTIPART:
        return _parse_multipart(body, content_type, stated)
    body = body.strip().removeprefix(b"\xef\xbb\xbf").lstrip()
    try:
        return _parse_json(body, stated) if body.startswith(b"{") else _parse_form(body, stated)
    except (ValueError, RecursionError):
        return {}


def _parse_multipart(body: bytes, content_type: str, stated: str) -> dict[str, Any]:
    """PHP's curl sends this when it is given an array. Parts that are files are left out."""
    parts = [part for part in read_parts(content_type, body) if not part.is_file]
    codec = codec_of(stated, [part.data for part in parts if not part.charset])
    fields: dict[str, Any] = {}
    for part in parts:
        name, data, _, own = part
        fields |= _texts([(name, data)], codec_of(own, [data]) if own else codec)
    return fields


def _parse_json(body: bytes, stated: str) -> dict[str, Any]:
    codec = codec_of(stated, body.split(b'"'))  # of each text, so that one that was cut off is seen
    fields: dict[str, Any]
    try:
        fields = orjson.loads(body.decode(codec))
    except ValueError:
        # orjson takes no lone surrogate. The field that has one is refused, or ignored, as in a form.
        fields = json.loads(text_of(body, codec))
    return fields


def _parse_form(body: bytes, stated: str) -> dict[str, Any]:
    # Latin-1 has a character for each byte, so no byte is lost before the charset is known.
    pairs = [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in _pairs(body.decode("latin-1")).items()
    ]
    return _texts(pairs, codec_of(stated, [value for _, value in pairs]))


def _texts(pairs: Sequence[tuple[bytes, bytes]], codec: str) -> dict[str, Any]:
    named = ((text_of(name, codec), value) for name, value in pairs)
    return {name: url_text(value) if name in RETURN_URLS else text_of(value, codec) for name, value in named}


def _pairs(text: str) -> dict[str, str]:
    raw = _RAW_URL.search(text)
    if raw is None:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, encoding="latin-1")
        return {name.strip(SPACE): value for name, value in pairs}
    end = _end_of_raw_url(text, raw.end(), text[: raw.start()])
    url = text[raw.end() : end]
    if "?" not in url and "%3f" in url.lower():
        # Only the scheme's punctuation was left as it is; the rest was encoded.
        url = unquote_plus(url, encoding="latin-1")
    return _pairs(text[: raw.start()] + text[end:]) | {raw[1].lower(): url}


def _end_of_raw_url(text: str, start: int, before: str) -> int:
    """The end of an unencoded URL in a hand-made form, because its own `&` does not end it.

    It ends before the first of the call's other fields that was not before it. The last place of each counts, because
    the URL's own query may have parameters of these names.
    """
    missing = [name for name in _OTHER_FIELDS if f"&{name}=" not in f"&{before}"]
    ends = [text.rfind(f"&{name}=", start) for name in missing]
    return min((end for end in ends if end >= 0), default=len(text))


# What a Content-Type may state; of any other charset only ASCII is understood.
_CODECS: Final = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "windows-1256": "cp1256",
    "cp1256": "cp1256",
    "x-cp1256": "cp1256",
}
# HTTP's old default, which libraries write for shops that chose nothing.
_NOT_CHOSEN: Final = frozenset({"", "iso-8859-1"})
# Half-spaces, direction marks, hard spaces, and the quotes and dashes of a Persian text.
_BESIDE_LETTERS: Final = "\u200c\u200d\u200e\u200f\u00a0\u00ab\u00bb\u2018\u2019\u201c\u201d\u2013\u2014\u2026"
_ARABIC: Final = bytes(
    byte
    for byte in range(0x80, 0x100)
    if "\u0600" <= bytes([byte]).decode("cp1256") <= "\u06ff" or bytes([byte]).decode("cp1256") in _BESIDE_LETTERS
)
_ESCAPES: Final = {byte: f"%{byte:02X}" for byte in range(0x80, 0x100)}


def codec_of(stated: str, values: Iterable[bytes]) -> str:
    """The codec of all values of one body, which states the charset `stated`; empty when it states none."""
    if stated not in _NOT_CHOSEN:
        return _CODECS.get(stated, "ascii")
    wide = [value for value in values if not value.isascii()]
    if all(map(_is_utf8, wide)) or not all(map(_is_windows_1256, wide)):
        return "utf-8"
    return "cp1256"


def text_of(raw: bytes, codec: str) -> str:
    """The text; bytes outside the codec stay as lone surrogates."""
    return raw.decode(codec, "surrogateescape")


def url_text(raw: bytes) -> str:
    """A URL's text. Invalid UTF-8 becomes percent-escapes of the same bytes: they are the shop's own, and are sent
    back.
    """
    if _is_utf8(raw):
        return raw.decode()
    return raw.decode("latin-1").translate(_ESCAPES)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_windows_1256(raw: bytes) -> bool:
    """Whether all beyond ASCII is of the Arabic script, and it is no UTF-8 that was cut off."""
    return raw.translate(None, _ARABIC).isascii() and not _is_cut_utf8(raw)


def _is_cut_utf8(raw: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        begins = not decoder.decode(raw).isascii()
    except UnicodeDecodeError:
        return False
    return begins and decoder.getstate()[0] != b""
