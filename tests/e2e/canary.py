"""Secrets with a mark, and everything that a run of Dargah shows: where is a mark that must not be there?"""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

TAIL = 16
"""How many characters of a secret's end are looked for: half a secret is too much of it."""


@dataclass(frozen=True)
class Leak:
    secret: str
    surface: str


@dataclass
class Canaries:
    """`secrets` by name, and `surfaces`: what was shown, each with the names of the secrets that it may show once."""

    secrets: dict[str, str] = field(default_factory=dict)
    surfaces: list[tuple[str, bytes, frozenset[str]]] = field(default_factory=list)

    def hide(self, name: str, secret: str) -> str:
        """Notes a secret; gives it back."""
        assert len(secret) >= TAIL, name
        assert secret not in self.secrets.values(), name
        self.secrets[name] = secret
        return secret

    def shown(self, surface: str, content: bytes | str, *once: str) -> None:
        """Notes what was shown there. `once` names the secrets that were made by this very call."""
        raw = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
        self.surfaces.append((surface, raw, frozenset(once)))

    def shown_files(self, folder: Path, *names: str) -> None:
        """Every byte of these files, as they lie on the disk."""
        for name in names:
            path = folder / name
            if path.exists():
                self.shown(f"file {name}", path.read_bytes())

    def leaks(self) -> list[Leak]:
        """Every secret that a surface shows, in any of the forms in which bytes are written down."""
        return [
            Leak(name, surface)
            for name, secret in self.secrets.items()
            for surface, raw, once in self.surfaces
            if name not in once and any(form in raw for form in forms(secret))
        ]


def forms(secret: str) -> set[bytes]:
    """The secret's end as it is, and as base64, hex and a URL would write it."""
    tail = secret[-TAIL:].encode()
    # A byte before it shifts the digits of base64; what depends on its neighbours is cut off.
    shifted = {base64.b64encode(b"\0" * shift + tail)[4:-4] for shift in range(3)}
    return {tail, tail.hex().encode(), tail.hex().upper().encode(), quote(tail, safe="").encode(), *shifted}


def raw_key(line: str) -> Iterator[tuple[str, str]]:
    """A key ring's line as text and as the bytes that it stands for, which a file could hold as they are."""
    yield "master key", line
    yield "master key's bytes", base64.b64decode(line.partition(":")[2]).decode("ascii")


def headers_text(headers: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in headers.items())
