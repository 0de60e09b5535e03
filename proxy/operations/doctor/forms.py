"""The findings about what a family's sources leave open: which way a terminal's host has, as it showed. No I/O."""

from collections.abc import Iterable, Mapping
from typing import Final

from proxy.gateways.family import Family
from proxy.gateways.forms import HostForm, HostWay
from proxy.kernel.clock import rfc3339
from proxy.kernel.frozen import dataclass
from proxy.operations.doctor.base import Finding, fine

CHECK: Final = "gateway_form"
MAX_LINES: Final = 5_000
"""Of a merchant's timelines, the newest: some things only a call shows that was made twice, which is rare."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The fields that were kept of an answer of a terminal's gateway, or of a return from it."""

    terminal_id: str
    at: int
    fields: Mapping[str, str]


def form_findings(subject: str, family: Family, shown: Iterable[Shown]) -> list[Finding]:
    """A finding for each of the family's forms; of two ways that a host showed, the newer one is told."""
    newest_first = sorted(shown, key=lambda each: each.at, reverse=True)
    return [_finding(subject, form, newest_first) for form in family.forms]


def _finding(subject: str, form: HostForm, newest_first: Iterable[Shown]) -> Finding:
    for each in newest_first:
        way = form.shown_by(each.fields)
        if way is not None:
            return _told(subject, way, rfc3339(each.at))
    english, persian = form.title
    return fine(
        CHECK,
        subject,
        f"{english}: no payment has shown it yet, and every known way is taken",
        f"{persian}: هنوز پرداختی آن را نشان نداده است و هر شیوهٔ شناخته‌ای پذیرفته می‌شود",
    )


def _told(subject: str, way: HostWay, at: str) -> Finding:
    english, persian = way.said
    return fine(CHECK, subject, f"{english} (seen at {at})", f"{persian} (دیده‌شده در {at})")
