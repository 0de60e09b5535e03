"""What a check-up found: each with what to do, in English and in Persian."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """A problem loses or refuses payments or events; a warning may, or will."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` is a stable code and `subject` the record or URL it is about; `advice` is empty where all is well."""

    level: Level
    check: str
    subject: str
    detail: str
    detail_fa: str
    advice: str = ""
    advice_fa: str = ""


def fine(check: str, subject: str, detail: str, detail_fa: str) -> Finding:
    return Finding(Level.OK, check, subject, detail, detail_fa)


def warning(check: str, subject: str, detail: tuple[str, str], advice: tuple[str, str]) -> Finding:
    """`detail` and `advice` are English and Persian."""
    return Finding(Level.WARNING, check, subject, *detail, *advice)


def problem(check: str, subject: str, detail: tuple[str, str], advice: tuple[str, str]) -> Finding:
    """`detail` and `advice` are English and Persian."""
    return Finding(Level.PROBLEM, check, subject, *detail, *advice)
