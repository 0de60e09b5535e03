"""Properties of what is pure: money, cursors, signatures and tokens, for as many examples as one asks for.

And the profile by which Hypothesis draws, here and in the other stages.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, example, given, seed, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from proxy.api.responses import read_cursor, write_cursor
from proxy.kernel.errors import InvalidInput
from proxy.kernel.ids import ALPHABET, Ids, merchant_of_api_token
from proxy.kernel.money import MAX_RIALS, MIN_RIALS, Currency, to_rials, to_toman
from proxy.merchants.merchant import Mode
from proxy.payments.return_url import PARAMETERS, verify
from proxy.webhooks import request

SECRETS: Final = st.binary(min_size=32, max_size=32).map(request.new_secret)
BODIES: Final = st.binary(min_size=1, max_size=300)
_IDS: Final = st.text(ALPHABET, min_size=26, max_size=26)
ROWS: Final = st.one_of(
    st.integers(0, 10**18 - 1).map(str),
    st.builds(lambda kind, rest: f"{kind}_{rest}", st.sampled_from(("pay", "evt", "ep")), _IDS),
)
SCOPES: Final = st.tuples(st.just("payments"), st.text(ALPHABET, min_size=1), st.none() | st.text(ALPHABET, min_size=1))


@given(amount=st.integers(-(2**70), 2**70), currency=st.sampled_from(Currency))
@example(amount=6_063_769_187_255_617, currency=Currency.IRR)
@example(amount=2**52 - 1, currency=Currency.IRR)
def an_amount_is_exact_or_refused(amount: int, currency: Currency) -> None:
    rials = amount * 10 if currency is Currency.IRT else amount
    if MIN_RIALS <= rials <= MAX_RIALS:
        assert to_rials(amount, currency) == rials
        # A toman with its decimal has a number of its own up to 2**52 rials; above, it may be its neighbour's.
        assert abs(round(to_toman(rials) * 10) - rials) <= (rials > 2**52)
        if currency is Currency.IRT:
            assert to_toman(rials) == amount
    else:
        with pytest.raises(InvalidInput):
            to_rials(amount, currency)


@given(value=st.one_of(st.booleans(), st.floats(), st.text(), st.none(), st.lists(st.integers()), st.decimals()))
@example(value=15_000.0)
@example(value="15000")
def what_is_no_integer_is_no_amount(value: Any) -> None:
    for currency in Currency:
        with pytest.raises(InvalidInput):
            to_rials(value, currency)


@given(
    row=ROWS, scope=SCOPES, other=SCOPES, at=st.integers(0, 10**6), to=st.text(ALPHABET + "-_", min_size=1, max_size=1)
)
def a_cursor_is_its_lists_alone(row: str, scope: tuple[Any, ...], other: tuple[Any, ...], at: int, to: str) -> None:
    cursor = write_cursor(row, scope)
    assert read_cursor(cursor, scope) == row
    if scope != other:
        _refused(cursor, other)
    place = at % len(cursor)
    changed = cursor[:place] + to + cursor[place + 1 :]
    # The last character of base64 may carry bits that say nothing.
    if changed != cursor and place < len(cursor) - 1:
        _refused(changed, scope)


@given(secret=SECRETS, body=st.text(min_size=1), at=st.integers(0, 2**31))
def a_signature_is_what_the_specifications_library_makes(secret: str, body: str, at: int) -> None:
    body = body.encode(errors="replace").decode()
    right = Webhook(secret).sign("evt_1", datetime.fromtimestamp(at, UTC), body)
    assert request.sign([secret], "evt_1", at, body.encode()) == right


@given(secret=SECRETS, body=BODIES, place=st.integers(0, 10**6), bit=st.integers(0, 7))
def a_signature_fails_when_one_bit_changes(secret: str, body: bytes, place: int, bit: int) -> None:
    now = int(datetime.now(UTC).timestamp())
    changed = bytearray(body)
    changed[place % len(body)] ^= 1 << bit
    header = request.sign([secret], "evt_1", now, body)
    assert request.sign([secret], "evt_1", now, bytes(changed)) != header
    assert request.sign([secret], "evt_1", now + 1, body) != header
    assert request.sign([secret], "evt_2", now, body) != header
    try:
        told = bytes(changed).decode()
    except UnicodeDecodeError:
        return
    headers = {"webhook-id": "evt_1", "webhook-timestamp": str(now), "webhook-signature": header}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(told, headers)


@given(
    numbers=st.integers(),
    mode=st.sampled_from(("live", "test")),
    at=st.integers(0, 10**6),
    to=st.sampled_from(ALPHABET),
)
def a_token_with_one_character_changed_is_none(numbers: int, mode: str, at: int, to: str) -> None:
    ids = Ids(Random(numbers).randbytes)
    merchant_id = ids.merchant()
    token = ids.api_token(merchant_id, mode)
    assert merchant_of_api_token(token) == merchant_id
    place = len("dg_live_") + at % (len(token) - len("dg_live_"))
    changed = token[:place] + to + token[place + 1 :]
    assert changed == token or merchant_of_api_token(changed) is None


@given(
    query=st.fixed_dictionaries(
        {name: st.text() for name in PARAMETERS} | {"payment_mode": st.one_of(st.just("live"), st.text())}
    )
)
def a_way_back_that_nobody_signed_is_refused(query: dict[str, str]) -> None:
    assert not verify("dg_return_secret", Mode.LIVE, query)


def _refused(cursor: str, scope: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidInput):
        read_cursor(cursor, scope)


PROPERTIES: Final[tuple[Callable[[], None], ...]] = (
    an_amount_is_exact_or_refused,
    what_is_no_integer_is_no_amount,
    a_cursor_is_its_lists_alone,
    a_signature_is_what_the_specifications_library_makes,
    a_signature_fails_when_one_bit_changes,
    a_token_with_one_character_changed_is_none,
    a_way_back_that_nobody_signed_is_refused,
)


def profile(examples: int, steps: int = 50) -> settings:
    """Bounded, from its seed alone: no database of earlier failures, and no deadline on a busy machine."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )


def hold(prop: Callable[[], None], chosen_seed: int, examples: int) -> None:
    """Tries a property on that many examples of a seed. Raises its shortest counterexample."""
    seed(chosen_seed)(profile(examples)(prop))()
