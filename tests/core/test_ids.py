"""Identifiers: the merchant that each carries, their order, and the checksum that a scanner can verify.

And the patterns of docs/scaling.md, by which a router finds a merchant's cell.
"""

import os
import random
import re
import string
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.kernel.ids import (
    ALPHABET,
    DELIVERY,
    ENDPOINT,
    EVENT,
    PARTITION_PERIOD,
    PAYMENT,
    TERMINAL,
    TOKEN,
    Ids,
    base62,
    digest,
    merchant_key,
    merchant_of_api_token,
    merchant_of_id,
    merchant_of_link,
    partition_at,
    partition_of,
)

IDS = Ids(os.urandom)
NOW = 1_800_000_000_000


def test_every_identifier_carries_its_merchant() -> None:
    merchant_id = IDS.merchant()
    for kind in (PAYMENT, EVENT, DELIVERY, ENDPOINT, TERMINAL, TOKEN):
        record_id = IDS.record(kind, merchant_id, NOW)
        assert record_id.startswith(f"{kind}_{merchant_key(merchant_id)}")
        assert merchant_of_id(record_id) == merchant_id
    assert merchant_of_link(IDS.link(merchant_id, NOW)) == merchant_id
    for mode in ("live", "test"):
        assert merchant_of_api_token(IDS.api_token(merchant_id, mode)) == merchant_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pay_",
        "pay_short",
        "pay_MERCHANTaaaaaaaaaaaaaaaaa",
        "pay_MERCHANTaaaaaaaaaaaaaaaaaaa",
        "pay_MERCHANTaaaaaaaaaaaaaaaaa-",
        "PAY_MERCHANTaaaaaaaaaaaaaaaaaa",
        "pay_MERCHANTaaaaaaaaaaaaaaaaaa\n",
        "pay_MERCHANTaaaaaaaaaaaaaaaaa۱",
        "pay_' OR 1=1 --aaaaaaaaaaaaaaa",
        "mer_MERCHANT",
    ],
)
def test_what_is_not_ours_carries_no_merchant(text: str) -> None:
    assert merchant_of_id(text) is None
    assert merchant_of_link(text) is None
    assert merchant_of_api_token(text) is None


def test_a_token_with_any_one_character_wrong_is_known_as_such_without_the_store() -> None:
    token = IDS.api_token(IDS.merchant(), "live")
    start = len("dg_live_")
    for place in range(start, len(token)):
        for other in ("0", "z"):
            if token[place] != other:
                assert merchant_of_api_token(token[:place] + other + token[place + 1 :]) is None


def test_tokens_have_the_form_that_scanners_look_for() -> None:
    token = IDS.api_token(IDS.merchant(), "test")
    assert len(token) == len("dg_test_") + 30 + 6
    assert set(token.removeprefix("dg_test_")) <= set(string.ascii_letters + string.digits)
    assert merchant_of_api_token(token.replace("dg_test_", "dg_prod_")) is None


def test_a_token_is_stored_as_its_sha256() -> None:
    assert digest("abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@given(st.integers(0, 62**8 - 1), st.integers(0, 62**8 - 1))
def test_record_ids_of_a_merchant_are_ordered_by_time(one: int, other: int) -> None:
    earlier, later = sorted((one, other))
    if earlier != later:
        assert IDS.record(PAYMENT, "mer_MERCHANT", earlier) < IDS.record(PAYMENT, "mer_MERCHANT", later)


@given(st.integers(0, 62**10 - 1))
def test_base62_is_positional_and_padded(number: int) -> None:
    text = base62(number, 10)
    assert len(text) == 10
    assert sum(ALPHABET.index(char) * 62**place for place, char in enumerate(reversed(text))) == number


def test_random_characters_come_from_the_injected_bytes_and_use_the_whole_alphabet() -> None:
    assert Ids(bytes).random(22) == "0" * 22
    assert Ids(lambda count: b"\xff" * count).random(22) == Ids(lambda count: b"\xff" * count).random(22)
    seen = set("".join(IDS.random(22) for _ in range(200)))
    assert seen == set(ALPHABET)


@given(st.integers(0, 200_000_000_000_000))
@example(PARTITION_PERIOD - 1)
@example(PARTITION_PERIOD)
@example(700 * PARTITION_PERIOD - 1)
@example(700 * PARTITION_PERIOD)
def test_an_id_says_in_which_period_it_was_made(at: int) -> None:
    made = IDS.record(EVENT, IDS.merchant(), at)
    assert partition_of(made) == partition_at(at) == at // (30 * 86_400_000)


@pytest.mark.parametrize("text", ["", "evt_", "evt_short", "x" * 12 + "-" * 18, "dlv_12345678٠٠٠٠٠٠٠٠1234567890"])
def test_what_is_no_id_is_of_no_period(text: str) -> None:
    assert partition_of(text) == 0


PAGE = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text("utf-8")
SEEDED_IDS = Ids(random.Random(1).randbytes)  # the cases must have the same names in every worker
MERCHANT = SEEDED_IDS.merchant()


def patterns() -> list[re.Pattern[str]]:
    """As a router writes them, in a table whose bars are escaped."""
    found = re.findall(r"\| `(\S[^`]*\(\?<key>[^`]*)` \|", PAGE)
    return [re.compile(text.replace("\\|", "|").replace("(?<key>", "(?P<key>")) for text in found]


@pytest.mark.parametrize(
    ("row", "seen"),
    [
        (0, f"/pay/{SEEDED_IDS.link(MERCHANT, 1)}"),
        (0, f"/return/{SEEDED_IDS.link(MERCHANT, 1)}?status=1"),
        (0, f"/invoice/pay/{SEEDED_IDS.link(MERCHANT, 1)}"),
        (1, f"Bearer {SEEDED_IDS.api_token(MERCHANT, 'live')}"),
        (1, f"Bearer {SEEDED_IDS.api_token(MERCHANT, 'test')}"),
        (2, f"/admin/v1/merchants/{MERCHANT}/tokens"),
        *(
            (2, f"/v1/records/{SEEDED_IDS.record(kind, MERCHANT, 1)}")
            for kind in (PAYMENT, TERMINAL, TOKEN, ENDPOINT, DELIVERY, EVENT)
        ),
    ],
)
def test_a_router_finds_the_cell_without_a_look_up(row: int, seen: str) -> None:
    found = patterns()[row].search(seen)
    assert found is not None, seen
    assert found["key"] == merchant_key(MERCHANT)


def test_the_page_has_a_pattern_for_each_way_in() -> None:
    assert len(patterns()) == 3
    assert not patterns()[1].search("Bearer dg_op_" + "0" * 36)


def test_the_purchases_of_one_millisecond_have_numbers_of_their_own() -> None:
    now, ids = 1_800_000_000_000, Ids(os.urandom)
    numbers = [ids.number(now) for _ in range(1000)]
    assert len(set(numbers)) == 1000
    assert {number // 1000 for number in numbers} == {now}
    assert len({Ids(os.urandom).number(now) for _ in range(100)}) > 50, "another process begins elsewhere"
    assert ids.number(9_000_000_000_000) < 2**53, "for 200 years"
