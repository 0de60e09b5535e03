"""The customer's way back: the shop's own URL survives, and what is added can be verified."""

import hashlib
import hmac
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest

from proxy.merchant import Mode
from proxy.money import Currency
from proxy.payment import Payment, Status
from proxy.way_back import PARAMETERS, ascii_url, sign, verify, way_back_url
from web.lab import RETURN_URL, Lab

SECRET = "rsec_0123456789abcdef"
PAYMENT = Payment(
    id="pay_8Hk2Lm0Q0UfJx3aZ7cVbN1mKpT",
    merchant_id="mer_8Hk2Lm0Q",
    storefront="main",
    terminal_id="trm_8Hk2Lm0Q0UfJx1QwErTyUiOpAs",
    mode=Mode.LIVE,
    order_id="سفارش ~*&=17+",
    amount_rials=150_000,
    currency=Currency.IRR,
    description=None,
    metadata={},
    return_url="https://shop.example.ir/thanks",
    link="8Hk2Lm0QaB3dE6gH9jK2mN5pQ8sT1v",
    expires_at=0,
    created_at=0,
    updated_at=0,
    status=Status.PAID,
)


def parameters(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, strict_parsing=True))


def test_what_is_added_verifies_and_names_the_order_whatever_is_in_it() -> None:
    added = parameters(way_back_url("https://shop.example.ir/thanks", SECRET, PAYMENT))
    assert added["payment_id"] == PAYMENT.id
    assert added["order_id"] == PAYMENT.order_id
    assert added["status"] == "paid"
    assert verify(SECRET, added)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_changed_or_missing_parameter_does_not_verify(name: str) -> None:
    added = parameters(way_back_url("https://shop.example.ir/thanks", SECRET, PAYMENT))
    assert not verify(SECRET, {**added, name: added[name] + "x"})
    assert not verify(SECRET, {**added, name: "پرداخت"})
    del added[name]
    assert not verify(SECRET, added)


def test_another_merchants_secret_does_not_verify() -> None:
    assert not verify("rsec_other", parameters(way_back_url("https://shop.example.ir/", SECRET, PAYMENT)))


def test_the_signature_is_what_the_documentation_says() -> None:
    text = f"payment_id={PAYMENT.id}&order_id={PAYMENT.order_id}&status=paid"
    expected = hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
    assert sign(SECRET, PAYMENT.id, PAYMENT.order_id, "paid") == expected


@pytest.mark.parametrize(
    ("return_url", "begins"),
    [
        ("https://shop.example.ir", "https://shop.example.ir/?payment_id=pay_"),
        ("https://shop.example.ir/t", "https://shop.example.ir/t?payment_id=pay_"),
        ("https://shop.example.ir/t?", "https://shop.example.ir/t?payment_id=pay_"),
        ("https://shop.example.ir/t?a=1", "https://shop.example.ir/t?a=1&payment_id=pay_"),
        ("https://shop.example.ir/t?a=b%20c+d&e&f=%7E", "https://shop.example.ir/t?a=b%20c+d&e&f=%7E&payment_id=pay_"),
        ("https://shop.example.ir:8443/%D8%B3", "https://shop.example.ir:8443/%D8%B3?payment_id=pay_"),
        ("https://shop.example.ir/سفارش", "https://shop.example.ir/%D8%B3%D9%81%D8%A7%D8%B1%D8%B4?payment_id=pay_"),
        ("https://[::1]:8443/t", "https://[::1]:8443/t?payment_id=pay_"),
    ],
)
def test_the_shops_own_url_survives(return_url: str, begins: str) -> None:
    url = way_back_url(return_url, SECRET, PAYMENT)
    assert url.startswith(begins)
    assert url.isascii()


def test_parameters_of_our_names_are_replaced_so_that_no_reader_sees_two() -> None:
    url = way_back_url("https://shop.example.ir/t?order%5Fid=9&x=1&status=canceled", SECRET, PAYMENT)
    assert "x=1&payment_id=" in url
    assert [name for name, _ in parse_qsl(urlsplit(url).query)] == ["x", *PARAMETERS]


def test_the_query_stands_before_a_fragment() -> None:
    url = way_back_url("https://shop.example.ir/app#/done", SECRET, replace(PAYMENT, order_id="A"))
    assert urlsplit(url).fragment == "/done"
    assert verify(SECRET, parameters(url))


def test_a_host_that_no_name_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="label"):
        ascii_url(f"https://{'س' * 80}.ir/")


async def test_the_way_back_is_signed_with_a_new_secret_as_soon_as_there_is_one(lab: Lab) -> None:
    async def signed_by(secret: str) -> bool:
        payment = await lab.created(return_url=RETURN_URL)
        answer = await lab.call("GET", await lab.act(payment, "pay"), token="")
        assert answer.status == 303
        return verify(secret, parameters(answer.location))

    assert await signed_by(lab.return_secret)
    new = await lab.dargah.services.setup.rotate_return_secret(lab.merchant_id, actor="test")
    assert await signed_by(new)
    assert not await signed_by(lab.return_secret)
