"""Logos: what draws gets through, and nothing else."""

import struct
import zlib

import pytest
from browser.pictures import chunk, logo, png
from hypothesis import given
from hypothesis import strategies as st

from proxy.merchants.logo_images import MAX_BYTES, MAX_SIDE, BadImage, clean_png

WHITE = png(2, 2, b"\0" + b"\xff" * 6 + b"\0" + b"\xff" * 6)
SIGNATURE = WHITE[:8]
HEADER, PIXELS, END = (
    chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0)),
    chunk(b"IDAT", zlib.compress(b"\0" + b"\xff" * 6 + b"\0" + b"\xff" * 6, 9)),
    chunk(b"IEND", b""),
)


def header(width: int = 2, height: int = 2, depth: int = 8, colour: int = 2, rest: bytes = b"\0\0\0") -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBB", width, height, depth, colour) + rest)


def test_a_plain_picture_stays_as_it_is() -> None:
    for picture in (WHITE, logo()):
        assert clean_png(picture) == picture


@pytest.mark.parametrize("kind", [b"tEXt", b"iTXt", b"eXIf", b"acTL", b"fdAT", b"iCCP", b"prVt"])
def test_what_does_not_draw_is_left_out(kind: bytes) -> None:
    assert clean_png(SIGNATURE + HEADER + chunk(kind, b"<script>secret</script>") + PIXELS + END) == WHITE


def test_what_follows_the_picture_is_left_out() -> None:
    assert clean_png(WHITE + b"<script>alert(1)</script>") == WHITE


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (b"", "must be a PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "must be a PNG"),
        (b"GIF89a", "must be a PNG"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "must be a PNG"),
        (SIGNATURE, "is damaged"),
        (SIGNATURE + END, "not a whole PNG"),
        (SIGNATURE + HEADER + END, "is damaged"),
        (SIGNATURE + HEADER + PIXELS, "is damaged"),
        (SIGNATURE + PIXELS + HEADER + END, "not a whole PNG"),
        (SIGNATURE + HEADER + HEADER + PIXELS + END, "not a whole PNG"),
        (SIGNATURE + HEADER + chunk(b"EVIL", b"") + PIXELS + END, "a part that is not known"),
        (SIGNATURE + HEADER + PIXELS[:-1] + b"x" + END, "is damaged"),
        (SIGNATURE + header(width=0) + PIXELS + END, "pixels wide"),
        (SIGNATURE + header(width=MAX_SIDE + 1) + PIXELS + END, "pixels wide"),
        (SIGNATURE + header(height=2**31) + PIXELS + END, "pixels wide"),
        (SIGNATURE + header(width=3) + PIXELS + END, "is damaged"),
        (SIGNATURE + header(height=1) + PIXELS + END, "is damaged"),
        (SIGNATURE + header(depth=4) + PIXELS + END, "header that is not PNG's"),
        (SIGNATURE + header(colour=1) + PIXELS + END, "header that is not PNG's"),
        (SIGNATURE + header(colour=3) + PIXELS + END, "header that is not PNG's"),
        (SIGNATURE + header(rest=b"\1\0\0") + PIXELS + END, "header that is not PNG's"),
        (SIGNATURE + header(rest=b"\0\0\1") + PIXELS + END, "interlaced"),
        (SIGNATURE + chunk(b"IHDR", b"short") + PIXELS + END, "no header"),
        (png(2, 2, b"\5" + b"\xff" * 6 + b"\0" + b"\xff" * 6), "is damaged"),
        (SIGNATURE + HEADER + chunk(b"IDAT", b"no zlib") + END, "is damaged"),
        (SIGNATURE + struct.pack(">I", 2**31) + b"IDAT", "is damaged"),
        (WHITE + bytes(MAX_BYTES), "at most"),
    ],
)
def test_what_is_no_small_png_is_refused(image: bytes, why: str) -> None:
    with pytest.raises(BadImage, match=why):
        clean_png(image)


def test_a_bomb_is_not_unpacked() -> None:
    bomb = SIGNATURE + HEADER + chunk(b"IDAT", zlib.compress(bytes(15_000_000), 9)) + END
    assert len(bomb) <= MAX_BYTES
    with pytest.raises(BadImage, match="is damaged"):
        clean_png(bomb)


@given(st.binary(max_size=200), st.integers(0, len(WHITE)))
def test_any_bytes_are_a_picture_or_refused(noise: bytes, at: int) -> None:
    for image in (noise, WHITE[:at] + noise + WHITE[at:], WHITE[:at] + noise):
        try:
            assert clean_png(image).startswith(SIGNATURE)
        except BadImage:
            continue
