"""The Content-Type header, and multipart forms (RFC 7578), parsed by hand: in one pass, and only as far as shops and
browsers use them. Pure.

The standard library's `email` takes time that grows faster than hostile input, so no stranger's bytes reach it.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

MAX_TYPE_CHARS: Final = 200
MAX_PARTS: Final = 60
MAX_HEAD_BYTES: Final = 1024  # of one part

MULTIPART: Final = "multipart/form-data"
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=?-]{1,70}")
_PARAMETER: Final = re.compile(rb'; *([a-z*]{1,20}) *= *(?:"([^"\r\n]*)"|([^\s;"]+)) *', re.IGNORECASE)
_DISPOSITION: Final = b"form-data"
_PLAIN_ENCODINGS: Final = frozenset({b"7bit", b"8bit", b"binary"})


class UnreadableForm(ValueError):
    """A body that is not the form that its Content-Type names."""


class Part(NamedTuple):
    """One field of a form; `is_file` where it has a file's name. `charset` is the part's own charset."""

    name: bytes
    data: bytes
    is_file: bool
    charset: str = ""


def media_type(content_type: str) -> str:
    """The type and subtype in lower case, without parameters; empty for a value that is too long."""
    if len(content_type) > MAX_TYPE_CHARS:
        return ""
    return content_type.partition(";")[0].strip().lower()


def charset_of(content_type: str) -> str:
    """The charset that it states, in lower case; empty when it states none, `?` when it states several."""
    if len(content_type) > MAX_TYPE_CHARS:
        return ""
    pairs = (pair.partition("=") for pair in content_type.lower().split(";")[1:])
    stated = {value.strip().strip("\"'").strip() for name, _, value in pairs if name.strip() == "charset"}
    return stated.pop() if len(stated) == 1 else "?" if stated else ""


def read_parts(content_type: str, body: bytes) -> Iterator[Part]:
    """The fields of a multipart form in their order. Raises UnreadableForm, for parts within parts too."""
    delimiter = b"--" + _boundary(content_type)
    # RFC 2046 wants CRLF; shops that write the form by hand end lines by LF alone, and do so throughout.
    line_end = b"\n" if body.startswith(delimiter + b"\n") else b"\r\n"
    pieces = (line_end + body).split(line_end + delimiter, MAX_PARTS + 1)
    if pieces[0] or len(pieces) == 1 or pieces[-1].rstrip(b"\r\n") != b"--":
        raise UnreadableForm("it does not begin and end with its boundary, or has too many parts")
    for piece in pieces[1:-1]:
        head, blank, data = piece.partition(line_end * 2)
        if not blank or not head.startswith(line_end) or len(head) > MAX_HEAD_BYTES:
            raise UnreadableForm("a part has no head, or one that is too long")
        yield _part(head.removeprefix(line_end).split(line_end), data)


def _part(lines: list[bytes], data: bytes) -> Part:
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or name.lower() in headers:
            raise UnreadableForm("a part's head is malformed")
        headers[name.lower()] = value.strip()
    if headers.get(b"content-type", b"").lower().startswith(b"multipart/"):
        raise UnreadableForm("a part has parts of its own")
    if headers.get(b"content-transfer-encoding", b"binary").lower() not in _PLAIN_ENCODINGS:
        raise UnreadableForm("a part is encoded")
    parameters = _disposition(headers.get(b"content-disposition", b""))
    if not parameters.get(b"name"):
        raise UnreadableForm("a part has no name")
    is_file = any(name.startswith(b"filename") for name in parameters)
    return Part(parameters[b"name"], data, is_file, charset_of(headers.get(b"content-type", b"").decode("latin-1")))


def _disposition(value: bytes) -> dict[bytes, bytes]:
    """The parameters of a part's Content-Disposition. Raises UnreadableForm."""
    parameters: dict[bytes, bytes] = {}
    at = len(_DISPOSITION)
    if value[:at].lower() != _DISPOSITION:
        raise UnreadableForm("a part is no field of a form")
    while at < len(value):
        found = _PARAMETER.match(value, at)
        if found is None or found[1].lower() in parameters:
            raise UnreadableForm("a part's name is malformed")
        parameters[found[1].lower()] = found[2] if found[3] is None else found[3]
        at = found.end()
    return parameters


def _boundary(content_type: str) -> bytes:
    if media_type(content_type) != MULTIPART:
        raise UnreadableForm("it is no multipart form")
    pairs = (pair.partition("=") for pair in content_type.split(";")[1:])
    given = [value.strip() for name, _, value in pairs if name.strip().lower() == "boundary"]
    text = given[0] if len(given) == 1 else ""
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if not _BOUNDARY.fullmatch(text):
        raise UnreadableForm("it names no boundary")
    return text.encode()
