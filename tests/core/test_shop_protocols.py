"""Properties of the protocols that shops speak to Dargah: the way back to the shop, and the amounts of its calls."""

import unicodedata
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.gateways import shop_side
from proxy.gateways.registry import FAMILIES
from proxy.gateways.shop_side import CallRefused, InvoiceState, ShopInvoice, check_return_url, shop_url
from proxy.gateways.zarinpal import drop_in as zarinpal
from proxy.gateways.zibal import drop_in as zibal
from proxy.kernel.money import MAX_RIALS, Currency

ORIGIN = "https://shop.example.ir"
PROTOCOLS = [name for name, family in FAMILIES.items() if family.shop_side is not None]
ASCII_QUERIES = st.text("abcXYZ019=&%+/?:@!$'()*,;[]-._~{}|^`", max_size=40)
PATHS = st.text("abc/%20.~-_", max_size=12).map(lambda text: f"/{text}")
INVOICES = st.builds(
    ShopInvoice,
    key=st.text("abcXYZ019", min_size=1, max_size=40),
    state=st.sampled_from([state for state in InvoiceState if state is not InvoiceState.UNKNOWN]),
    amount=st.integers(1000, MAX_RIALS),
    bank_code=st.none() | st.text(min_size=1, max_size=40),
    order_id=st.text(st.characters(codec="utf-8"), max_size=20),
    trace_number=st.none() | st.text("0123456789x", max_size=20),
)
AMOUNTS = st.one_of(
    st.integers(-10, 10**20),
    st.floats(allow_nan=False),
    st.integers(0, MAX_RIALS).map(float),
    st.integers(0, 10**16).map(str),
    st.decimals(0, 10**12, places=2).map(str),
    st.text("0123456789۰۱۲۳٤٥,._- \u200f", max_size=12),
    st.none() | st.booleans() | st.lists(st.integers(), max_size=2),
)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(path=PATHS, query=st.none() | ASCII_QUERIES, fragment=st.none() | st.text("ab=/?", max_size=8), invoice=INVOICES)
@example(path="/cb", query="Authority=old&Status=OK&trackId=1&invoice_key=x", fragment=None,
         invoice=ShopInvoice("new", InvoiceState.CANCELED, 1000, None))  # fmt: skip
def test_a_return_keeps_the_shops_url_byte_for_byte_and_adds_each_parameter_once(
    protocol: str, path: str, query: str | None, fragment: str | None, invoice: ShopInvoice
) -> None:
    side = FAMILIES[protocol].shop_side
    assert side is not None
    base = f"{ORIGIN}{path}" + ("" if query is None else f"?{query}")
    url = base + ("" if fragment is None else f"#{fragment}")
    params = dict(side.return_params(invoice))
    back = shop_url(check_return_url(url, [ORIGIN], any_https=False), params)
    head, _, kept = back.partition("#")
    assert head.startswith(base)
    assert kept == (fragment or "")
    added = head[len(base) :].lstrip("?&")
    assert parse_qsl(added, keep_blank_values=True, strict_parsing=True) == list(params.items())
    own = parse_qsl(query or "", keep_blank_values=True)
    assert parse_qsl(urlsplit(back).query, keep_blank_values=True) == [*own, *params.items()]


def meant(value: Any) -> int | None:
    """The whole number that an amount says to a person, who reads no separators and no thousands; None for none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        text = "".join(str(unicodedata.digit(each, each)) for each in value.strip().strip("\u200f").strip())
        if not set(text) <= set("0123456789.") or len(text.partition(".")[0]) > 19:
            return None
        value = text
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return int(number) if number == number.to_integral_value() else None


@pytest.mark.parametrize("currency", Currency)
@given(amount=AMOUNTS)
def test_an_amount_is_exact_or_refused(currency: Currency, amount: Any) -> None:
    call = {"amount": amount, "description": "x", "callback_url": ORIGIN, "callbackUrl": ORIGIN, "currency": currency}
    for module, fold in ((zarinpal, 10 if currency is Currency.IRT else 1), (zibal, 1)):
        try:
            if module is zarinpal:
                asked = zarinpal.read_request(call, Currency.IRR, [ORIGIN], any_https=False)
            else:
                asked = zibal.read_request(call, [ORIGIN], any_https=False)
        except CallRefused:
            # Never one that a client of ours would send as it should.
            plain = isinstance(amount, int) and not isinstance(amount, bool)
            assert not (plain and 1000 <= amount * fold <= MAX_RIALS)
            continue
        assert meant(amount) is not None
        assert asked.amount_rials == (meant(amount) or 0) * fold
        assert 1000 <= asked.amount_rials <= MAX_RIALS


@given(invoice=INVOICES, amount=AMOUNTS)
def test_a_verify_of_another_amount_is_refused(invoice: ShopInvoice, amount: Any) -> None:
    zarinpal.check_amount({"amount": invoice.amount}, invoice)
    try:
        zarinpal.check_amount({"amount": amount}, invoice)
    except CallRefused:
        return
    assert meant(amount) == invoice.amount


@given(invoice=INVOICES)
def test_a_banks_number_is_one_that_every_client_keeps(invoice: ShopInvoice) -> None:
    number = shop_side.reference_number(invoice)
    assert float(number) == number
    assert 0 <= number < 2**53
    assert shop_side.reference_number(invoice) == number


def test_a_banks_number_is_the_banks_own_where_it_has_one() -> None:
    def number(bank_code: str, trace_number: str | None = None) -> int:
        return shop_side.reference_number(ShopInvoice("k", InvoiceState.PAID, 1000, bank_code, "", trace_number))

    assert number("123456789012", "7") == 123456789012
    assert number("GmshtyjwKSu5lKQ", "123456789012") == 123456789012
    assert number("9" * 20, "0") == number("9" * 20, None) != number("8" * 20, None)
