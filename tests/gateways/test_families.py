"""What holds of every family in the registry, and its page in docs/gateways."""

import re
from pathlib import Path

import pytest

from gateways.family_table import page_with_codes, pages
from proxy.gateways.family import Family, ReturnClaim
from proxy.gateways.port import NO_EVIDENCE
from proxy.gateways.registry import FAMILIES

OTHERS = [family for name, family in FAMILIES.items() if name != "invoice_script"]
PERSIAN = re.compile("[آ-ی]")


@pytest.mark.parametrize(("family", "path"), [pytest.param(*each, id=each[0].name) for each in pages()])
def test_the_table_of_a_page_is_the_familys_own(family: Family, path: Path) -> None:
    text = path.read_text("utf-8")
    assert text == page_with_codes(family, text), "write it again: make docs"
    assert family.gateway_url in text


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_what_people_are_asked_and_told_is_in_both_languages(family: Family) -> None:
    said = [family.title]
    for credential in family.credentials:
        said += [credential.title, credential.hint]
    for meaning in family.codes.values():
        assert meaning.words
        said += filter(None, (meaning.for_developer, meaning.for_operator))
    for english, persian in said:
        assert not PERSIAN.search(english)
        assert PERSIAN.search(persian)


@pytest.mark.parametrize("family", OTHERS, ids=[family.name for family in OTHERS])
def test_a_familys_data_agrees_with_itself(family: Family) -> None:
    traits = family.traits
    assert traits.confirms
    assert traits.reverses == (traits.reverse_within is not None)
    assert traits.sandbox or family.sandbox_url is None
    assert family.gateway_url.startswith("https://")
    assert family.claim("17", NO_EVIDENCE) is ReturnClaim.NOTHING
