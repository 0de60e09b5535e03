"""Lines as a PNG, drawn with nothing but zlib: panels below each other, each with its name and its own scale."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 900
PANEL: Final = 150
MARGIN: Final = 12
TEXT: Final = 24  # of a panel's height, for its name
# White, the axes, the text and the lines.
PALETTE: Final = (b"\xff\xff\xff", b"\xd5\xd9\xe0", b"\x1f\x29\x37", b"\x0f\x76\x6e", b"\xb4\x53\x09", b"\x43\x38\xca")
AXIS: Final = 1
INK: Final = 2
LINES: Final = 3  # the first panel's colour
SCALE: Final = 3  # pixels of a dot of a letter
# Letters of 3 by 5 dots: a digit per row from the top, whose bits are the dots from the left.
ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ.,:-"
DOTS: Final = (
    "75557262277174771717557117471774757711117575775717"
    "2575565656344436555674647746443455355755722271115255655444475775565555"
    "25552656442557365655342167222255557555525577555255552227124700002000240202000700"
)
LETTERS: Final = {letter: DOTS[5 * at : 5 * at + 5] for at, letter in enumerate(ALPHABET)}


@dataclass(frozen=True, slots=True)
class Panel:
    """A line's name, in ASCII, and its points from the left at equal distances."""

    name: str
    values: Sequence[float]


class Canvas:
    """Rows of colours' numbers."""

    def __init__(self, width: int, height: int) -> None:
        self.rows = [bytearray(width) for _ in range(height)]

    def dot(self, x: int, y: int, colour: int, size: int = 1) -> None:
        for row in self.rows[max(0, y) : y + size]:
            row[x : x + size] = bytes([colour]) * len(row[x : x + size])

    def write(self, x: int, y: int, text: str) -> None:
        for place, letter in enumerate(text.upper()):
            for down, bits in enumerate(LETTERS.get(letter, "00000")):
                for right in range(3):
                    if int(bits) >> (2 - right) & 1:
                        self.dot(x + (place * 4 + right) * SCALE, y + down * SCALE, INK, SCALE)

    def png(self) -> bytes:
        """An indexed PNG, 8 bits for each dot."""
        width, height = len(self.rows[0]), len(self.rows)
        content = zlib.compress(b"".join(b"\0" + row for row in self.rows), 9)
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            (
                _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
                _chunk(b"PLTE", b"".join(PALETTE)),
                _chunk(b"IDAT", content),
                _chunk(b"IEND", b""),
            )
        )


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def drawn(panels: Sequence[Panel]) -> bytes:
    """The picture; each panel goes from 0 to its line's highest point, which its name is followed by."""
    canvas = Canvas(WIDTH, PANEL * len(panels))
    for number, panel in enumerate(panels):
        _draw(canvas, panel, number * PANEL, LINES + number % (len(PALETTE) - LINES))
    return canvas.png()


def _draw(canvas: Canvas, panel: Panel, top: int, colour: int) -> None:
    highest = max(*panel.values, 1e-9)
    canvas.write(MARGIN, top + 4, f"{panel.name}: {panel.values[-1]:.0f}, at most {highest:.0f}")
    floor, height, width = top + PANEL - MARGIN, PANEL - MARGIN - TEXT, WIDTH - 2 * MARGIN
    for x in range(MARGIN, WIDTH - MARGIN):
        canvas.dot(x, floor, AXIS)
        canvas.dot(x, floor - height, AXIS)
    before = floor - round(panel.values[0] / highest * height)
    for step in range(width):
        y = floor - round(panel.values[step * len(panel.values) // width] / highest * height)
        for between in range(min(before, y), max(before, y) + 1):
            canvas.dot(MARGIN + step, between, colour, 2)
        before = y
