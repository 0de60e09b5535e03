"""The Dockerfile, read: its stages with their instructions; and the files that .dockerignore lets the builder have."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

REPOSITORY = Path(__file__).parents[2]
DOCKERFILE = REPOSITORY / "Dockerfile"

KNOWN = frozenset({"ARG", "FROM", "ENV", "WORKDIR", "COPY", "RUN", "LABEL", "USER", "VOLUME", "EXPOSE"}) | frozenset(
    {"STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
)
_NAME = re.compile(r"\$\{(\w+)\}|\$(\w+)")
_PAIR = re.compile(r'(\S+?)=("(?:[^"\\]|\\.)*"|\S+)')


@dataclass(frozen=True, slots=True)
class Instruction:
    word: str
    text: str

    @property
    def words(self) -> list[str]:
        """The arguments of a JSON form, or those between white space."""
        found: list[str] = json.loads(self.text) if self.text.startswith("[") else self.text.split()
        return found

    @property
    def pairs(self) -> dict[str, str]:
        """What ENV and LABEL set."""
        return {name: value.strip('"') for name, value in _PAIR.findall(self.text)}


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    base: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[Instruction]:
        return [each for each in self.instructions if each.word == word]

    def last(self, word: str) -> Instruction:
        """The one that counts, of those that each replace the one before."""
        return self.all(word)[-1]

    @property
    def healthcheck(self) -> list[str]:
        """The command of HEALTHCHECK, without its options."""
        return Instruction("CMD", self.last("HEALTHCHECK").text.partition("CMD ")[2]).words


def fill(text: str, names: Mapping[str, str]) -> str:
    return _NAME.sub(lambda match: names[match[1] or match[2]], text)


def instructions(text: str) -> list[Instruction]:
    """Whole instructions; lines that go on are joined, and comments between them left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        if word not in KNOWN:
            raise ValueError(f"the tests cannot follow {word}; teach tests/deploy/image.py what it does")
        found.append(Instruction(word, rest.strip()))
    return found


def stages(text: str) -> list[Stage]:
    arguments: dict[str, str] = {}
    found: list[Stage] = []
    for each in instructions(text):
        if each.word == "ARG" and not found:
            name, _, value = each.text.partition("=")
            arguments[name] = value
        elif each.word == "FROM":
            base, _, name = fill(each.text, arguments).partition(" AS ")
            found.append(Stage(name, base))
        else:
            found[-1].instructions.append(each)
    return found


DOCKERIGNORE = REPOSITORY / ".dockerignore"


def patterns(text: str) -> list[str]:
    return [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]


def ignored(path: PurePosixPath, rules: list[str]) -> bool:
    """Whether the last rule that fits `path`, or a folder that it is in, leaves it out."""
    out = False
    for rule in rules:
        keep, pattern = rule.startswith("!"), rule.lstrip("!")
        if any(_fits(part, pattern) for part in (path, *path.parents) if part.name):
            out = not keep
    return out


def _fits(path: PurePosixPath, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatch(path.name, pattern.removeprefix("**/"))
    return len(path.parts) == len(PurePosixPath(pattern).parts) and fnmatch(str(path), pattern)


def files(root: Path, rules: list[str]) -> list[PurePosixPath]:
    """The files below `root` that are sent, relative to it."""
    found = []
    for top in sorted(root.iterdir()):
        if ignored(PurePosixPath(top.name), rules):
            continue
        below = [top] if top.is_file() else sorted(top.rglob("*"))
        names = [PurePosixPath(each.relative_to(root)) for each in below if each.is_file()]
        found += [name for name in names if not ignored(name, rules)]
    return found
