"""Forms with a file in them (multipart/form-data, RFC 7578), as browsers send them, and read no wider than that."""

import re
from collections.abc import Iterator
from typing import Final

from proxy.errors import InvalidInput, invalid

UPLOAD_TYPE: Final = "multipart/form-data"
_BOUNDARY: Final = re.compile(r"boundary=\"?([0-9A-Za-z'()+_,./:=?-]{1,70})\"?\s*$")
_NAME: Final = re.compile(
    rb'^content-disposition: *form-data; *name="([^"\r\n]{1,100})"(; *filename="[^"\r\n]*")?', re.IGNORECASE
)
_MAX_PARTS: Final = 60


def read_parts(content_type: str, body: bytes) -> tuple[list[tuple[str, str]], dict[str, bytes]]:
    """The texts by their names in order, and the files; one that was not chosen is empty. Raises InvalidInput."""
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise _malformed()
    texts: list[tuple[str, str]] = []
    files: dict[str, bytes] = {}
    for name, data, is_file in _parts(boundary[1].encode(), body):
        if not is_file:
            texts.append((name, data.decode()))
        elif name in files:
            raise _malformed()
        else:
            files[name] = data
    return texts, files


def _parts(boundary: bytes, body: bytes) -> Iterator[tuple[str, bytes, bool]]:
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary, _MAX_PARTS + 1)
    if pieces[0] or len(pieces) == 1 or pieces[-1].rstrip(b"\r\n") != b"--":
        raise _malformed()
    for part in pieces[1:-1]:
        head, blank, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        named = next((found for line in head.split(b"\r\n") if (found := _NAME.match(line))), None)
        if not blank or named is None:
            raise _malformed()
        yield named[1].decode(), data, named[2] is not None


def _malformed() -> InvalidInput:
    return invalid("form", "malformed", "cannot be read", "خوانده نمی‌شود")
