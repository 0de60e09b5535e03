"""The texts of alerts: in both languages, bounded, and without secrets and customers' data."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.troubles import SINCE, trouble
from proxy.operations.alerts.rules import Item, News
from proxy.operations.alerts.words import MAX_ITEMS, MAX_UNITS, Letter, plain
from proxy.operations.troubles import WORDS, TroubleKind

MERCHANT = "mer_0A1b2C3d"
NAMES = {MERCHANT: "Nemooneh"}
FA, EN = Letter("fa", "pay.example.ir", NAMES), Letter("en", "pay.example.ir", NAMES)
# What must never be in a text, in facts that no kind of trouble has today.
PLANTED = {
    "api_key": "canary-api-key",
    "token": "dg_live_canary",
    "mobile": "09120000001",
    "card": "6037990000000006",
    "url": "https://shop.example.ir/canary-path?key=canary",
    "order_id": "canary-order",
    "excerpt": "canary-excerpt",
}
FACTS: dict[str, int | str] = {
    "host": "shop.example.ir",
    "gateway": "zarinpal",
    "mode": "live",
    "ends_at": SINCE,
    "goes_back_at": SINCE,
}


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


@pytest.mark.parametrize("kind", TroubleKind)
@pytest.mark.parametrize("news", News)
def test_each_kind_is_told_in_both_languages_without_what_is_nobodys_business(kind: TroubleKind, news: News) -> None:
    item = Item(news, trouble(kind, "ep_1", merchant_id=MERCHANT, facts={**FACTS, **PLANTED}))
    for letter, place in ((FA, 1), (EN, 0)):
        text, document = letter.text([item]), letter.document([item], SINCE)
        assert WORDS[kind].title[place] in text
        assert "shop.example.ir" in text
        assert "Nemooneh" in text
        told = text + letter.subject([item]) + json.dumps(document, ensure_ascii=False)
        assert [name for name, secret in PLANTED.items() if secret in told] == []
        assert "canary" not in told
        assert "\n" not in letter.subject([item])
    assert (WORDS[kind].advice[0] in EN.text([item])) == (news is not News.OVER)


def test_a_message_is_as_an_operator_reads_it() -> None:
    failing = trouble(facts={"host": "shop.example.ir", "mode": "test"}, merchant_id=MERCHANT, count=1200)
    over = replace(trouble(TroubleKind.KEYS_OLD, "", urgent=False), facts={"key": "k1"})
    items = [Item(News.BEGUN, failing), Item(News.OVER, over)]
    assert EN.text(items).replace("\u2068", "").replace("\u2069", "") == (
        "Dargah pay.example.ir: 1 new, 1 over\n\n"
        "🔴 A shop does not take its webhooks: shop.example.ir, ep_1, Nemooneh, mer_0A1b2C3d, test mode\n"
        f"since 24 November 2026, 13:30 · 1,200 {WORDS[TroubleKind.ENDPOINT_FAILING].counted[0]}\n"
        f"{WORDS[TroubleKind.ENDPOINT_FAILING].advice[0]}\n\n"
        "🟢 Over: Secrets are still sealed under an older key\n"
        "since 24 November 2026, 13:30"
    )
    assert FA.text(items).startswith("Dargah pay.example.ir: ۱ مشکل تازه، ۱ پایان‌یافته\n\n🔴 ")
    assert "۱٬۲۰۰" in FA.text(items)


@pytest.mark.parametrize("letter", [FA, EN])
@pytest.mark.parametrize("count", [1, 30, 1000])
def test_a_long_list_is_cut_and_the_rest_is_counted(letter: Letter, count: int) -> None:
    name = "ن" * 500
    items = [
        Item(News.BEGUN, trouble(subject=f"ep_{number}", merchant_id=MERCHANT, facts={"host": name}))
        for number in range(count)
    ]
    text, document = letter.text(items), letter.document(items, SINCE)
    assert units(text) <= MAX_UNITS
    assert (len(document["data"]["troubles"]), document["data"]["more"]) == (
        min(count, MAX_ITEMS),
        max(0, count - MAX_ITEMS),
    )
    told = text.count("🔴")
    assert told == count or str(count - told) in text.translate(str.maketrans("۰۱۲۳۴۵۶۷۸۹", "0123456789"))
    assert text.count(letter._t(WORDS[TroubleKind.ENDPOINT_FAILING].advice)) == 1


@settings(max_examples=100)
@given(st.text(max_size=300))
def test_no_name_breaks_a_line_turns_a_text_or_makes_a_link(name: str) -> None:
    letter = Letter("en", "pay.example.ir", {MERCHANT: name})
    item = Item(News.BEGUN, trouble(merchant_id=MERCHANT, facts={"host": name, "name": name}))
    text = letter.text([item])
    assert len(text.splitlines()) == 5
    assert "](" not in text
    assert "*" not in plain(name)
    assert text.count("\u2068") == text.count("\u2069")
    assert units(text) <= MAX_UNITS


def test_a_test_says_that_it_is_one() -> None:
    assert EN.test()[1] == "Dargah pay.example.ir: a test\n\nThis is a test of alerts. Nothing is wrong."
    assert "آزمایش" in FA.test()[1]
