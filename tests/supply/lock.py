"""The lock of what runs: each library with its version, the hashes of its files, who asks for it and its licence."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
LOCK = REPOSITORY / "requirements.txt"

_ENTRY = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)(.*?)(?=^[a-z0-9]|\Z)", re.MULTILINE | re.DOTALL)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_VIA = re.compile(r"^ +#(?: via)? +([a-z0-9._-]+)(?: \(.*)?$", re.MULTILINE)
# Metadata of before SPDX expressions, in the words that the libraries of the lock use.
_OLD_WORDS = {
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "BSD License": "BSD-3-Clause",
    "Python Software Foundation License": "PSF-2.0",
}


@dataclass(frozen=True, slots=True)
class Locked:
    """A library as it is locked. `wanted_by` are names; `dargah` is ourselves."""

    name: str
    version: str
    hashes: tuple[str, ...]
    wanted_by: tuple[str, ...]

    @property
    def purl(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version}"

    @property
    def licence(self) -> str:
        """Its SPDX expression, from what is installed. Raises PackageNotFoundError; ValueError when it says none."""
        told = metadata.metadata(self.name)
        for expression in told.get_all("License-Expression", []):
            return str(expression)
        classes = [each.rpartition(" :: ")[2] for each in told.get_all("Classifier", []) if each.startswith("License")]
        for words in (classes, told.get_all("License", [])):
            found = sorted({_OLD_WORDS.get(each, each) for each in words if each})
            if found:
                return " OR ".join(found)
        raise ValueError(f"{self.name} says nothing about its licence")


def locked(text: str | None = None) -> Iterator[Locked]:
    """What requirements.txt names, in its order."""
    for name, version, rest in _ENTRY.findall(LOCK.read_text("utf-8") if text is None else text):
        yield Locked(name, version, tuple(_HASH.findall(rest)), tuple(_VIA.findall(rest)))
