"""What is sent in: multipart forms and texts as shops and browsers send them, logos that only draw, and no wider."""

import struct
import zlib
from contextlib import suppress

import pytest
from browser.stage import chunk, logo, png
from hypothesis import given
from hypothesis import strategies as st

from proxy.gateways.invoice_script.wire import ReturnUrlsDiffer, return_url_of
from proxy.gateways.shop_calls import codec_of, parse_fields, text_of, url_text
from proxy.http.forms import MAX_PARTS, MAX_TYPE_CHARS, Part, UnreadableForm, charset_of, media_type, read_parts
from proxy.merchants.logo_images import MAX_BYTES, MAX_SIDE, BadImage, clean_png

TYPE = "multipart/form-data; boundary=----b"
FIELD = b'------b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n'
END = b"------b--\r\n"


def head(text: str) -> bytes:
    return f"------b\r\n{text}\r\n\r\nx\r\n".encode() + END


def test_texts_and_files_are_told_apart() -> None:
    body = (
        b'------b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xda\x86\r\n'
        b'------b\r\nContent-Disposition: form-data; name="f"; filename="x.png"\r\nContent-Type: image/png\r\n\r\n'
        b"\r\n--\x00\xff\r\n\r\n------b--\r\n"
    )
    parts = [Part(b"a", b"\xda\x86", is_file=False), Part(b"f", b"\r\n--\x00\xff\r\n", is_file=True)]
    assert list(read_parts(TYPE, body)) == parts


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ('Multipart/Form-Data; charset=utf-8; Boundary="----b"', FIELD + END),
        (TYPE, (FIELD + END).replace(b"\r\n", b"\n")),
        (TYPE, FIELD + END.rstrip()),
        (TYPE, head("content-disposition:form-data;name=a")),
        (TYPE, head('Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name="a"')),
        (TYPE, head('Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: 8bit')),
    ],
)
def test_a_field_is_read_as_libraries_write_it(content_type: str, body: bytes) -> None:
    charset = "utf-8" if b"charset" in body else ""
    assert list(read_parts(content_type, body)) == [Part(b"a", b"x", is_file=False, charset=charset)]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", FIELD + END),
        ("multipart/form-data; boundary=" + "b" * 71, FIELD + END),
        (f"{TYPE}; boundary=c", FIELD + END),
        (TYPE + ";a=b" * MAX_TYPE_CHARS, FIELD + END),
        ("text/plain; boundary=----b", FIELD + END),
        (TYPE, b""),
        (TYPE, FIELD),
        (TYPE, b"x\r\n" + FIELD + END),
        (TYPE, FIELD + END + b"x"),
        (TYPE, FIELD * (MAX_PARTS + 1) + END),
        (TYPE, b"------b\r\n\r\nx\r\n" + END),
        (TYPE, b"------bc" + FIELD[7:] + END),
        (TYPE, head("Content-Disposition: form-data")),
        (TYPE, head('Content-Disposition: form-data; name=""')),
        (TYPE, head('Content-Disposition: form-data; name="a"; name="b"')),
        (TYPE, head('Content-Disposition: form-data; name="a')),
        (TYPE, head('Content-Disposition: attachment; name="a"')),
        (TYPE, head('Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="b"')),
        (TYPE, head('Content-Disposition: form-data; name="a"\r\nContent-Type: multipart/mixed; boundary=c')),
        (TYPE, head('Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64')),
        (TYPE, head('Content-Disposition: form-data; name="a"\r\n' + "X: " + "x" * 1024)),
        (TYPE, head('Content-Disposition: form-data; name="a"\r\nbroken')),
    ],
)
def test_what_no_library_writes_is_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(UnreadableForm):
        list(read_parts(content_type, body))


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", "application/json"),
        (" Application/JSON ; charset=utf-8", "application/json"),
        ("application/json;((((", "application/json"),
        ("application/json; x=" + "y" * MAX_TYPE_CHARS, ""),
        ("", ""),
    ],
)
def test_a_media_type_is_what_stands_before_the_parameters(content_type: str, expected: str) -> None:
    assert media_type(content_type) == expected


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        ("text/plain", ""),
        ("text/plain; Charset=UTF-8", "utf-8"),
        ("application/json;charset='utf-8'", "utf-8"),
        ('text/plain; a=b ; charset = "windows-1256" ', "windows-1256"),
        ("a/b; charset=utf-8; charset=UTF-8", "utf-8"),
        ("a/b; charset=utf-8; charset=cp1256", "?"),
        ("a/b; charset", ""),
        ("a/b; charset=utf-8" + " " * MAX_TYPE_CHARS, ""),
    ],
)
def test_a_charset_is_what_is_stated_once(content_type: str, charset: str) -> None:
    assert charset_of(content_type) == charset


WORDS = ("سفارش", "دوربين", "ك\u200cچ گپ ژ", "«١»؟ 17".replace("١", "a"), "A-17/سفارش")
PERSIAN = st.text(st.sampled_from("اآبپتثجچحخدذرزژسشصضطظعغفقكگلمنوهيئء \u200c0123456789-/"), min_size=1)


@given(raw=st.binary(max_size=30), stated=st.sampled_from(["", "utf-8", "windows-1256", "iso-8859-1", "koi8-r", "?"]))
def test_no_byte_is_lost(raw: bytes, stated: str) -> None:
    codec = codec_of(stated, [raw])
    assert text_of(raw, codec).encode(codec, "surrogateescape") == raw


@given(text=PERSIAN)
def test_persian_that_is_stated_or_utf8_is_read(text: str) -> None:
    assert text_of(text.encode(), codec_of("", [text.encode()])) == text
    assert text_of(text.encode("cp1256"), codec_of("windows-1256", [])) == text


@pytest.mark.parametrize("word", WORDS)
def test_windows_1256_is_known_without_being_stated(word: str) -> None:
    raw = word.encode("cp1256")
    assert text_of(raw, codec_of("", [raw])) == word


@pytest.mark.parametrize("word", WORDS)
def test_utf8_that_was_cut_off_is_no_windows_1256(word: str) -> None:
    raw = "سفارش".encode()[:-1]
    assert text_of(raw, codec_of("", [raw, word.encode("cp1256")])).encode("utf-8", "surrogateescape") == raw


@given(raw=st.binary(max_size=40))
def test_a_urls_bytes_go_back_as_they_came(raw: bytes) -> None:
    text = url_text(raw)
    assert text.encode() == raw or text.isascii()


@given(
    body=st.binary(max_size=60) | st.binary(max_size=40).map(lambda raw: b"return_url=https://a.ir/?" + raw),
    content_type=st.sampled_from(["", "application/json", "a/b; charset=cp1256", "multipart/form-data; boundary=b"]),
    start=st.sampled_from([b"", b"{", b"callback_url=", b"--b\r\n"]),
)
def test_any_body_is_fields_or_refused(body: bytes, content_type: str, start: bytes) -> None:
    with suppress(UnreadableForm):
        fields = parse_fields(start + body, content_type)
        with suppress(ReturnUrlsDiffer):
            return_url_of(fields)


WHITE = png(2, 2, b"\0" + b"\xff" * 6 + b"\0" + b"\xff" * 6)
SIGNATURE = WHITE[:8]
HEADER_CHUNK, PIXELS_CHUNK, LAST_CHUNK = (
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
    assert (
        clean_png(SIGNATURE + HEADER_CHUNK + chunk(kind, b"<script>secret</script>") + PIXELS_CHUNK + LAST_CHUNK)
        == WHITE
    )


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
        (SIGNATURE + LAST_CHUNK, "not a whole PNG"),
        (SIGNATURE + HEADER_CHUNK + LAST_CHUNK, "is damaged"),
        (SIGNATURE + HEADER_CHUNK + PIXELS_CHUNK, "is damaged"),
        (SIGNATURE + PIXELS_CHUNK + HEADER_CHUNK + LAST_CHUNK, "not a whole PNG"),
        (SIGNATURE + HEADER_CHUNK + HEADER_CHUNK + PIXELS_CHUNK + LAST_CHUNK, "not a whole PNG"),
        (SIGNATURE + HEADER_CHUNK + chunk(b"EVIL", b"") + PIXELS_CHUNK + LAST_CHUNK, "a part that is not known"),
        (SIGNATURE + HEADER_CHUNK + PIXELS_CHUNK[:-1] + b"x" + LAST_CHUNK, "is damaged"),
        (SIGNATURE + header(width=0) + PIXELS_CHUNK + LAST_CHUNK, "pixels wide"),
        (SIGNATURE + header(width=MAX_SIDE + 1) + PIXELS_CHUNK + LAST_CHUNK, "pixels wide"),
        (SIGNATURE + header(height=2**31) + PIXELS_CHUNK + LAST_CHUNK, "pixels wide"),
        (SIGNATURE + header(width=3) + PIXELS_CHUNK + LAST_CHUNK, "is damaged"),
        (SIGNATURE + header(height=1) + PIXELS_CHUNK + LAST_CHUNK, "is damaged"),
        (SIGNATURE + header(depth=4) + PIXELS_CHUNK + LAST_CHUNK, "header that is not PNG's"),
        (SIGNATURE + header(colour=1) + PIXELS_CHUNK + LAST_CHUNK, "header that is not PNG's"),
        (SIGNATURE + header(colour=3) + PIXELS_CHUNK + LAST_CHUNK, "header that is not PNG's"),
        (SIGNATURE + header(rest=b"\1\0\0") + PIXELS_CHUNK + LAST_CHUNK, "header that is not PNG's"),
        (SIGNATURE + header(rest=b"\0\0\1") + PIXELS_CHUNK + LAST_CHUNK, "interlaced"),
        (SIGNATURE + chunk(b"IHDR", b"short") + PIXELS_CHUNK + LAST_CHUNK, "no header"),
        (png(2, 2, b"\5" + b"\xff" * 6 + b"\0" + b"\xff" * 6), "is damaged"),
        (SIGNATURE + HEADER_CHUNK + chunk(b"IDAT", b"no zlib") + LAST_CHUNK, "is damaged"),
        (SIGNATURE + struct.pack(">I", 2**31) + b"IDAT", "is damaged"),
        (WHITE + bytes(MAX_BYTES), "at most"),
    ],
)
def test_what_is_no_small_png_is_refused(image: bytes, why: str) -> None:
    with pytest.raises(BadImage, match=why):
        clean_png(image)


def test_a_bomb_is_not_unpacked() -> None:
    bomb = SIGNATURE + HEADER_CHUNK + chunk(b"IDAT", zlib.compress(bytes(15_000_000), 9)) + LAST_CHUNK
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
