"""The pages about gateways say what the code does."""

import pytest

from gateways.family_table import FORMS, PAGE, TABLE, form_table, table
from proxy.gateways.registry import FAMILIES


def test_the_table_of_families_is_what_their_traits_say() -> None:
    found = TABLE.search(PAGE.read_text("utf-8"))
    assert found is not None
    assert found[0] == table(), "write it again: make docs"


def test_the_table_of_forms_is_what_the_families_say() -> None:
    found = FORMS.search(PAGE.read_text("utf-8"))
    assert found is not None
    assert found[0] == form_table(), "write it again: make docs"


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_its_page(name: str) -> None:
    text = (PAGE.parent / "gateways" / f"{name}.md").read_text("utf-8")
    assert text.startswith(f"# {FAMILIES[name].title[0]}")
    for credential in FAMILIES[name].credentials:
        assert f"`{credential.name}`" in text


@pytest.mark.parametrize("name", FAMILIES)
def test_every_code_of_a_family_is_explained_in_both_languages_with_a_way_out(name: str) -> None:
    for code, meaning in FAMILIES[name].codes.items():
        english, persian = meaning.explanation
        assert english.isascii(), code
        assert not persian.isascii(), code
        assert all(FAMILIES[name].advice(code)), code
