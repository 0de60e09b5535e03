"""Where a customer may be sent back: no form of a foreign URL passes for a registered one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from proxy.errors import InvalidInput
from proxy.merchant import check_return_url, origin_of

ALLOWED = ("https://shop.example.ir", "https://shop.example.ir:8443", "http://127.0.0.1:3000")


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example.ir",
        "https://shop.example.ir/",
        "https://shop.example.ir:443/back",
        "HTTPS://SHOP.Example.IR/back?order=17&_token=a%20b#done",
        "https://shop.example.ir?next=https://evil.example",
        "https://shop.example.ir/back?mail=a@b",
        "https://shop.example.ir#@evil.example",
        "https://shop.example.ir:8443/back",
        "http://127.0.0.1:3000/back",
        "https://shop.example.ir/بازگشت",
    ],
)
def test_a_registered_origin_is_accepted_and_the_url_is_left_as_it_is(url: str) -> None:
    assert check_return_url(url, ALLOWED) == url


FOREIGN = [
    "https://evil.example/",
    "https://evil.example/https://shop.example.ir",
    "https://evil.example?https://shop.example.ir",
    "https://evil.example#https://shop.example.ir",
    "https://shop.example.ir.evil.example/",
    "https://evilshop.example.ir/",
    "https://sub.shop.example.ir/",
    "https://shop.example.ir./",
    "https://shop.example.ir%2eevil.example/",
    "https://shop.example.ir%00.evil.example/",
    "https://shop.example.ir;evil.example/",
    "https://shop.example.ir,evil.example/",
    "http://shop.example.ir/",
    "http://shop.example.ir:443/",
    "https://shop.example.ir:80/",
    "https://shop.example.ir:8444/",
    "https://shop.example.ir:0/",
    "https://127.0.0.1:3000/",
    "http://127.0.0.1/",
    "http://2130706433:3000/",
    "http://[::ffff:127.0.0.1]:3000/",
    "https://xn--shop-example-ir.example/",
    "https://shöp.example.ir/",
    "https://sһop.example.ir/",  # a Cyrillic h
    "https://shop。example.ir/",
]
INVALID = [
    "",
    "/back",
    "//shop.example.ir/back",
    "///shop.example.ir/back",
    "https:shop.example.ir",
    "https:/shop.example.ir",
    "https:///shop.example.ir",
    "https://",
    "https://:443/",
    "https://?x",
    "shop.example.ir",
    "javascript:alert(1)",
    "javascript://shop.example.ir/%0aalert(1)",
    "data:text/html,x",
    "ftp://shop.example.ir/",
    "file:///etc/passwd",
    "https://shop.example.ir@evil.example/",
    "https://shop.example.ir:443@evil.example/",
    "https://user@shop.example.ir/",
    "https://shop.example.ir%2f@evil.example/",
    "https://user:pw@shop.example.ir/",
    "https://@shop.example.ir/",
    "https://evil.example\\@shop.example.ir/",
    "https://shop.example.ir\\.evil.example/",
    "https:\\\\shop.example.ir/",
    "/\\shop.example.ir",
    " https://shop.example.ir/",
    "https://shop.example.ir/ ",
    "https://shop.example.ir/\n",
    "https://shop.exa\tmple.ir/",
    "https://shop.example.ir/\r\nSet-Cookie: a=b",
    "https://shop.example.ir/\x00",
    "https://shop.example.ir\x7f/",
    "https://shop.example.ir\u00a0/",
    "https://shop.example.ir/\u200b",
    "https://shop.example.ir/\u202egnp",
    "https://shop.example.ir:port/",
    "https://shop.example.ir:99999/",
    "https://shop.example.ir:-443/",
    "https://shop.example.ir:４４３/",
    "https://[::1/",
    "https://[evil]/",
    "https://shop.example.ir／evil.example/",  # NFKC makes a slash of it
    "https://shop.example.ir＠evil.example/",
]


@pytest.mark.parametrize("url", FOREIGN)
def test_another_origin_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_return_url(url, ALLOWED)
    found = [(error.field, error.code) for error in caught.value.errors]
    assert found == [("return_url", "return_origin_not_registered")]


@pytest.mark.parametrize("url", INVALID)
def test_what_is_not_an_absolute_web_address_is_invalid(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_return_url(url, ALLOWED)
    assert [error.code for error in caught.value.errors] == ["url_invalid"]


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Shop.Example.ir:443/a", "https://shop.example.ir"),
        ("http://shop.example.ir:80", "http://shop.example.ir"),
        ("http://shop.example.ir:443", "http://shop.example.ir:443"),
        ("https://[2001:DB8::1]:8443/a", "https://[2001:db8::1]:8443"),
        ("https://[::1]/", "https://[::1]"),
    ],
)
def test_an_origin_is_lower_case_without_its_default_port(url: str, origin: str) -> None:
    assert origin_of(url) == origin


PIECES = [
    "https://",
    "http://",
    "https:",
    "//",
    "/",
    "\\",
    "@",
    ":",
    ":443",
    ":8443",
    ":3000",
    "?",
    "#",
    "%2f",
    ".",
    "user",
    "\t",
]
HOSTS = ["shop.example.ir", "evil.example", "127.0.0.1", "[::1]"]


@given(st.lists(st.sampled_from(PIECES + HOSTS), max_size=8).map("".join))
def test_what_passes_has_a_registered_origin_to_another_parser_too(text: str) -> None:
    try:
        url = check_return_url(f"https://{text}", ALLOWED)
    except InvalidInput:
        return
    assert str(URL(url).origin()) in ALLOWED
