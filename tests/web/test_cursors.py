"""A cursor is good for its own list only, and a damaged one is refused."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import InvalidInput
from proxy.web.cursors import CHECK_BYTES, read_cursor, read_number, write_cursor

ROW = "pay_8Hk2Lm0Q0UfJx3aZ7cVbN1mKpT"
SCOPE = ("payments", "mer_8Hk2Lm0Q", "main", None)


def test_it_gives_back_the_row() -> None:
    assert read_cursor(write_cursor(ROW, SCOPE), SCOPE) == ROW
    assert read_number(write_cursor("17", SCOPE), SCOPE) == 17


@pytest.mark.parametrize(
    "other",
    [
        ("events", *SCOPE[1:]),
        ("payments", "mer_00000000", "main", None),
        (*SCOPE[:3], "paid"),
        (*SCOPE[:3], ""),
    ],
)
def test_it_is_refused_by_another_list_merchant_or_filter(other: tuple[str | None, ...]) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_cursor(write_cursor(ROW, SCOPE), other)
    assert caught.value.errors[0].field == "cursor"


@given(st.text(max_size=80) | st.from_regex(r"[A-Za-z0-9_-]{0,80}", fullmatch=True))
def test_any_text_is_refused_cleanly(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_cursor(text, SCOPE)


@given(st.integers(min_value=0), st.integers(1, 255))
def test_any_changed_byte_is_refused(index: int, change: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(write_cursor(ROW, SCOPE) + "=="))
    raw[index % len(raw)] ^= change
    with pytest.raises(InvalidInput):
        read_cursor(base64.urlsafe_b64encode(raw).decode().rstrip("="), SCOPE)


@pytest.mark.parametrize("row", ["", "x", "-1", "9" * 19, "pay_short", "a' OR 1=1", ROW + "\x00"])
def test_one_made_by_hand_holds_a_row_or_is_refused(row: str) -> None:
    bound = "\n".join((row, *("" if part is None else f"={part}" for part in SCOPE)))
    made = hashlib.sha256(bound.encode()).digest()[:CHECK_BYTES] + row.encode()
    with pytest.raises(InvalidInput):
        read_cursor(base64.urlsafe_b64encode(made).decode(), SCOPE)


def test_a_number_is_asked_of_a_list_by_numbers() -> None:
    with pytest.raises(InvalidInput):
        read_number(write_cursor(ROW, SCOPE), SCOPE)
