"""Amounts: whole rials, or a refusal that says why."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.kernel.errors import InvalidInput
from proxy.kernel.money import MAX_RIALS, Currency, to_rials, to_toman


@pytest.mark.parametrize(
    "amount",
    [
        1000.0,
        15000.5,
        float("nan"),
        float("inf"),
        "15000",
        "۱۵۰۰۰",
        "",
        True,
        False,
        None,
        [15000],
        {"amount": 15000},
        Decimal(15000),
        Fraction(15000),
        b"15000",
    ],
)
@pytest.mark.parametrize("currency", list(Currency))
def test_what_is_not_an_int_is_refused_and_not_converted(amount: object, currency: Currency) -> None:
    with pytest.raises(InvalidInput) as caught:
        to_rials(amount, currency)
    assert [(error.field, error.code) for error in caught.value.errors] == [("amount", "amount_not_integer")]


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        (999, Currency.IRR, "amount_too_small"),
        (99, Currency.IRT, "amount_too_small"),
        (0, Currency.IRR, "amount_too_small"),
        (-150_000, Currency.IRR, "amount_too_small"),
        (MAX_RIALS + 1, Currency.IRR, "amount_too_large"),
        (MAX_RIALS // 10 + 1, Currency.IRT, "amount_too_large"),
        (2**63, Currency.IRR, "amount_too_large"),
        (10**400, Currency.IRT, "amount_too_large"),
    ],
)
def test_what_the_gateway_or_json_cannot_carry_is_refused(amount: int, currency: Currency, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        to_rials(amount, currency)
    error = caught.value.errors[0]
    assert error.code == code
    assert error.detail
    assert error.detail_fa


@pytest.mark.parametrize(
    ("amount", "currency", "rials"),
    [
        (1000, Currency.IRR, 1000),
        (100, Currency.IRT, 1000),
        (15_000, Currency.IRT, 150_000),
        (MAX_RIALS, Currency.IRR, MAX_RIALS),
        (MAX_RIALS // 10, Currency.IRT, MAX_RIALS // 10 * 10),
    ],
)
def test_a_toman_is_ten_rials(amount: int, currency: Currency, rials: int) -> None:
    assert to_rials(amount, currency) == rials


@pytest.mark.parametrize(("rials", "toman"), [(150_000, 15_000), (1005, 100.5), (1001, 100.1), (1000, 100)])
def test_rials_are_shown_with_their_toman(rials: int, toman: float) -> None:
    assert to_toman(rials) == toman
    assert isinstance(to_toman(rials), int) == (rials % 10 == 0)


@given(st.integers(100, MAX_RIALS // 10))
def test_toman_survive_the_way_to_rials_and_back(toman: int) -> None:
    assert to_toman(to_rials(toman, Currency.IRT)) == toman
