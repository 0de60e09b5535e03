"""A merchant's colour, and what can be read on it."""

from functools import lru_cache
from typing import Final

_BLACK, _WHITE = "#000", "#fff"
# Where black and white have the same contrast with a colour: the better of the two is 4.5:1 or more (WCAG 2.2, 1.4.3).
_MIDDLE: Final = 0.1791


@lru_cache(maxsize=1024)
def brand_style(colour: str) -> str:
    """The style that gives a page's buttons a colour `#rrggbb`."""
    return f":root{{--brand:{colour};--on-brand:{text_on(colour)}}}"


def text_on(colour: str) -> str:
    """Black or white, whichever is easier to read on `#rrggbb`."""
    return _BLACK if luminance(colour) > _MIDDLE else _WHITE


def luminance(colour: str) -> float:
    """The relative luminance of `#rrggbb`, 0 to 1 (WCAG 2.2)."""
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004  sRGB's own
