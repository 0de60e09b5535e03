"""How a merchant's customers see it: what may be set, and in which form it is kept."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from proxy.images import BadImage, clean_png
from proxy.merchant import Looks
from proxy.setup.fields import MAX_NAME_CHARS, Inspection

_COLOUR: Final = re.compile(r"#[0-9a-f]{6}")
_DIGEST_CHARS: Final = 32


@dataclass(frozen=True, slots=True)
class NewLooks:
    """The looks after a change, the picture when a new one was given, and what the audit log tells of it."""

    looks: Looks
    image: bytes | None
    told: Mapping[str, object]


def changed_looks(look: Inspection, looks: Looks, changes: Mapping[str, Any]) -> NewLooks:
    """`looks` with the `changes` of name_fa, colour, language and logo; None takes one away. Refusals go to `look`."""
    image: bytes | None = None
    if "name_fa" in changes:
        name = changes["name_fa"]
        looks = replace(looks, name_fa=None if name is None else look.text("name_fa", name, MAX_NAME_CHARS))
    if "colour" in changes:
        looks = replace(looks, colour=_colour(look, changes["colour"]))
    if "language" in changes:
        looks = replace(looks, language=changes["language"])
    if "logo" in changes:
        image = _logo(look, changes["logo"])
        digest = None if image is None else hashlib.sha256(image).hexdigest()[:_DIGEST_CHARS]
        looks = replace(looks, logo=digest)
    told = {name: value for name, value in asdict(looks).items() if name in changes}
    return NewLooks(looks, image, told)


def _colour(look: Inspection, text: str | None) -> str | None:
    if text is None:
        return None
    colour = text.strip().lower()
    if not _COLOUR.fullmatch(colour):
        look.refuse("colour", "colour_invalid", "must be a colour such as #1f4fa3", "باید رنگی مانند ‎#1f4fa3 باشد")
    return colour


def _logo(look: Inspection, image: bytes | None) -> bytes | None:
    if image is None:
        return None
    try:
        return clean_png(image)
    except BadImage as error:
        look.refuse("logo", "logo_invalid", str(error), "باید PNG سالم، حداکثر ۲۰ کیلوبایت و ۵۱۲ پیکسل باشد")
        return None
