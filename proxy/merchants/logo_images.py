"""Logos that are safe to serve: PNG only, read chunk by chunk and rewritten with the chunks that draw.

SVG can carry scripts, and formats with decoders in C would be decoded here and in every customer's browser; a small PNG
can be checked by hand. Comments, EXIF, animation and any bytes behind the image's end are dropped.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

MAX_BYTES: Final = 20_000
MAX_SIDE: Final = 512
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_KEPT: Final = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
# Samples per pixel and allowed bit depths, by colour type (PNG, 11.2.2).
_TYPES: Final = {0: (1, (1, 2, 4, 8, 16)), 2: (3, (8, 16)), 3: (1, (1, 2, 4, 8)), 4: (2, (8, 16)), 6: (4, (8, 16))}
_PALETTE: Final = 3
_HEADER_BYTES: Final = 13
_LAST_FILTER: Final = 4


class BadImage(ValueError):
    """Why an image is refused."""


def clean_png(image: bytes) -> bytes:
    """The same picture with only its drawing chunks. Raises BadImage."""
    if len(image) > MAX_BYTES:
        raise BadImage(f"must be at most {MAX_BYTES} bytes")
    if not image.startswith(_SIGNATURE):
        raise BadImage("must be a PNG image")
    chunks = [(kind, data) for kind, data in _chunks(image) if kind in _KEPT]
    kinds = [kind for kind, _ in chunks]
    if kinds[:1] != [b"IHDR"] or kinds[-1:] != [b"IEND"] or kinds.count(b"IHDR") != 1 or kinds.count(b"IEND") != 1:
        raise BadImage("is not a whole PNG image")
    _check_pixels(
        chunks[0][1], b"".join(data for kind, data in chunks if kind == b"IDAT"), has_palette=b"PLTE" in kinds
    )
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunks(image: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks up to IEND; those that a decoder may skip are among them."""
    at = len(_SIGNATURE)
    while True:
        length, kind = struct.unpack(">I4s", image[at : at + 8].ljust(8, b"\0"))
        data = image[at + 8 : at + 8 + length]
        end = at + 12 + length
        if end > len(image) or image[end - 4 : end] != struct.pack(">I", zlib.crc32(kind + data)):
            raise BadImage("is damaged")
        if kind not in _KEPT and kind[:1].isupper():
            raise BadImage("has a part that is not known")
        yield kind, data
        if kind == b"IEND":
            return
        at = end


def _check_pixels(header: bytes, packed: bytes, *, has_palette: bool) -> None:
    """Raises BadImage unless the pixels are exactly as many as the header says: no bomb, and nothing behind them."""
    if len(header) != _HEADER_BYTES:
        raise BadImage("has no header")
    width, height, depth, colour, compression, filtering, interlaced = struct.unpack(">IIBBBBB", header)
    if not 1 <= width <= MAX_SIDE or not 1 <= height <= MAX_SIDE:
        raise BadImage(f"must be at most {MAX_SIDE} pixels wide and high")
    samples, depths = _TYPES.get(colour, (0, ()))
    if depth not in depths or compression or filtering or (colour == _PALETTE) > has_palette:
        raise BadImage("has a header that is not PNG's")
    if interlaced:
        raise BadImage("must not be interlaced")
    row = 1 + (width * samples * depth + 7) // 8
    reader = zlib.decompressobj()
    try:
        pixels = reader.decompress(packed, row * height + 1)
    except zlib.error:
        raise BadImage("is damaged") from None
    if len(pixels) != row * height or not reader.eof or reader.unused_data or max(pixels[::row]) > _LAST_FILTER:
        raise BadImage("is damaged")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", zlib.crc32(kind + data))
