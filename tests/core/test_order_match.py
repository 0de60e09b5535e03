"""What a typed text may be of an order: in any case, digits and form of a letter, from its beginning on."""

import orjson
import pytest

from proxy.payments.order_match import OrderMatch, OrderTexts


def order(description: str | None = None, amount: int = 150_000, **values: object) -> OrderTexts:
    return OrderTexts("pay_1", amount, description, orjson.dumps(values).decode())


@pytest.mark.parametrize(
    "text",
    [
        "Basket 42", "basket 4", "BASKET ۴۲", "basket ٤", "سارا محمدی", "سارا", "كتاب", "کتاب", "می‌خواهم", "مي خواهم",
        "0912", "۰۹۱۲", "4242", '"quo', "back\\s", "15000", "۱۵۰٬۰۰۰", "150,000", "new\nline",
    ],
)  # fmt: skip
def test_a_beginning_is_found(text: str) -> None:
    found = order(
        "Basket 42 of the spring",
        customer="سارا محمدی",
        book="كتاب ۱۴۰۵",
        note="می‌خواهم",
        phone="۰۹۱۲۱۲۳۴۵۶۷",
        number=4242,
        quoted='"quoted" text',
        slashed="back\\slash",
        lines="new\nline",
    )
    assert OrderMatch(text).accepts(found)


@pytest.mark.parametrize(
    "text",
    ["asket", "42 of", "customer", "محمدی", "true", "tru", "null", "nul", "42", "ab", "", "  ", "150", "1500001"],
)
def test_what_is_in_the_middle_a_key_or_too_short_is_not_found(text: str) -> None:
    found = order("Basket 42 of", customer="سارا محمدی", yes=True, nothing=None, x='a","customer":"bee', y="a:bee", n=1)
    assert not OrderMatch(text).accepts(found)


def test_a_text_of_signs_alone_costs_no_more_than_another() -> None:
    for text in (".*", "(((((((((", "[a-z]+$", "a" * 100, "\u202e\u200c..", "İıſK" * 25, "\\" * 100):
        assert not OrderMatch(text).accepts(order("x" * 500, value="y" * 3900))
    assert OrderMatch("(a+)+$").accepts(order("(a+)+$ is a text"))


def test_nothing_is_looked_for_where_nothing_can_be_meant() -> None:
    assert [bool(OrderMatch(text)) for text in ("ab", "", "7", "abc", "0")] == [False, False, True, True, False]
