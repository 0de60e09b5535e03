"""The text of bytes that shops send: in the charset that they state, else UTF-8, else windows-1256. Pure.

Nothing is ever replaced, because two orders would then read alike. A byte that the charset has no character for stays
as a lone surrogate (`surrogateescape`), which each field that names something refuses.
"""

import codecs
from collections.abc import Iterable
from typing import Final

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
