"""The short form of the state machine and the properties. `DARGAH_TORTURE_SEED` sets the seed."""

import sys
from collections.abc import Callable, Iterator

import pytest

from proxy.ids import ALPHABET

from .machine import in_a_folder, play
from .machine_ground import Ground
from .machine_market import STOREFRONTS
from .machine_properties import PROPERTIES, hold
from .test_simulation import first_seed

EXAMPLES = 18
STEPS = 30


def test_the_model_the_api_and_the_ledger_agree(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = first_seed()
    with capsys.disabled():
        sys.stdout.write(f"\nDARGAH_TORTURE_SEED={chosen}\n")
    made = in_a_folder(lambda on: play(on, chosen, EXAMPLES, STEPS))
    # A shop that sells nothing would agree with any model.
    assert made.counts["examples"] >= EXAMPLES
    assert made.counts["paid"] > 0
    assert made.counts["webhooks due"] > 0


@pytest.mark.parametrize("prop", PROPERTIES, ids=lambda prop: str(prop.__name__))
def test_property(prop: Callable[[], None]) -> None:
    hold(prop, first_seed(), examples=200)


def test_a_token_of_which_any_one_character_is_changed_is_told_401() -> None:
    def look(made: Ground) -> None:
        _, _, _, tokens = made.merchant(*STOREFRONTS)
        token = tokens["main"][1]
        assert made.call("GET", "/v1/payments", token=token).status == 200
        for changed in _changed(token):
            assert made.call("GET", "/v1/payments", token=changed).status == 401

    in_a_folder(look)


def _changed(token: str) -> Iterator[str]:
    for place, character in enumerate(token):
        other = ALPHABET[(ALPHABET.find(character) + 1) % len(ALPHABET)]
        yield token[:place] + other + token[place + 1 :]
