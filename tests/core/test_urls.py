"""Hosts, origins and URLs: one ASCII form, and never another place than a browser would go to."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web.test_pay_links import PAYMENT, SECRET
from yarl import URL

from proxy.config.outbound import parse_host_files
from proxy.config.values import parse_address, parse_public_url
from proxy.kernel.errors import InvalidInput
from proxy.kernel.urls import ascii_url, bare_origin_of, framing_origin_of, framing_source, origin_of, return_origin_of
from proxy.merchants.merchant import check_return_url
from proxy.payments.return_url import PARAMETERS, PREFIXED, parameter_names, signed_return_url

Reader = Callable[[str], Any]

# Of UTS 46's IdnaTestV2.txt and of the field, each kind once: a host, and what is looked up for it.
HOSTS = [
    ("shop.example.ir", "shop.example.ir"),
    ("SHOP.Example.IR", "shop.example.ir"),
    ("müller.de", "xn--mller-kva.de"),
    ("mu\u0308ller.de", "xn--mller-kva.de"),
    ("MÜLLER.de", "xn--mller-kva.de"),
    ("xn--mller-kva.de", "xn--mller-kva.de"),
    ("XN--MLLER-KVA.de", "xn--mller-kva.de"),
    ("m%C3%BCller.de", "xn--mller-kva.de"),
    ("faß.de", "xn--fa-hia.de"),
    ("fass.de", "fass.de"),
    ("βόλος.com", "xn--nxasmm1c.com"),
    ("فروشگاه.ایران", "xn--mgbtj4c7ad63e.xn--mgba3a4f16a"),
    ("نامه\u200cای.com", "xn--mgba3gch31f060k.com"),
    ("shop。example．ir", "shop.example.ir"),
    ("ｓｈｏｐ.ir", "shop.ir"),
    ("sh\u00adop.ir", "shop.ir"),
    ("日本語。JP", "xn--wgv71a119e.jp"),
    ("r3---sn.example.com", "r3---sn.example.com"),
    ("shop.example.ir.", "shop.example.ir."),
    ("localhost", "localhost"),
    ("shop_web", "shop_web"),
    ("127.0.0.1", "127.0.0.1"),
    ("１２７.0.0.1", "127.0.0.1"),
    ("[2001:DB8:0::1]", "[2001:db8::1]"),
    ("[::ffff:1.2.3.4]", "[::ffff:102:304]"),
]
NO_HOSTS = [
    "",
    ".",
    "..",
    ".shop.ir",
    "shop..ir",
    "shop.ir..",
    "-shop.ir",
    "shop-.ir",
    "shop;.ir",
    "shop,.ir",
    "shop'.ir",
    'shop".ir',
    "*.shop.ir",
    "*",
    "shop.ir%3b",
    "shop.ir%20",
    "shop.ir%00",
    "%D3%DD.ir",
    "shop%2.ir",
    "a\u200cb.com",
    "\u0301a.com",
    "xn--a.com",
    "xn--.com",
    "xn--a-.com",
    "☕.example",
    "1a.فروشگاه.com",
    "fro\u2066g.ir",
    "a／b.ir",
    "a\u2024b.ir；",
    f"{'a' * 64}.ir",
    f"{'س' * 60}.ir",
    ".".join(["abcdefgh"] * 29),
    "127.1",
    "2130706433",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "1.2.3.256",
    "1.2.3.4.",
    "shop.1",
    "[::1",
    "[1.2.3.4]",
    "[fe80::1%eth0]",
    "[::1]x",
]


@pytest.mark.parametrize(("host", "ascii_form"), HOSTS)
def test_a_host_has_one_ascii_form(host: str, ascii_form: str) -> None:
    assert origin_of(f"https://{host}/danke") == f"https://{ascii_form}"
    assert origin_of(f"https://{host}:8443?q") == f"https://{ascii_form}:8443"
    assert origin_of(f"HTTPS://{host}:443#f") == f"https://{ascii_form}"
    assert origin_of(ascii_url(f"https://{host}/x")) == f"https://{ascii_form}"


@pytest.mark.parametrize("host", NO_HOSTS)
def test_a_host_that_no_name_can_have_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="host"):
        origin_of(f"https://{host}/")
    with pytest.raises(ValueError, match="host"):
        origin_of(f"https://{host}:8443/")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://müller.de:8443/danke?a=ü", "https://xn--mller-kva.de:8443/danke?a=%C3%BC"),
        ("https://MÜLLER.de:443", "https://xn--mller-kva.de:443"),
        ("https://Shop.ir:443/%7e?a=|`\"<>'&&b=%zz#f", "https://Shop.ir:443/%7e?a=|`\"<>'&&b=%zz#f"),
        ("https://shop.ir/می\u200cخواهم", "https://shop.ir/%D9%85%DB%8C%E2%80%8C%D8%AE%D9%88%D8%A7%D9%87%D9%85"),
        ("http://[::1]:80/ü", "http://[::1]:80/%C3%BC"),
        ("myapp://پرداخت/done?a=ü#é", "myapp://%D9%BE%D8%B1%D8%AF%D8%A7%D8%AE%D8%AA/done?a=%C3%BC#%C3%A9"),
    ],
)
def test_a_url_goes_out_in_ascii_and_keeps_its_own_bytes(url: str, told: str) -> None:
    assert ascii_url(url) == told


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://Shop.ir/", "https://shop.ir"),
        ("myapp://", "myapp://"),
        ("MyApp://", "myapp://"),
        ("com.example.shop+pay://", "com.example.shop+pay://"),
    ],
)
def test_an_origin_may_be_registered(text: str, origin: str) -> None:
    assert bare_origin_of(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        *(
            "https://shop.ir//",
            "https://shop.ir/a",
            "https://shop.ir?",
            "https://shop.ir#",
            "https://u@shop.ir",
            "https://a_b.ir",
        ),
        *("myapp://pay", "myapp:///", "myapp://?", "myapp://#", "myapp:", "myapp", "my app://", " myapp://", "ap://"),
        *("javascript://", "JavaScript://", "vbscript://", "data://", "file://", "blob://", "about://", "intent://"),
        *("http://", "https://", "https:///", "httpss://", "htttps://", "hxxps://", "web+https://", "wss://", "ftp://"),
        *("chrome://", "chrome-extension://", "view-source://", "ms-msdt://", "search-ms://", "tel://", "mailto://"),
        *(
            "m\u0443app://",
            "1app://",
            "+app://",
            "my_app://",
            "myapp\u200c://",
            "myapp%3a://",
            f"{'a' * 41}://",
            "*://",
        ),
    ],
)
def test_what_is_no_origin_is_not_registered(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        bare_origin_of(text)


@pytest.mark.parametrize("host", ["[::1]", "shop.ir."])
def test_what_a_policy_cannot_name_frames_nothing(host: str) -> None:
    assert origin_of(f"https://{host}")
    with pytest.raises(ValueError, match="policy"):
        framing_origin_of(f"https://{host}")
    with pytest.raises(ValueError, match="http"):
        framing_origin_of("myapp://")


@pytest.mark.parametrize(
    "stored", [None, "", "*", "'self'", "https:", "https://müller.de", "https://*.ir", "https://a.ir; script-src *"]
)
def test_a_policy_is_built_from_valid_origins_alone(stored: str | None) -> None:
    assert framing_source(stored) == "'none'"


def test_settings_take_a_host_in_either_form() -> None:
    assert parse_public_url("https://Pay.müller.de/پایه/") == "https://pay.xn--mller-kva.de/%D9%BE%D8%A7%DB%8C%D9%87"
    assert str(parse_address("faß.local:3000")) == "xn--fa-hia.local:3000"
    [unicode] = parse_host_files("درگاه.example:8443=/etc/ca.pem")
    assert (unicode,) == parse_host_files("xn--mgbpg3g9x.example:8443=/etc/ca.pem")
    for wrong in ("faß;.local:3000", "a..b:1", ":1", "☕.local:3000"):
        with pytest.raises(ValueError, match="write host:port"):
            parse_address(wrong)


@pytest.fixture(scope="module")
def browser() -> Iterator[Reader]:
    """Reads a URL as browsers do, by Node's WHATWG URL."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("NOT RUN: node is not installed (`.ci/run` installs it where it can)")
    script = Path(__file__).parents[1] / "clients" / "url.mjs"
    with subprocess.Popen([node, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked, told = process.stdin, process.stdout

        def read(url: str) -> Any:
            asked.write(json.dumps(url) + "\n")
            asked.flush()
            return json.loads(told.readline())

        yield read
        asked.close()


@pytest.mark.parametrize(("host", "ascii_form"), HOSTS)
def test_a_browser_reads_these_hosts_so(browser: Reader, host: str, ascii_form: str) -> None:
    assert browser(f"https://{host}/")["origin"] == f"https://{ascii_form}"


LETTERS = "aZ0-ßςüÜکیسـאب１.。．\u200c\u200d\u00ad\u0301\u0660۱日ー·'xn"
HOST = st.text(LETTERS, min_size=1, max_size=8) | st.lists(
    st.sampled_from([host for host, _ in HOSTS] + NO_HOSTS), min_size=1, max_size=3
).map(".".join)


@given(HOST)
def test_a_host_that_is_taken_is_a_browsers_too(browser: Reader, host: str) -> None:
    url = f"https://{host}/"
    try:
        origin = return_origin_of(url)
    except ValueError:
        return
    read = browser(url)
    assert read is not None
    assert read["origin"] == origin
    assert browser(ascii_url(url))["href"] == read["href"]


QUERY = st.text(
    st.sampled_from("ab=&;?/\\%2F+.[]'\"<>|^`{}~*سی\u200c\u200f👨é") | st.characters(exclude_categories=["C", "Z"]),
    max_size=20,
)
NAMED = st.sampled_from(["", "status=1&", "&order_id", "expires=1&signature=0f", "payment.id=2", "dargah_status=x"])


@given(st.sampled_from(["https://faß.de/t", "https://shop.ir", "https://[::1]:8443/"]), NAMED, QUERY, st.booleans())
def test_any_return_url_comes_back_equal_in_a_browser(
    browser: Reader, start: str, named: str, query: str, hashed: bool
) -> None:
    url = f"{start}?{named}{query}{'#/done' if hashed else ''}"
    assert return_origin_of(url)
    before, after = browser(url), browser(signed_return_url(url, SECRET, PAYMENT))
    names = parameter_names(url)
    kept, _, _ = after["search"].partition(f"{names[0]}=pay_")
    assert (after["origin"], after["hash"]) == (before["origin"], before["hash"])
    assert kept.rstrip("&?") == before["search"].rstrip("&?")
    assert [name for name, _ in after["pairs"][-len(names) :]] == list(names)
    assert dict(after["pairs"][-len(names) :])[names[1]] == PAYMENT.order_id
    assert after["pairs"][: -len(names)] == before["pairs"]
    if names is PARAMETERS:
        assert {name for name, _ in before["pairs"]}.isdisjoint(PARAMETERS)
    else:
        assert names is PREFIXED


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
        "https://shop.example.ir/می\u200cخواهم?نام=علی\u200fرضا&خانواده=👨\u200d👩\u200d👧",
        "https://shop.example.ir/?a=\\b",
        "https://shop%2Eexample.ir/",
        "https://ｓｈｏｐ.example.ir/",
        "https://shop。example.ir/",
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
    "http://shop.example.ir/",
    "http://shop.example.ir:443/",
    "https://shop.example.ir:80/",
    "https://shop.example.ir:8444/",
    "https://shop.example.ir:0/",
    "https://127.0.0.1:3000/",
    "http://127.0.0.1/",
    "http://[::ffff:127.0.0.1]:3000/",
    "https://shöp.example.ir/",
    "https://sһop.example.ir/",  # a Cyrillic h
    "myapp://shop.example.ir/",
]
INVALID = [
    "https://xn--shop-example-ir.example/",
    "http://2130706433:3000/",
    "https://shop.example.ir,evil.example/",
    "https://shop.example.ir;evil.example/",
    "https://shop.example.ir%00.evil.example/",
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
RETURN_HOSTS = ["shop.example.ir", "evil.example", "127.0.0.1", "[::1]"]


@given(st.lists(st.sampled_from(PIECES + RETURN_HOSTS), max_size=8).map("".join))
def test_what_passes_has_a_registered_origin_to_another_parser_too(text: str) -> None:
    try:
        url = check_return_url(f"https://{text}", ALLOWED)
    except InvalidInput:
        return
    assert str(URL(url).origin()) in ALLOWED
