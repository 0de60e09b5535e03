"""A shop that begins to send toman for rial is noticed soon, once, and a shop that only sells dear things is not."""

from random import Random

import pytest

from proxy.payments.amount_jump import MAX_STOREFRONTS, MOST_KEPT, RECENT, AmountJumps, Jump


def jumps(amounts: list[int]) -> list[tuple[int, Jump]]:
    """Which of the amounts completed a jump."""
    watched = AmountJumps()
    found = [(number, watched.observe("shop", amount)) for number, amount in enumerate(amounts)]
    return [(number, jump) for number, jump in found if jump is not None]


def basket(random: Random) -> int:
    return round(random.lognormvariate(13, 0.5))


@pytest.mark.parametrize("factor", [10, 0.1])
@pytest.mark.parametrize("seed", range(20))
def test_ten_times_more_or_less_is_told_once_and_soon(factor: float, seed: int) -> None:
    random = Random(seed)
    before = [basket(random) for _ in range(30)]
    after = [round(basket(random) * factor) for _ in range(30)]
    [(number, jump)] = jumps(before + after)
    assert len(before) <= number < len(before) + 2 * RECENT
    assert 0.04 < jump.recent_rials / jump.usual_rials / factor < 2.5


def test_the_return_to_the_old_unit_is_told_too() -> None:
    amounts = [150_000] * 20 + [1_500_000] * 20 + [150_000] * 20
    assert [number for number, _ in jumps(amounts)] == [24, 44]


@pytest.mark.parametrize("seed", range(20))
def test_an_ordinary_shop_is_left_alone(seed: int) -> None:
    random = Random(seed)
    dear = [basket(random) * (10 if random.random() < 0.1 else 1) for _ in range(500)]
    assert jumps(dear) == []
    assert jumps([150_000] * 50 + [450_000] * 50) == []
    assert jumps([150_000] * 50 + [15_000_000] * 50) == []


def test_a_shop_with_few_payments_says_nothing() -> None:
    assert jumps([150_000] * 9 + [1_500_000] * 5) == []


def test_each_has_amounts_of_its_own_and_the_state_is_bounded() -> None:
    watched = AmountJumps()
    for _ in range(20):
        assert watched.observe("one", 150_000) is None
        assert watched.observe("other", 1_500_000) is None
    for number in range(MAX_STOREFRONTS + 50):
        watched.observe(number, 1000)
    assert len(watched._kept) == MAX_STOREFRONTS
    assert all(len(amounts) <= MOST_KEPT for amounts in watched._kept.values())
