"""The facts about a host that its family's sources leave open, and what of an answer or a return shows them. Pure."""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from proxy.kernel.frozen import dataclass

HTTP: Final = "HTTP"
"""The field of an answer's HTTP status, and of a return's method."""
CODE: Final = r'"?-?[0-9]{1,6}"?'
ANY: Final = ".+"
NONE: Final = ""
_DIGITS: Final = re.compile(r"-?[0-9]{0,6}")


@dataclass(frozen=True, slots=True)
class HostWay:
    """One of the ways in which hosts have a thing: `said` of a host in English and Persian.

    It is shown by fields that match the whole of these patterns. A field is named by its path, such as `errors.code`,
    and is written as `kept_fields` keeps it; one that is not there is empty.
    """

    name: str
    said: tuple[str, str]
    fields: Mapping[str, str]

    def is_shown_by(self, kept: Mapping[str, str]) -> bool:
        return all(re.fullmatch(pattern, kept.get(name, "")) for name, pattern in self.fields.items())


@dataclass(frozen=True, slots=True)
class HostForm:
    """A fact about a host on which its family's sources disagree or are silent. Both forms are taken.

    The first of `ways` is the one that a simulator has. Answers show it, or with `of_returns` customers' returns.
    """

    name: str
    title: tuple[str, str]
    ways: tuple[HostWay, ...]
    of_returns: bool = False

    def shown_by(self, kept: Mapping[str, str]) -> HostWay | None:
        return next((way for way in self.ways if way.is_shown_by(kept)), None)


def ways_of(forms: Iterable[HostForm]) -> dict[str, tuple[str, ...]]:
    """The names of each form's ways, by the form's name."""
    return {form.name: tuple(way.name for way in form.ways) for form in forms}


def kept_fields(forms: Iterable[HostForm], http: str, fields: Mapping[str, Any]) -> dict[str, str]:
    """What a timeline keeps of an answer or a return: the fields that show one of `forms`, none where it shows none.

    A number of up to six digits stays as JSON writes it, in quotes where it is a text. Of anything else only its kind
    is kept, because it may be a secret or a card; null, an empty list and an empty object count as not there.
    """
    kept: dict[str, str] = {}
    for form in forms:
        names = dict.fromkeys(name for way in form.ways for name in way.fields if name != HTTP)
        written = {name: _written(_at(fields, name)) for name in names}
        told = {HTTP: http} | {name: text for name, text in written.items() if text}
        if form.shown_by(told) is not None:
            kept |= told
    return kept


def _at(fields: Mapping[str, Any], path: str) -> object:
    """The value at a path; a list of one thing counts as that thing on the way."""
    value: Any = fields
    for name in path.split("."):
        if isinstance(value, list) and len(value) == 1:
            [value] = value
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _written(value: object) -> str:
    if value is None or value in ([], {}):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | Decimal):
        return text if _DIGITS.fullmatch(text := str(value)) else "number"
    if isinstance(value, str):
        return f'"{value}"' if _DIGITS.fullmatch(value) else "text"
    return "array" if isinstance(value, list) else "object"
