"""Times as every command takes them; they are shown in RFC 3339, in UTC."""

import re
from typing import Final

import click

from proxy.kernel.clock import DAY, HOUR, MINUTE, parse_rfc3339, rfc3339, system_now
from proxy.locale.persian import time_span

_SPAN: Final = re.compile(r"([0-9]{1,5})([mhd])")
_UNITS: Final = {"m": MINUTE, "h": HOUR, "d": DAY}


def past(text: str) -> str:
    """The time in RFC 3339, as the API takes it; a span such as 48h is before now. Raises a usage error."""
    return _rfc3339(text.strip(), -1)


def future(text: str) -> str:
    """The same; a span is after now."""
    return _rfc3339(text.strip(), 1)


def _rfc3339(text: str, direction: int) -> str:
    if match := _SPAN.fullmatch(text):
        return rfc3339(system_now() + direction * int(match[1]) * _UNITS[match[2]])
    try:
        return rfc3339(_moment(text))
    except (ValueError, OverflowError, OSError):
        raise click.BadParameter(
            f"{text!r} is not a time: write 90m, 48h or 7d, 2026-11-20T10:00:00Z, or Tehran's "
            '"2026-11-20 13:30", 1405/08/29 or "1405/08/29 13:30"'
        ) from None


def _moment(text: str) -> int:
    try:
        return parse_rfc3339(text)
    except ValueError:
        begin, _ = time_span(text)
        return begin


PAST_HELP: Final = "90m, 48h or 7d ago, 2026-11-20T10:00:00Z, or Tehran's 1405/08/29 or 2026-11-20 13:30."
FUTURE_HELP: Final = "In 90m, 48h or 30d, 2027-01-01T00:00:00Z, or Tehran's 1405/10/11 or 2027-01-01 00:00."
