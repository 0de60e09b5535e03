"""A page as a person reads it: its blocks, and what the prose around each says to do with it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from house.sources import REPOSITORY

_FENCED: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING: Final = re.compile(r"^#+ (.*)$", re.MULTILINE)
_FILE_NAME: Final = re.compile(r"`([\w-]+\.\w+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """`before` and `after` are the prose up to the next block; `section` is the heading above."""

    language: str
    text: str
    before: str = ""
    after: str = ""
    section: str = ""

    @property
    def commands(self) -> int:
        """How many commands it is: lines, joined where one goes on."""
        return sum(bool(line.strip()) for line in re.sub(r"\\\n|#.*", " ", self.text).splitlines())

    @property
    def file_name(self) -> str:
        """The name under which a program is saved: the last that stands before it."""
        return str(_FILE_NAME.findall(self.before)[-1])

    @property
    def asks(self) -> bool:
        """Whether its last command asks for a secret."""
        return "asks for" in self.after


def blocks(page: str) -> Iterator[Block]:
    """All blocks of a page of this repository, in its order."""
    text = (REPOSITORY / page).read_text("utf-8")
    proses = _FENCED.split(text)[::3]
    section = ""
    for number, fenced in enumerate(_FENCED.finditer(text)):
        section = [section, *_HEADING.findall(proses[number])][-1]
        yield Block(fenced[1], fenced[2], proses[number], proses[number + 1], section)


def pattern(shown: str) -> re.Pattern[str]:
    """Finds the text that a page shows as a command's output: `…` stands for what differs each time."""
    lines = [r".*?".join(map(re.escape, line.split("…"))) for line in map(str.strip, shown.strip().splitlines())]
    return re.compile(r"[ \r]*\n\s*".join(lines))
