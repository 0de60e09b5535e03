"""How the commands show things: tables and lines for people, JSON for scripts."""

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from proxy.kernel.frozen import dataclass
from proxy.kernel.text import without_direction


class Refused(click.ClickException):
    """Wrong settings or usage, in one sentence; the exit code is 2, and 1 is for an answer that is no."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Output:
    """Prints to standard output; notes for people go to standard error."""

    as_json: bool

    def record(self, record: Mapping[str, Any], shown_once: str | None = None) -> None:
        """One record. `shown_once` is its field that no other command will ever show again."""
        if self.as_json:
            self._json(record)
            return
        width = max(map(len, record), default=0)
        for name, value in record.items():
            mark = "   <- shown once: store it now" if name == shown_once else ""
            click.echo(f"{name:<{width}}  {text_of(value)}{mark}")

    def table(self, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
        """Rows in columns; JSON has every field of them, in one list."""
        found = list(rows)
        if self.as_json:
            self._json(found)
            return
        lines = [
            [column.upper() for column in columns],
            *([text_of(row[column]) for column in columns] for row in found),
        ]
        widths = [max(map(width_of, cells)) for cells in zip(*lines, strict=True)]
        for line in lines:
            click.echo(
                "  ".join(
                    cell + " " * (width - width_of(cell)) for cell, width in zip(line, widths, strict=True)
                ).rstrip()
            )

    def done(self, text: str, record: Mapping[str, Any]) -> None:
        """Prints the result: a sentence, or the record as JSON."""
        if self.as_json:
            self._json(record)
        else:
            click.echo(text)

    @staticmethod
    def note(text: str) -> None:
        click.echo(text, err=True)

    @staticmethod
    def _json(value: Any) -> None:
        click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def text_of(value: Any) -> str:
    """A value on one line, as harmless text: nothing in it moves the cursor or turns its neighbours round."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(text_of, value)) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{name}={text_of(each)}" for name, each in value.items()) or "-"
    text = without_direction(str(value))
    return "".join(char if unicodedata.category(char) != "Cc" else " " for char in text) or "-"


def width_of(text: str) -> int:
    """How many cells of a terminal the text takes: marks and half-spaces take none."""
    return sum(unicodedata.category(char) not in {"Mn", "Me", "Cf"} for char in text)
