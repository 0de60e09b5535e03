"""The characters of text from outside: one rule for every field that people write.

`str.isprintable()` is of no use here: it refuses half-spaces (U+200C), direction marks and joined emoji, which are
everyday Persian. Refused is what no reader sees and no writer means:

- control characters (C0, DEL, C1), surrogates, noncharacters, and the line and paragraph separators;
- code points that Unicode keeps for formatting and has not assigned;
- the two overrides of writing direction (U+202D, U+202E): they show `71` for `17`, and no text needs them.

Embeddings and isolates (U+202A to U+202C, U+2066 to U+2069) come with texts from spreadsheets and messengers. They are
kept; what shows a text to a person isolates it, so that they end with it.
"""

import re
import unicodedata
from typing import Final

# Code points that are unassigned and ignorable (DerivedCoreProperties: Default_Ignorable_Code_Point), and those of
# U+FFF0 to U+FFF8. The tags of flags (U+E0020 to U+E007F) and variation selectors are assigned, and letters to come are
# not formatting: a Python that is older than an emoji still takes it.
_UNASSIGNED_FORMATTING: Final = (
    "\u2065\ufff0-\ufff8\U000e0000\U000e0002-\U000e001f\U000e0080-\U000e00ff\U000e01f0-\U000e0fff"
)
_NONCHARACTERS: Final = "\ufdd0-\ufdef" + "".join(
    f"{chr(plane * 0x10000 + 0xFFFE)}{chr(plane * 0x10000 + 0xFFFF)}" for plane in range(17)
)
_INVISIBLE: Final = f"\x7f-\x9f\u2028\u2029\u202d\u202e\ud800-\udfff{_UNASSIGNED_FORMATTING}{_NONCHARACTERS}"
_IN_LINE: Final = re.compile(f"[\x00-\x1f{_INVISIBLE}]")
_IN_LINES: Final = re.compile(f"[\x00-\x08\x0b-\x1f{_INVISIBLE}]")
_UNSEEN: Final = frozenset({"Cf", "Zs"})
_DIRECTION: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")


def refused_in(text: str, *, lines: bool = False) -> str | None:
    """The first character that is refused, as `U+202E`; None when there is none. `lines` lets tabs and newlines in."""
    # Asked of every create: nearly all text is plain ASCII, of which this is quickly known.
    if text.isascii() and text.isprintable():
        return None
    found = (_IN_LINES if lines else _IN_LINE).search(text)
    return None if found is None else f"U+{ord(found[0]):04X}"


def one_line(text: str) -> str:
    """`text` with a space in place of each refused character, for a text that nothing is decided by."""
    return _IN_LINE.sub(" ", text)


def is_blank(text: str) -> bool:
    """Whether nothing in it can be seen: white space, half-spaces and marks alone."""
    return all(unicodedata.category(char) in _UNSEEN for char in text)


def without_direction(text: str) -> str:
    """`text` without embeddings, overrides and isolates: a terminal cannot isolate one cell from the next."""
    return _DIRECTION.sub("", text)
