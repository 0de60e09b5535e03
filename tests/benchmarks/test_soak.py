"""`python -m bench.soak` works and draws what it saw; what it measures is not for tests."""

import struct
import zlib
from pathlib import Path

import pytest

from bench.lines_picture import PALETTE, PANEL, WIDTH, Panel, drawn
from bench.soak import PICTURE, Course, growth
from benchmarks.trying import column, tried


def pixels(png: bytes) -> list[bytes]:
    """The rows of an indexed picture, by its chunks, whose checksums are right."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, chunks = 8, dict[bytes, bytes]()
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        chunks[kind] = png[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + chunks[kind]) == struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0]
        at += length + 12
    assert list(chunks) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    width, height, bits, kind_of_colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (bits, kind_of_colour, chunks[b"PLTE"]) == (8, 3, b"".join(PALETTE))
    content = zlib.decompress(chunks[b"IDAT"])
    assert len(content) == (width + 1) * height
    return [content[row * (width + 1) + 1 : (row + 1) * (width + 1)] for row in range(height)]


def test_a_line_that_rises_is_lower_on_the_left_than_on_the_right() -> None:
    rows = pixels(drawn([Panel("flat", [1, 1]), Panel("rising", [0, 5, 10])]))
    assert len(rows) == 2 * PANEL
    assert len(rows[0]) == WIDTH
    heights = [min(number for number, row in enumerate(rows) if row[x] == 4) for x in (20, WIDTH // 2, WIDTH - 20)]
    assert heights == sorted(heights, reverse=True)
    assert len(set(heights)) == 3


@pytest.mark.parametrize(
    ("memory", "grew"), [([50, 80, 80, 80, 80, 80, 80, 81], 1), ([50, 80, 90, 99, 110, 120, 130, 140], 60)]
)
def test_memory_grows_from_the_first_quarter_on(memory: list[float], grew: float) -> None:
    payments = [0, 25, 30, 50, 60, 80, 90, 100]
    assert growth(Course(list(map(float, payments)), payments, memory, memory, memory)) == grew


async def test_payments_are_made_and_told_while_memory_and_files_are_looked_at(tmp_path: Path) -> None:
    found = await tried("soak", tmp_path)
    assert "300 payments" in found["tables"][0]["title"]
    assert "270 of them paid" in found["tables"][0]["title"]
    assert column(found, 0, "at the end")["WAL, MB"] > 0
    assert found["raw"]["payments"][-1] == 300
    assert pixels((tmp_path / PICTURE).read_bytes())
