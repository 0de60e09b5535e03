"""Which files the builder is given: .dockerignore, as far as ours uses its language."""

from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from deploy.dockerfile import REPOSITORY

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
